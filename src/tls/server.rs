//! What a listener shows its clients.

use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;

use super::pem::{self, Pem};
use super::{Alpn, Wrong, provider, reported};
use crate::diagnostics::Reader;

/// How long a client may take to shake hands, unless the configuration says otherwise.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// A listener's `[proxy.tls]`. Two values are equal if their settings and the contents of their files are.
#[derive(Debug, Clone)]
pub struct ServerTls {
    written: Written,
    config: Arc<ServerConfig>,
}

/// What the configuration and its files say.
#[derive(Debug, Clone, PartialEq)]
struct Written {
    certificate: Pem,
    key: Pem,
    /// Clients must show a certificate that one of these has signed.
    client_ca: Option<Pem>,
    alpn: Alpn,
    only_1_3: bool,
    handshake_timeout: Duration,
}

impl PartialEq for ServerTls {
    fn eq(&self, other: &Self) -> bool {
        self.written == other.written
    }
}

impl ServerTls {
    /// Reads the table and the files that it names; [`Reader::finish`] is left to the caller. `None` when a problem
    /// was recorded.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let certificate = Pem::required(reader, "certificate", "\"certs/web.pem\"");
        let key = Pem::required(reader, "key", "\"certs/web.key\"");
        let names_client_ca = reader.has("client_ca");
        let client_ca = Pem::optional(reader, "client_ca");
        let alpn = Alpn::read(reader);
        let only_1_3 = read_min_version(reader);
        let handshake_timeout = read_handshake_timeout(reader);
        if names_client_ca && client_ca.is_none() {
            return None;
        }
        let written = Written { certificate: certificate?, key: key?, client_ca, alpn, only_1_3, handshake_timeout };
        let config = reported(reader, written.config())?;
        Some(Self { written, config: Arc::new(config) })
    }

    /// What handshakes are made with.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.config.clone()
    }

    /// How long a client may take to shake hands.
    pub fn handshake_timeout(&self) -> Duration {
        self.written.handshake_timeout
    }
}

impl Written {
    fn config(&self) -> Result<ServerConfig, Wrong> {
        let versions: &[_] = match self.only_1_3 {
            true => &[&rustls::version::TLS13],
            false => rustls::DEFAULT_VERSIONS,
        };
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .map_err(|error| Wrong::new("min_version", error.to_string(), "\"1.2\" or \"1.3\""))?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(file) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(file.roots()?), provider()).build();
                builder.with_client_cert_verifier(verifier.map_err(|error| {
                    file.wrong(format_args!("cannot be used: {error}"), "the certificates that sign your clients'")
                })?)
            }
        };
        let (chain, key) = (self.certificate.certificates()?, self.key.private_key()?);
        let mut config = builder
            .with_single_cert(chain, key)
            .map_err(|error| pem::mismatch(&self.certificate, &self.key, &error))?;
        config.alpn_protocols = self.alpn.wire();
        Ok(config)
    }
}

/// Whether only TLS 1.3 is spoken; absent or wrong, 1.2 is too.
pub(super) fn read_min_version(reader: &mut Reader<'_>) -> bool {
    match reader.optional::<String>("min_version").as_deref() {
        None | Some("1.2") => false,
        Some("1.3") => true,
        Some(other) => {
            reader.reject("min_version", format!("\"{other}\" is not supported"), Some("\"1.2\" or \"1.3\""));
            false
        }
    }
}

fn read_handshake_timeout(reader: &mut Reader<'_>) -> Duration {
    match reader.optional::<Duration>("handshake_timeout") {
        Some(Duration::ZERO) => {
            reader.reject("handshake_timeout", "0 is not a time to wait", Some("for example \"10s\""));
            HANDSHAKE_TIMEOUT
        }
        written => written.unwrap_or(HANDSHAKE_TIMEOUT),
    }
}
