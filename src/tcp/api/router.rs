//! The routes, and what every request and answer has in common.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Mutex;

use super::problem::{Problem, plain};
use super::{VERSION, metrics, partitions, proxies, toxics, wire};
use crate::clock;
use crate::tcp::registry::Registry;
use crate::telemetry::serve::serve;

/// No handler takes longer, as in the original.
const LIMIT: Duration = Duration::from_secs(25);
/// What the original answers then.
const TIMEOUT: &str = "<html><head><title>Timeout</title></head><body><h1>Timeout</h1></body></html>";
/// The longest body that is read.
const LONGEST: usize = 16 << 20;
const REQUEST_ID: HeaderName = HeaderName::from_static("x-toxiproxy-request-id");
const OUR_VERSION: HeaderName = HeaderName::from_static("x-brownout-version");

/// What `/metrics` shows; without any of it the route does not exist.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Exported {
    /// `-proxy-metrics`: bytes of every proxy.
    pub proxy: bool,
    /// `-runtime-metrics`: figures of the process.
    pub runtime: bool,
}

/// The state behind all routes.
pub struct Api {
    pub(super) registry: Arc<Registry>,
    pub(super) strict: bool,
    pub(super) partitions: Mutex<BTreeMap<String, [Vec<String>; 2]>>,
    exported: Exported,
}

impl Api {
    /// The API over these proxies.
    pub fn new(registry: Arc<Registry>, exported: Exported) -> Arc<Self> {
        let strict = registry.around().strict;
        Arc::new(Self { registry, strict, partitions: Mutex::default(), exported })
    }
}

/// Serves the API until `stop` is over. Runs on the caller's runtime.
pub async fn serve_toxiproxy(listener: TcpListener, api: Arc<Api>, stop: impl Future<Output = ()>) {
    serve(listener, Router::new().fallback(answer).with_state(api), stop).await;
}

/// One route: a path with its names filled in.
enum Route {
    Proxies,
    Populate,
    Reset,
    Version,
    Metrics,
    Proxy(String),
    Toxics(String),
    Toxic(String, String),
    /// Ours.
    Partitions,
    /// Ours.
    Partition(String),
}

impl Route {
    fn of(path: &str, exported: Exported, strict: bool) -> Option<Self> {
        let parts: Vec<String> = path.strip_prefix('/')?.split('/').map(decoded).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        match parts[..] {
            ["proxies"] => Some(Self::Proxies),
            ["populate"] => Some(Self::Populate),
            ["reset"] => Some(Self::Reset),
            ["version"] => Some(Self::Version),
            ["metrics"] if exported != Exported::default() => Some(Self::Metrics),
            ["partitions"] if !strict => Some(Self::Partitions),
            ["partitions", name] if !strict && !name.is_empty() => Some(Self::Partition(name.to_owned())),
            ["proxies", proxy] if !proxy.is_empty() => Some(Self::Proxy(proxy.to_owned())),
            ["proxies", proxy, "toxics"] if !proxy.is_empty() => Some(Self::Toxics(proxy.to_owned())),
            ["proxies", proxy, "toxics", toxic] if !proxy.is_empty() && !toxic.is_empty() => {
                Some(Self::Toxic(proxy.to_owned(), toxic.to_owned()))
            }
            _ => None,
        }
    }

    fn takes(&self, method: &Method) -> bool {
        match self {
            Self::Proxies | Self::Toxics(_) | Self::Partitions => *method == Method::GET || *method == Method::POST,
            Self::Populate | Self::Reset => *method == Method::POST,
            Self::Version => *method == Method::GET,
            Self::Metrics => true,
            Self::Partition(_) => *method == Method::DELETE,
            Self::Proxy(_) | Self::Toxic(..) => {
                [Method::GET, Method::POST, Method::PATCH, Method::DELETE].contains(method)
            }
        }
    }
}

async fn answer(State(api): State<Arc<Api>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let Some(route) = Route::of(head.uri.path(), api.exported, api.strict) else {
        return plain(StatusCode::NOT_FOUND, "404 page not found\n");
    };
    if !route.takes(&head.method) {
        return empty(StatusCode::METHOD_NOT_ALLOWED);
    }
    // Browsers send it: a page of anybody must not steer the proxies of whoever looks at it.
    let is_browser =
        head.headers.get(header::USER_AGENT).is_some_and(|agent| agent.as_bytes().starts_with(b"Mozilla/"));
    let mut response = if is_browser {
        plain(StatusCode::FORBIDDEN, "User agent not allowed\n")
    } else {
        match to_bytes(body, LONGEST).await {
            Ok(body) => within_limit(dispatch(&api, route, &head.method, body)).await,
            Err(error) => Problem::body(error).into_response(),
        }
    };
    if let Ok(id) = HeaderValue::try_from(format!("{:016x}", rand::random::<u64>())) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

async fn within_limit(answer: impl Future<Output = Result<Response, Problem>>) -> Response {
    tokio::select! {
        answer = answer => answer.unwrap_or_else(IntoResponse::into_response),
        () = clock::sleep(LIMIT) => (StatusCode::SERVICE_UNAVAILABLE, TIMEOUT).into_response(),
    }
}

async fn dispatch(api: &Api, route: Route, method: &Method, body: Bytes) -> Result<Response, Problem> {
    let reads = *method == Method::GET;
    match &route {
        Route::Proxies if reads => proxies::list(api).await,
        Route::Proxies => proxies::create(api, &body).await,
        Route::Populate => proxies::populate(api, &body).await,
        Route::Reset => proxies::reset(api).await,
        Route::Version => Ok(version()),
        Route::Metrics => {
            let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
            Ok((kind, metrics::text(api, api.exported).await).into_response())
        }
        Route::Partitions if reads => Ok(partitions::list(api).await),
        Route::Partitions => partitions::create(api, &body).await,
        Route::Partition(name) => partitions::delete(api, name).await,
        Route::Proxy(proxy) if reads => proxies::show(api, proxy).await,
        Route::Proxy(proxy) if *method == Method::DELETE => proxies::delete(api, proxy).await,
        Route::Proxy(proxy) => proxies::update(api, proxy, &body).await,
        Route::Toxics(proxy) if reads => toxics::list(api, proxy).await,
        Route::Toxics(proxy) => toxics::create(api, proxy, &body).await,
        Route::Toxic(proxy, toxic) if reads => toxics::show(api, proxy, toxic).await,
        Route::Toxic(proxy, toxic) if *method == Method::DELETE => toxics::delete(api, proxy, toxic).await,
        Route::Toxic(proxy, toxic) => toxics::update(api, proxy, toxic, &body).await,
    }
}

fn version() -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json;charset=utf-8")),
        (OUR_VERSION, HeaderValue::from_static(env!("CARGO_PKG_VERSION"))),
    ];
    (headers, format!("{{\"version\": \"{VERSION}\"}}\n")).into_response()
}

/// A JSON answer.
pub(super) fn json(status: StatusCode, value: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], wire::encode(value)).into_response()
}

/// An answer without a body.
pub(super) fn empty(status: StatusCode) -> Response {
    (status, Body::empty()).into_response()
}

/// A path segment with its escapes resolved; what is no escape stays.
fn decoded(segment: &str) -> String {
    let bytes = segment.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape = segment.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        match escape.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
