//! Who answers here: `GET /api/v1/instance` and `GET /api/v1/proxies`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::api::Api;
use crate::client::wire;
use crate::config::Protocol;
use crate::diagnostics::nearest;
use crate::proxy::Proxy;

/// What the API tells about a running proxy.
pub fn describe(proxy: &Proxy) -> wire::Proxy {
    let config = proxy.config();
    let protocol = match config.protocol {
        Protocol::Http => "http",
        Protocol::Tcp => "tcp",
    };
    wire::Proxy {
        name: config.name.clone(),
        protocol: protocol.to_owned(),
        listen: proxy.address().to_string(),
        upstreams: config.upstreams.iter().map(ToString::to_string).collect(),
    }
}

pub(super) async fn instance(State(api): State<Arc<Api>>) -> Json<wire::Instance> {
    Json(api.instance.clone())
}

pub(super) async fn proxies(State(api): State<Arc<Api>>) -> Json<wire::Proxies> {
    Json(wire::Proxies { proxies: api.proxies() })
}

/// The cure for a name that no running proxy has; `None` if one has it.
pub(super) fn cure_for_unknown(name: &str, known: &[wire::Proxy]) -> Option<String> {
    let names = || known.iter().map(|proxy| proxy.name.as_str());
    if names().any(|known| known == name) {
        return None;
    }
    Some(match nearest(name, names()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None if known.is_empty() => "this instance has no proxy".to_owned(),
        None => format!("known: {}", names().collect::<Vec<_>>().join(", ")),
    })
}
