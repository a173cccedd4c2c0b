//! `/metrics` with the original's names.

use std::fmt::Write;

use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::{Encoder, TextEncoder};

use super::router::{Api, Exported};

/// The text format. Go's own figures have no counterpart here; those of the process are there under the same names.
pub(super) async fn text(api: &Api, exported: Exported) -> String {
    let mut text = String::new();
    if exported.proxy {
        proxies(api, &mut text).await;
    }
    if exported.runtime {
        let mut process = Vec::new();
        let families = ProcessCollector::for_self().collect();
        if TextEncoder::new().encode(&families, &mut process).is_ok() {
            text.push_str(&String::from_utf8_lossy(&process));
        }
    }
    text
}

async fn proxies(api: &Api, text: &mut String) {
    let bytes = api.registry.bytes().await;
    for (name, help) in [
        ("toxiproxy_proxy_received_bytes_total", "The total number of bytes received by a proxy"),
        ("toxiproxy_proxy_sent_bytes_total", "The total number of bytes sent by a proxy"),
    ] {
        if bytes.is_empty() {
            continue;
        }
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} counter");
        for (shown, moved) in &bytes {
            for (direction, moved) in [("downstream", moved.downstream), ("upstream", moved.upstream)] {
                let value = if name.contains("received") { moved.received } else { moved.sent };
                let (listener, upstream) = (shown.listen, &shown.upstream);
                let proxy = escaped(&shown.name);
                let _ = writeln!(
                    text,
                    "{name}{{direction=\"{direction}\",listener=\"{listener}\",proxy=\"{proxy}\",upstream=\"{}\"}} {value}",
                    escaped(upstream)
                );
            }
        }
    }
}

fn escaped(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
