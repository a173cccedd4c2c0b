//! The reverse proxy: the only folder that names pingora.
