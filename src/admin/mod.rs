//! The admin REST API and the exporter's listener.
