//! Which protocols are offered in a handshake.

use crate::diagnostics::Reader;

/// A protocol that can be agreed on in a handshake (RFC 7301).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Spoken {
    /// HTTP/1.1; also what is spoken when nothing was agreed on.
    #[default]
    Http1,
    /// HTTP/2.
    Http2,
}

impl Spoken {
    const ALL: [Self; 2] = [Self::Http2, Self::Http1];

    /// As it is called in handshakes and in configurations.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http1 => "http/1.1",
            Self::Http2 => "h2",
        }
    }

    /// What a handshake agreed on; nothing is HTTP/1.1.
    pub fn agreed(protocol: Option<&[u8]>) -> Self {
        if protocol == Some(b"h2") { Self::Http2 } else { Self::Http1 }
    }
}

/// The protocols that are offered, preferred ones first; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alpn(Vec<Spoken>);

impl Default for Alpn {
    fn default() -> Self {
        Self(Spoken::ALL.to_vec())
    }
}

impl Alpn {
    /// Reads `alpn`; absent or wrong, it is both, HTTP/2 first.
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        const CURE: Option<&str> = Some("\"h2\", \"http/1.1\", or a list of both");
        let Some(written) = reader.optional::<Vec<String>>("alpn") else { return Self::default() };
        let mut protocols = Vec::new();
        for name in &written {
            match Spoken::ALL.into_iter().find(|spoken| spoken.name() == name) {
                Some(spoken) if protocols.contains(&spoken) => {
                    reader.reject("alpn", format!("\"{name}\" is there twice"), CURE);
                }
                Some(spoken) => protocols.push(spoken),
                None => reader.reject("alpn", format!("\"{name}\" is not known"), CURE),
            }
        }
        if written.is_empty() {
            reader.reject("alpn", "the list is empty", CURE);
        }
        if protocols.is_empty() { Self::default() } else { Self(protocols) }
    }

    /// Whether this protocol is offered.
    pub fn has(&self, spoken: Spoken) -> bool {
        self.0.contains(&spoken)
    }

    /// As rustls takes them.
    pub(super) fn wire(&self) -> Vec<Vec<u8>> {
        self.0.iter().map(|spoken| spoken.name().as_bytes().to_vec()).collect()
    }
}
