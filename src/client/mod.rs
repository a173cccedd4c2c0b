//! Wire types and client of the admin API.
