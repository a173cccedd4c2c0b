//! TLS as it is configured: certificates, keys and roots, read from files, checked, and made ready for handshakes.
//!
//! [`ServerTls`] is what a listener shows its clients, [`ClientTls`] what is asked of an upstream and shown to it. Both
//! read their files when the configuration is read, so that a reload with other contents gives another value, and one
//! with the same contents an equal one. What is wrong with a file is a problem of the configuration, with its line.

mod alpn;
mod client;
mod pem;
mod server;
mod unverified;

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

pub use alpn::{Alpn, Spoken};
pub use client::{ClientTls, Offer};
pub use server::ServerTls;

use crate::diagnostics::Reader;

/// The cryptography that everything here is done with.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// What is wrong with one key of a table, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// The key of the table.
    pub key: &'static str,
    /// What is wrong with its value.
    pub message: String,
    /// What would be right.
    pub cure: &'static str,
}

impl Wrong {
    fn new(key: &'static str, message: impl Into<String>, cure: &'static str) -> Self {
        Self { key, message: message.into(), cure }
    }

    fn report(self, reader: &mut Reader<'_>) {
        reader.reject(self.key, self.message, Some(self.cure));
    }
}

/// Gives the value, or reports what is wrong.
fn reported<T>(reader: &mut Reader<'_>, result: Result<T, Wrong>) -> Option<T> {
    result.map_err(|wrong| wrong.report(reader)).ok()
}
