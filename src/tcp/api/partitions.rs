//! `/partitions`, which is ours: every connection between two sides is cut at once.
//!
//! A proxy stands for the line between the sides that its `groups` name. A partition between two lists of sides cuts
//! every proxy that has a side in each; a proxy's own name counts as a side, too. It is a toxic of the kind `partition`
//! in both directions, so that it is shown with the others and ends with a reset.

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map, Value, json as value};

use super::problem::Problem;
use super::router::{Api, empty, json};
use super::{decode, decode::Fields};
use crate::faults::toxics::{self, Stream, ToxicSpec};
use crate::tcp::Toxics;

pub(super) async fn list(api: &Api) -> Response {
    let all = api.partitions.lock().await;
    json(StatusCode::OK, &all.iter().map(|(name, sides)| (name.clone(), value!(sides))).collect::<Map<_, _>>().into())
}

pub(super) async fn create(api: &Api, body: &[u8]) -> Result<Response, Problem> {
    let sent = decode::first(body).map_err(Problem::body)?;
    let fields = Fields::of("Partition", &sent).map_err(Problem::body)?;
    let name = fields.text("name").map_err(Problem::body)?;
    if name.is_empty() {
        return Err(Problem::missing("name"));
    }
    let sides = sides(fields.get("between"))?;
    let mut all = api.partitions.lock().await;
    if all.contains_key(&name) {
        return Err(Problem { status: 409, message: "partition already exists".to_owned() });
    }
    let mut cut = Vec::new();
    api.registry
        .change_toxics(|proxy, groups, toxics| {
            let has = |side: &[String]| side.iter().any(|side| side == proxy || groups.contains(side));
            if !(has(&sides[0]) && has(&sides[1])) {
                return None;
            }
            cut.push(Value::from(proxy));
            Some(severed(toxics, &name))
        })
        .await;
    if cut.is_empty() {
        return Err(Problem::bad("no proxy lies between these sides: give proxies \"groups\""));
    }
    all.insert(name.clone(), sides.clone());
    Ok(json(StatusCode::CREATED, &value!({ "name": name, "between": sides, "proxies": cut })))
}

pub(super) async fn delete(api: &Api, name: &str) -> Result<Response, Problem> {
    let mut all = api.partitions.lock().await;
    if all.remove(name).is_none() {
        return Err(Problem { status: 404, message: "partition not found".to_owned() });
    }
    let ours = [Stream::Upstream, Stream::Downstream].map(|stream| toxic_name(name, stream));
    let is_ours = |toxics: &Toxics| ours.iter().any(|name| toxics.get(name).is_some());
    api.registry
        .change_toxics(|_, _, toxics| is_ours(toxics).then(|| toxics.without(&ours[0]).without(&ours[1])))
        .await;
    Ok(empty(StatusCode::NO_CONTENT))
}

/// `between`: two sides, each a name or a list of names.
fn sides(between: Option<&Value>) -> Result<[Vec<String>; 2], Problem> {
    let names = |side: &Value| -> Option<Vec<String>> {
        match side {
            Value::String(name) => Some(vec![name.clone()]),
            Value::Array(names) => names.iter().map(|name| name.as_str().map(str::to_owned)).collect(),
            _ => None,
        }
    };
    match between.and_then(Value::as_array).map(Vec::as_slice) {
        Some([one, other]) => names(one).zip(names(other)).map(|(one, other)| [one, other]),
        _ => None,
    }
    .ok_or_else(|| {
        Problem::body("between: expected two names or lists of names, such as [\"app\", [\"db\", \"cache\"]]")
    })
}

fn toxic_name(partition: &str, stream: Stream) -> String {
    format!("partition_{partition}_{}", stream.name())
}

fn severed(toxics: &Toxics, partition: &str) -> Toxics {
    let mut severed = toxics.clone();
    let Some(kind) = toxics::kind("partition") else { return severed };
    for stream in [Stream::Upstream, Stream::Downstream] {
        let empty = crate::diagnostics::Node::from_json(&value!({}));
        let problems = std::cell::RefCell::default();
        let reader = crate::diagnostics::Reader::new("partition", &empty, "", &problems);
        let Some(toxic) = toxics::compile(kind, reader) else { continue };
        severed = severed.with(ToxicSpec {
            name: toxic_name(partition, stream),
            kind: kind.name,
            stream,
            stream_written: stream.name().to_owned(),
            toxicity: 1.0,
            attributes: Map::new(),
            toxic,
        });
    }
    severed
}
