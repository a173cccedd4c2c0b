//! Files of certificates and keys.

use std::fmt;
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::{Wrong, reported};
use crate::diagnostics::Reader;

const CERTIFICATE_CURE: &str = "a file with -----BEGIN CERTIFICATE-----, the chain below the leaf in the same file";
const KEY_CURE: &str = "a file with -----BEGIN PRIVATE KEY----- that needs no password";

/// A file as it was read, and the key of the configuration that names it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Pem {
    key: &'static str,
    path: PathBuf,
    bytes: Vec<u8>,
}

/// Without the bytes: one of the files is a secret.
impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())
    }
}

impl Pem {
    /// Reads the file that must be named under `key`; relative to the file that names it.
    pub(super) fn required(reader: &mut Reader<'_>, key: &'static str, example: &str) -> Option<Self> {
        let name = reader.required::<String>(key, example)?;
        Self::read(reader, key, &name)
    }

    /// Reads the file that may be named under `key`: `None` if there is none; an unreadable one is reported.
    pub(super) fn optional(reader: &mut Reader<'_>, key: &'static str) -> Option<Self> {
        let name = reader.optional::<String>(key)?;
        Self::read(reader, key, &name)
    }

    fn read(reader: &mut Reader<'_>, key: &'static str, name: &str) -> Option<Self> {
        let path = beside(reader.file(), name);
        let read = std::fs::read(&path).map_err(|error| {
            Wrong::new(key, format!("{} cannot be read: {error}", path.display()), "name a file in PEM format")
        });
        let bytes = reported(reader, read)?;
        Some(Self { key, path, bytes })
    }

    pub(super) fn wrong(&self, message: impl fmt::Display, cure: &'static str) -> Wrong {
        Wrong::new(self.key, format!("{} {message}", self.path.display()), cure)
    }

    fn unreadable(&self, error: &rustls::Error) -> Wrong {
        let message = match error {
            rustls::Error::InvalidCertificate(why) => format!("holds a certificate that cannot be read ({why:?})"),
            error => format!("holds a certificate that cannot be used: {error}"),
        };
        self.wrong(message, CERTIFICATE_CURE)
    }

    /// All certificates of the file, at least one.
    pub(super) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, Wrong> {
        let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.bytes).collect();
        match all {
            Ok(all) if all.is_empty() => Err(self.wrong("holds no certificate", CERTIFICATE_CURE)),
            Ok(all) => Ok(all),
            Err(error) => Err(self.wrong(format_args!("is no proper PEM: {error}"), CERTIFICATE_CURE)),
        }
    }

    /// The first private key of the file.
    pub(super) fn private_key(&self) -> Result<PrivateKeyDer<'static>, Wrong> {
        let locked = b"-----BEGIN ENCRYPTED PRIVATE KEY-----";
        PrivateKeyDer::from_pem_slice(&self.bytes).map_err(|error| match error {
            pem::Error::NoItemsFound if self.bytes.windows(locked.len()).any(|part| part == locked) => {
                self.wrong("is locked by a password", "unlock it: openssl pkey -in locked.key -out open.key")
            }
            pem::Error::NoItemsFound => self.wrong("holds no private key", KEY_CURE),
            error => self.wrong(format_args!("is no proper PEM: {error}"), KEY_CURE),
        })
    }

    /// The file's certificates as what others are checked against.
    pub(super) fn roots(&self) -> Result<RootCertStore, Wrong> {
        let mut roots = RootCertStore::empty();
        for certificate in self.certificates()? {
            roots.add(certificate).map_err(|error| self.unreadable(&error))?;
        }
        Ok(roots)
    }
}

/// What a certificate and a key together are wrong about.
pub(super) fn mismatch(certificate: &Pem, key: &Pem, error: &rustls::Error) -> Wrong {
    match error {
        rustls::Error::InconsistentKeys(_) => key.wrong(
            format_args!("is not the key of {}", certificate.path.display()),
            "name the key that the certificate was made with",
        ),
        rustls::Error::InvalidCertificate(_) => certificate.unreadable(error),
        _ => key.wrong(format_args!("cannot be used: {error}"), "an RSA (2048 bits or more), ECDSA or Ed25519 key"),
    }
}

/// A path as written in a file, relative to that file.
fn beside(file: &str, name: &str) -> PathBuf {
    Path::new(file).parent().unwrap_or(Path::new("")).join(name)
}
