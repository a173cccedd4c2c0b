//! The configuration file of `serve`: raw text to resolved values.
