//! What is asked of an upstream, and shown to it.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};

use super::pem::{self, Pem};
use super::server::read_min_version;
use super::unverified::Unverified;
use super::{Alpn, Spoken, Wrong, provider, reported};
use crate::diagnostics::Reader;

/// What a handshake offers the upstream to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// HTTP/1.1 alone.
    Http1,
    /// HTTP/2 alone.
    Http2,
    /// Both: the upstream chooses.
    Either,
}

/// An upstream's `[proxy.upstream_tls]`. Two values are equal if their settings and the contents of their files are.
#[derive(Debug, Clone)]
pub struct ClientTls {
    written: Written,
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
    either: Arc<ClientConfig>,
}

/// What the configuration and its files say.
#[derive(Debug, Clone, PartialEq)]
struct Written {
    /// The only roots that are trusted; absent, the platform's are.
    ca: Option<Pem>,
    identity: Option<(Pem, Pem)>,
    server_name: Option<ServerName<'static>>,
    verify: bool,
    alpn: Alpn,
    only_1_3: bool,
}

impl PartialEq for ClientTls {
    fn eq(&self, other: &Self) -> bool {
        self.written == other.written
    }
}

impl ClientTls {
    /// What holds without a table: the platform's roots, the upstream's own name, no certificate to show.
    ///
    /// # Errors
    /// When the platform has no roots.
    pub fn by_default() -> Result<Self, Wrong> {
        let written = Written {
            ca: None,
            identity: None,
            server_name: None,
            verify: true,
            alpn: Alpn::default(),
            only_1_3: false,
        };
        Self::build(written)
    }

    /// Reads the table and the files that it names; [`Reader::finish`] is left to the caller. `None` when a problem
    /// was recorded.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let named = ["ca", "certificate", "key"].iter().filter(|key| reader.has(key)).count();
        let ca = Pem::optional(reader, "ca");
        let certificate = Pem::optional(reader, "certificate");
        let key = Pem::optional(reader, "key");
        let server_name = read_server_name(reader);
        let verify = reader.or("verify", true);
        let alpn = Alpn::read(reader);
        let only_1_3 = read_min_version(reader);
        let found = [&ca, &certificate, &key].into_iter().flatten().count();
        for (one, other) in [("certificate", "key"), ("key", "certificate")] {
            if reader.has(one) && !reader.has(other) {
                reader.reject(one, format!("there is no {other} to it"), Some("name both, or neither"));
                return None;
            }
        }
        if ca.is_some() && !verify {
            reader.reject("ca", "nothing is checked with verify = false", Some("remove one of the two"));
            return None;
        }
        if found < named {
            return None; // which has been reported
        }
        let written = Written { ca, identity: certificate.zip(key), server_name, verify, alpn, only_1_3 };
        let built = Self::build(written);
        reported(reader, built)
    }

    fn build(written: Written) -> Result<Self, Wrong> {
        let either = written.config()?;
        let offering = |spoken: Spoken| {
            let mut config = either.clone();
            config.alpn_protocols = vec![spoken.name().as_bytes().to_vec()];
            Arc::new(config)
        };
        let (http1, http2) = (offering(Spoken::Http1), offering(Spoken::Http2));
        Ok(Self { written, http1, http2, either: Arc::new(either) })
    }

    /// What handshakes are made with.
    pub fn config(&self, offer: Offer) -> Arc<ClientConfig> {
        match offer {
            Offer::Http1 => self.http1.clone(),
            Offer::Http2 => self.http2.clone(),
            Offer::Either => self.either.clone(),
        }
    }

    /// The protocols that may be offered.
    pub fn alpn(&self) -> &Alpn {
        &self.written.alpn
    }

    /// The name that is asked for (SNI) and that the certificate must be for; `None`: the upstream's host.
    pub fn server_name(&self) -> Option<&ServerName<'static>> {
        self.written.server_name.as_ref()
    }
}

impl Written {
    fn config(&self) -> Result<ClientConfig, Wrong> {
        let versions: &[_] = match self.only_1_3 {
            true => &[&rustls::version::TLS13],
            false => rustls::DEFAULT_VERSIONS,
        };
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .map_err(|error| Wrong::new("min_version", error.to_string(), "\"1.2\" or \"1.3\""))?
            .dangerous()
            .with_custom_certificate_verifier(self.verifier()?);
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => builder
                .with_client_auth_cert(certificate.certificates()?, key.private_key()?)
                .map_err(|error| pem::mismatch(certificate, key, &error))?,
        };
        config.alpn_protocols = self.alpn.wire();
        Ok(config)
    }

    fn verifier(&self) -> Result<Arc<dyn ServerCertVerifier>, Wrong> {
        if !self.verify {
            return Ok(Arc::new(Unverified::new(provider())));
        }
        let roots = match &self.ca {
            Some(file) => file.roots()?,
            None => platform_roots()?,
        };
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build();
        Ok(verifier
            .map_err(|error| Wrong::new("ca", error.to_string(), "certificates that upstreams are signed by"))?)
    }
}

/// What this machine trusts; SSL_CERT_FILE and SSL_CERT_DIR name other places, as for OpenSSL.
fn platform_roots() -> Result<RootCertStore, Wrong> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (usable, _) = roots.add_parsable_certificates(found.certs);
    if usable == 0 {
        let why = found.errors.first().map_or_else(String::new, |error| format!(": {error}"));
        let cure = "install ca-certificates, or name the upstream's in [proxy.upstream_tls] ca";
        return Err(Wrong::new("ca", format!("this machine has no root certificates{why}"), cure));
    }
    Ok(roots)
}

fn read_server_name(reader: &mut Reader<'_>) -> Option<ServerName<'static>> {
    let written = reader.optional::<String>("server_name")?;
    match ServerName::try_from(written.clone()) {
        Ok(name) => Some(name),
        Err(_) => {
            let cure = Some("a name without scheme and port, such as \"inventory.shop.svc\"");
            reader.reject("server_name", format!("\"{written}\" is not a host's name"), cure);
            None
        }
    }
}
