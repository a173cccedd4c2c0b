//! What only a TCP proxy has: toxics from the start, a switch, a cap.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::num::NonZeroU32;

use super::address::Listen;
use crate::diagnostics::Reader;
use crate::faults::toxics::{ToxicSpec, read_toxic};

/// The keys of a `[[proxy]]` with `protocol = "tcp"` beyond those of every proxy.
#[derive(Debug, Clone, PartialEq)]
pub struct TcpOptions {
    /// `enabled`: whether it listens. Default true.
    pub enabled: bool,
    /// `max_connections`: connections beyond so many at once are reset. Default: no limit.
    pub max_connections: Option<NonZeroU32>,
    /// `groups`: the sides that this proxy connects, for partitions. Default none.
    pub groups: Vec<String>,
    /// `[[proxy.toxic]]`, in order.
    pub toxics: Vec<ToxicSpec>,
}

impl Default for TcpOptions {
    fn default() -> Self {
        Self { enabled: true, max_connections: None, groups: Vec::new(), toxics: Vec::new() }
    }
}

const KEYS: [&str; 4] = ["enabled", "max_connections", "groups", "toxic"];

impl TcpOptions {
    /// Reads the keys of a TCP proxy.
    pub(super) fn read(reader: &mut Reader<'_>, owner: &str) -> Self {
        let enabled = reader.or("enabled", true);
        let most: Option<u32> = reader.optional("max_connections");
        if most == Some(0) {
            let cure = Some("enabled = false serves nobody; leave it out for no limit");
            reader.reject("max_connections", "0 would serve nobody", cure);
        }
        let groups: Vec<String> = reader.or("groups", Vec::new());
        let toxics: Vec<ToxicSpec> =
            reader.tables("toxic").into_iter().filter_map(|table| read_toxic(table, owner)).collect();
        let mut names = HashSet::new();
        if let Some(twice) = toxics.iter().find(|toxic| !names.insert(&toxic.name)) {
            let message = format!("two toxics are called \"{}\"", twice.name);
            reader.reject("toxic", message, Some("give each a name of its own"));
        }
        Self { enabled, max_connections: most.and_then(NonZeroU32::new), groups, toxics }
    }

    /// Refuses those keys on a proxy of another protocol.
    pub(super) fn refuse(reader: &mut Reader<'_>) {
        for key in KEYS {
            if reader.node(key).is_some() {
                reader.reject(key, "is for proxies with protocol = \"tcp\"", Some("rules act on HTTP proxies"));
            }
        }
    }
}

/// `[toxiproxy]`: Toxiproxy's API. Off unless the table is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toxiproxy {
    /// Default 127.0.0.1:8474.
    pub listen: SocketAddr,
    /// Whether the original's behaviour counts more than a better one. Default false.
    pub strict: bool,
}

impl Toxiproxy {
    /// Where Toxiproxy listens unless told otherwise.
    pub const PORT: u16 = 8474;

    pub(super) fn read(top: &mut Reader<'_>) -> Option<Self> {
        let mut reader = top.table("toxiproxy")?;
        let default = SocketAddr::from(([127, 0, 0, 1], Self::PORT));
        let listen = reader.or("listen", Listen(default)).0;
        let strict = reader.or("strict", false);
        reader.finish();
        Some(Self { listen, strict })
    }
}
