//! The TLS of a proxy: `[proxy.tls]` towards its clients, `[proxy.upstream_tls]` towards its upstreams.

use std::path::{Path, PathBuf};

use super::upstream::{Scheme, Upstream};
use crate::diagnostics::node::Value;
use crate::diagnostics::{Node, Reader};
use crate::tls::{ClientTls, ServerTls};

/// The keys of both tables that name files.
const FILES: [&str; 4] = ["certificate", "key", "client_ca", "ca"];

/// Reads what clients are shown; `None` without the table, or when a problem was recorded.
pub(super) fn read_server(reader: &mut Reader<'_>) -> Option<ServerTls> {
    let mut table = reader.table("tls")?;
    let tls = ServerTls::read(&mut table);
    table.finish();
    tls
}

/// Reads what is asked of these upstreams; `None` if they are spoken to in the clear, or when a problem was recorded.
pub(super) fn read_client(reader: &mut Reader<'_>, upstreams: &[Upstream]) -> Option<ClientTls> {
    let is_secure = upstreams.iter().any(|upstream| upstream.scheme == Scheme::Https);
    let Some(mut table) = reader.table("upstream_tls") else {
        if !is_secure {
            return None;
        }
        return ClientTls::by_default()
            .map_err(|wrong| reader.reject("upstream", wrong.message, Some(wrong.cure)))
            .ok();
    };
    let tls = ClientTls::read(&mut table);
    table.finish();
    if !is_secure && !upstreams.is_empty() {
        reader.reject(
            "upstream_tls",
            "no upstream is https://",
            Some("write upstream = \"https://...\", or remove it"),
        );
        return None;
    }
    tls
}

/// The files that the tables of a document name, whether or not they, or the rest of the document, are right: what
/// must be watched to notice a cure.
pub(super) fn files(path: &Path, document: &Node) -> Vec<PathBuf> {
    let Value::Table(top) = &document.value else { return Vec::new() };
    let Some(Node { value: Value::Array(proxies), .. }) = top.get("proxy") else { return Vec::new() };
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut files = Vec::new();
    for proxy in proxies {
        let Value::Table(proxy) = &proxy.value else { continue };
        for table in ["tls", "upstream_tls"] {
            let Some(Node { value: Value::Table(table), .. }) = proxy.get(table) else { continue };
            for key in FILES {
                if let Some(Node { value: Value::Text(name), .. }) = table.get(key) {
                    files.push(folder.join(name));
                }
            }
        }
    }
    files
}
