//! `/proxies`, `/populate` and `/reset`.

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;

use super::attributes::Sent;
use super::decode::{self, Fields};
use super::problem::Problem;
use super::router::{Api, json};
use super::{listen, wire};
use crate::faults::toxics::ToxicSpec;
use crate::tcp::registry::{Change, Shown, Wanted};

/// A proxy as it was sent, before its address was looked up.
struct Sketch {
    name: String,
    listen: String,
    upstream: String,
    enabled: bool,
    toxics: Vec<ToxicSpec>,
    groups: Vec<String>,
}

impl Sketch {
    fn read(value: &Value, api: &Api) -> Result<Self, Problem> {
        let strict = api.strict;
        let fields = Fields::of("Proxy", value).map_err(Problem::body)?;
        let text = |name| fields.text(name).map_err(Problem::body);
        let (name, listen, upstream) = (text("name")?, text("listen")?, text("upstream")?);
        let enabled = fields.truth("enabled").map_err(Problem::body)?.unwrap_or(true);
        let toxics = match fields.get("toxics") {
            // The original ignores them here.
            Some(Value::Array(sent)) if !strict => {
                let mut toxics: Vec<ToxicSpec> = Vec::with_capacity(sent.len());
                for toxic in sent {
                    let toxic = Sent::read(toxic, strict)?;
                    if toxics.iter().any(|other| other.name == toxic.name) {
                        return Err(crate::tcp::registry::Refusal::ToxicExists.into());
                    }
                    toxics.push(toxic.finish(api.registry.around().ceilings)?);
                }
                toxics
            }
            _ => Vec::new(),
        };
        let groups = if strict { Vec::new() } else { fields.texts("groups").map_err(Problem::body)? };
        Ok(Self { name, listen, upstream, enabled, toxics, groups })
    }

    fn check(&self, suffix: &str) -> Result<(), Problem> {
        if self.name.is_empty() {
            return Err(Problem::missing(&format!("name{suffix}")));
        }
        if self.upstream.is_empty() {
            return Err(Problem::missing(&format!("upstream{suffix}")));
        }
        Ok(())
    }

    async fn wanted(self, api: &Api) -> Result<Wanted, Problem> {
        let listen = listen::resolve(&self.listen).await?;
        let spec = api.registry.spec(self.name, listen, self.upstream);
        Ok(Wanted { spec, enabled: self.enabled, toxics: self.toxics, groups: self.groups })
    }
}

pub(super) async fn list(api: &Api) -> Result<Response, Problem> {
    let http = api.registry.http.lock().await;
    Ok(json(StatusCode::OK, &wire::proxies(&api.registry.list().await, http.shown())))
}

pub(super) async fn create(api: &Api, body: &[u8]) -> Result<Response, Problem> {
    let value = decode::first(body).map_err(Problem::body)?;
    let sketch = Sketch::read(&value, api)?;
    sketch.check("")?;
    if api.registry.http.lock().await.has(&sketch.name) {
        return Err(crate::tcp::registry::Refusal::ProxyExists.into());
    }
    let shown = api.registry.create(sketch.wanted(api).await?).await?;
    Ok(json(StatusCode::CREATED, &wire::proxy(&shown)))
}

pub(super) async fn show(api: &Api, name: &str) -> Result<Response, Problem> {
    let http = api.registry.http.lock().await;
    if http.has(name) {
        return Ok(json(StatusCode::OK, &http.show(name)?));
    }
    Ok(json(StatusCode::OK, &wire::proxy(&api.registry.get(name).await?)))
}

pub(super) async fn update(api: &Api, name: &str, body: &[u8]) -> Result<Response, Problem> {
    not_http(api, name).await?;
    let current = api.registry.get(name).await?;
    let value = decode::first(body).map_err(Problem::body)?;
    let fields = Fields::of("Proxy", &value).map_err(Problem::body)?;
    let enabled = fields.truth("enabled").map_err(Problem::body)?;
    let upstream = fields.text("upstream").map_err(Problem::body)?;
    let written = fields.text("listen").map_err(Problem::body)?;
    let listen = if written.is_empty() { current.listen } else { listen::resolve(&written).await? };
    let change = Change { listen: Some(listen), upstream: Some(upstream).filter(|u| !u.is_empty()), enabled };
    Ok(json(StatusCode::OK, &wire::proxy(&api.registry.update(name, change).await?)))
}

pub(super) async fn delete(api: &Api, name: &str) -> Result<Response, Problem> {
    not_http(api, name).await?;
    api.registry.delete(name).await?;
    Ok(super::router::empty(StatusCode::NO_CONTENT))
}

pub(super) async fn reset(api: &Api) -> Result<Response, Problem> {
    api.registry.http.lock().await.reset(&api.registry.around().rules);
    api.partitions.lock().await.clear();
    api.registry.reset().await?;
    Ok(super::router::empty(StatusCode::NO_CONTENT))
}

/// HTTP proxies are the configuration's: here only their toxics can be changed.
async fn not_http(api: &Api, name: &str) -> Result<(), Problem> {
    if api.registry.http.lock().await.has(name) {
        return Err(Problem::bad(format!("proxy {name} speaks HTTP: the configuration file changes it")));
    }
    Ok(())
}

pub(super) async fn populate(api: &Api, body: &[u8]) -> Result<Response, Problem> {
    let wanted = sketches(body, api)?;
    let mut done: Vec<Shown> = Vec::new();
    for sketch in wanted {
        let added = match sketch.wanted(api).await {
            Ok(wanted) => api.registry.populate(wanted).await.map_err(Problem::from),
            Err(problem) => Err(problem),
        };
        match added {
            Ok(shown) => done.push(shown),
            Err(problem) => {
                let body = serde_json::json!({
                    "error": problem.message,
                    "status": problem.status,
                    "proxies": wire::populated(&done),
                });
                let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                return Ok(json(status, &body));
            }
        }
    }
    Ok(json(StatusCode::CREATED, &serde_json::json!({ "proxies": wire::populated(&done) })))
}

/// Every proxy of a list, each checked before any is touched.
fn sketches(body: &[u8], api: &Api) -> Result<Vec<Sketch>, Problem> {
    let value = decode::first(body).map_err(Problem::body)?;
    let items: &[Value] = match &value {
        Value::Null => &[],
        Value::Array(items) => items,
        _ => return Err(Problem::body("json: cannot unmarshal object into Go value of type []toxiproxy.Proxy")),
    };
    let all = items.iter().map(|item| Sketch::read(item, api)).collect::<Result<Vec<_>, _>>()?;
    for (n, sketch) in (1..).zip(&all) {
        sketch.check(&format!(" at proxy {n}"))?;
    }
    Ok(all)
}

/// The proxies of a configuration file in Toxiproxy's format, ready to be populated with.
///
/// # Errors
/// The first thing that is wrong with it.
pub async fn read_file(api: &Api, text: &str) -> Result<Vec<Wanted>, Problem> {
    let mut wanted = Vec::new();
    for sketch in sketches(text.as_bytes(), api)? {
        wanted.push(sketch.wanted(api).await?);
    }
    Ok(wanted)
}
