//! The embedded shop behind `brownout demo`.
