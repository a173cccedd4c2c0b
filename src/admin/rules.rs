//! `GET` and `PUT /api/v1/rules`, and the switch of a single rule.
//!
//! A `GET` shows all layers; a `PUT` replaces layer `api` alone. The `ETag` names the state of that layer: a `PUT`
//! with `If-Match` fails with 412 if somebody else has changed it since, so two writers cannot undo each other.

use std::cell::RefCell;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};

use super::api::Api;
use super::body;
use super::instance::cure_for_unknown;
use super::problem::Refusal;
use crate::client::wire;
use crate::diagnostics::{Node, Problems, Reader};
use crate::rules::{self, Layer, RuleSpec, RuleStatus};

pub(super) async fn get(State(api): State<Arc<Api>>) -> Response {
    let revision = api.revision();
    tagged(&api, *revision)
}

pub(super) async fn put(State(api): State<Arc<Api>>, headers: HeaderMap, body: Body) -> Result<Response, Refusal> {
    const REQUEST: &str = "PUT /api/v1/rules";
    let specs = read(&api, REQUEST, &body::json(REQUEST, body).await?).map_err(Refusal::invalid)?;
    // From here to the end nobody else changes the layer: what was compared is what is replaced.
    let mut revision = api.revision();
    if !matches(&headers, &tag(&api, *revision)) {
        let detail = "the rules of layer api have changed since they were read; read them again".to_owned();
        return Err(Refusal::new(StatusCode::PRECONDITION_FAILED, "stale", "somebody was faster", detail));
    }
    let (count, generation) = (specs.len(), api.store.replace(&Layer::Api, specs));
    *revision += 1;
    tracing::info!(rules = count, generation, "the rules of layer api were replaced");
    Ok(tagged(&api, *revision))
}

/// Reads the body; every mistake at once, also what `[safety]` forbids and what could never match.
fn read(api: &Api, request: &str, json: &serde_json::Value) -> Result<Vec<RuleSpec>, Problems> {
    let node = Node::from_json(json);
    let problems = RefCell::default();
    let mut top = Reader::new(request, &node, "", &problems);
    if !top.has("rule") {
        top.complain("\"rule\" is missing".to_owned(), Some("{\"rule\": []} removes all rules of this layer"));
    }
    let specs = rules::read_rules(&mut top);
    top.finish();
    let mut problems = problems.into_inner();
    problems.extend(api.ceilings.problems(&specs));
    let known = api.proxies();
    problems.extend(unknown_proxies(&known, &specs));
    if problems.is_empty() {
        problems.extend(rules::check::couples(&specs));
    }
    problems.or(())?;
    warn_of_futile(&known, &specs);
    Ok(specs)
}

/// A rule for a proxy that is not there would silently do nothing.
fn unknown_proxies(known: &[wire::Proxy], specs: &[RuleSpec]) -> Problems {
    let mut problems = Problems::default();
    for spec in specs {
        for proxy in spec.proxies.iter().flatten() {
            if let Some(cure) = cure_for_unknown(proxy, known) {
                let message = format!("rule \"{}\": there is no proxy \"{proxy}\"", spec.name);
                problems.extend(Problems::one(spec.origin.file.to_string(), message, Some(&cure)));
            }
        }
    }
    problems
}

/// What is well written but can never act, too: allowed, and said.
fn warn_of_futile(known: &[wire::Proxy], specs: &[RuleSpec]) {
    let names: Vec<_> = known.iter().map(|proxy| proxy.name.as_str()).collect();
    for problem in rules::futile(specs, &names).0 {
        tracing::warn!("{problem}");
    }
}

fn tag(api: &Api, revision: u64) -> String {
    format!("\"{}-{revision}\"", api.instance.id)
}

fn tagged(api: &Api, revision: u64) -> Response {
    let last_reload = api.metrics.reloads().last().map(|reload| wire::Reload {
        at: humantime::format_rfc3339_millis(reload.at).to_string(),
        successful: reload.problems.is_empty(),
        problems: reload.problems.0,
    });
    let rules: Vec<wire::Rule> = api.store.status().into_iter().map(Into::into).collect();
    let idle = rules.iter().filter(|rule| rule.idle).map(|rule| format!("{}/{}", rule.layer, rule.name)).collect();
    let listing = wire::Rules { generation: api.store.generation(), off: api.store.is_off(), rules, idle, last_reload };
    let mut response = Json(listing).into_response();
    if let Ok(tag) = HeaderValue::from_str(&tag(api, revision)) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// Whether `If-Match` lets a change pass: it is absent, `*`, or names the current state.
fn matches(headers: &HeaderMap, current: &str) -> bool {
    let mut sent = headers.get_all(header::IF_MATCH).iter().peekable();
    if sent.peek().is_none() {
        return true;
    }
    let mut tags = sent.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    tags.any(|tag| tag.trim() == "*" || tag.trim() == current)
}

/// What a switch does.
#[derive(Debug, Clone, Copy)]
pub(super) struct Switch {
    pub(super) enabled: bool,
}

pub(super) async fn switch(
    State(api): State<Arc<Api>>,
    Extension(Switch { enabled }): Extension<Switch>,
    name: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Json<wire::Rule>, Refusal> {
    let Path(name) = name.map_err(|error| Refusal::plain(StatusCode::BAD_REQUEST, error.to_string()))?;
    let mut revision = api.revision();
    let layer = find(&api, &name, wanted_layer(query.as_deref())?)?;
    api.store.set_enabled(&layer, &name, enabled);
    if layer == Layer::Api {
        *revision += 1;
    }
    tracing::info!(rule = name, %layer, enabled, "a rule was switched");
    let mut all = api.store.status().into_iter();
    let status = all.find(|status| status.layer == layer && status.name == name).ok_or_else(|| unknown(&name))?;
    Ok(Json(status.into()))
}

/// Switches all rules of a group at once. Those of runs are their runners' and stay as they are.
pub(super) async fn switch_group(
    State(api): State<Arc<Api>>,
    Extension(Switch { enabled }): Extension<Switch>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Json<wire::Group>, Refusal> {
    let Path(group) = name.map_err(|error| Refusal::plain(StatusCode::BAD_REQUEST, error.to_string()))?;
    let mut revision = api.revision();
    let switched = api.store.set_group_enabled(&group, enabled);
    if switched.is_empty() {
        let detail = format!("no rule is in a group {group:?}");
        return Err(Refusal::new(StatusCode::NOT_FOUND, "unknown-group", "no such group", detail));
    }
    if switched.iter().any(|(layer, _)| *layer == Layer::Api) {
        *revision += 1;
    }
    tracing::info!(group, rules = switched.len(), enabled, "a group was switched");
    let is_switched =
        |status: &RuleStatus| switched.iter().any(|(layer, name)| *layer == status.layer && **name == *status.name);
    let rules = api.store.status().into_iter().filter(is_switched).map(Into::into).collect();
    Ok(Json(wire::Group { group, rules }))
}

fn wanted_layer(query: Option<&str>) -> Result<Option<Layer>, Refusal> {
    let mut layer = None;
    for (key, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        if key != "layer" {
            let detail = format!("unknown parameter {key:?} (known: layer)");
            return Err(Refusal::plain(StatusCode::BAD_REQUEST, detail));
        }
        let known = Layer::parse(&value);
        let wrong = || format!("layer = {value:?} is not valid (expected file, api or run:ID)");
        layer = Some(known.ok_or_else(|| Refusal::plain(StatusCode::BAD_REQUEST, wrong()))?);
    }
    Ok(layer)
}

/// The layer of the rule with this name; it must be said when there are several.
fn find(api: &Api, name: &str, wanted: Option<Layer>) -> Result<Layer, Refusal> {
    let named = api.store.status().into_iter().filter(|status| status.name == name).map(|status| status.layer);
    let mut layers: Vec<_> = named.filter(|layer| wanted.as_ref().is_none_or(|wanted| wanted == layer)).collect();
    match (layers.pop(), layers.is_empty()) {
        (Some(layer), true) => Ok(layer),
        (None, _) => Err(unknown(name)),
        (Some(last), false) => {
            layers.push(last);
            let rules = layers.iter().map(|layer| format!("{layer}/{name}")).collect();
            let detail = format!("rule {name:?} is in several layers: add ?layer=");
            Err(Refusal::new(StatusCode::CONFLICT, "ambiguous-rule", "several rules", detail).with_rules(rules))
        }
    }
}

fn unknown(name: &str) -> Refusal {
    let detail = format!("there is no rule {name:?}");
    Refusal::new(StatusCode::NOT_FOUND, "unknown-rule", "no such rule", detail)
}
