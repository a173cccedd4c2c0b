//! Toxics from bodies: as lenient as the original towards what it knows, as strict as a file towards what is ours.

use std::cell::RefCell;

use serde_json::{Map, Value};

use super::decode::Fields;
use super::problem::Problem;
use crate::diagnostics::{Node, Reader};
use crate::faults::toxics::{self, Kind, Stream, ToxicSpec};
use crate::rules::Ceilings;

/// A toxic as it was sent, before it is known whether its name is free.
pub(super) struct Sent {
    pub(super) name: String,
    kind: &'static Kind,
    stream: Stream,
    stream_written: String,
    toxicity: f32,
    attributes: Value,
}

impl Sent {
    /// Reads everything but the attributes, which are looked at last.
    pub(super) fn read(value: &Value, strict: bool) -> Result<Self, Problem> {
        let fields = Fields::of("ToxicWrapper", value).map_err(Problem::body)?;
        let text = |name| fields.text(name).map_err(Problem::body);
        let (name, kind, stream) = (text("name")?, text("type")?, text("stream")?);
        let toxicity = fields.float("toxicity").map_err(Problem::body)?.unwrap_or(1.0);
        let stream_written = if stream.is_empty() { Stream::Downstream.name().to_owned() } else { stream };
        let Some(stream) = Stream::parse(&stream_written) else {
            return Err(Problem::bad("stream was invalid, can be either upstream or downstream"));
        };
        let known = toxics::kind(&kind).filter(|kind| kind.is_toxiproxys || !strict);
        let kind = known.ok_or_else(|| Problem::bad("invalid toxic type"))?;
        let name = if name.is_empty() { format!("{}_{stream_written}", kind.name) } else { name };
        let attributes = fields.get("attributes").cloned().unwrap_or(Value::Null);
        Ok(Self { name, kind, stream, stream_written, toxicity, attributes })
    }

    /// The toxic, once its attributes have been read, too.
    pub(super) fn finish(self, ceilings: Ceilings) -> Result<ToxicSpec, Problem> {
        allowed(self.toxicity, ceilings)?;
        let written = merged(self.kind, &Map::new(), &self.attributes)?;
        let (toxic, attributes) = compile(self.kind, written)?;
        let Self { name, kind, stream, stream_written, toxicity, .. } = self;
        Ok(ToxicSpec { name, kind: kind.name, stream, stream_written, toxicity, attributes, toxic })
    }
}

/// The toxic with the attributes and the toxicity of a body; what the body does not name stays.
pub(super) fn changed(current: &ToxicSpec, value: &Value, ceilings: Ceilings) -> Result<ToxicSpec, Problem> {
    let fields = Fields::of("ToxicWrapper", value).map_err(Problem::body)?;
    let toxicity = fields.float("toxicity").map_err(Problem::body)?.unwrap_or(current.toxicity);
    allowed(toxicity, ceilings)?;
    let kind = toxics::kind(current.kind).ok_or_else(|| Problem::bad("invalid toxic type"))?;
    let sent = fields.get("attributes").unwrap_or(&Value::Null);
    let (toxic, attributes) = compile(kind, merged(kind, &current.attributes, sent)?)?;
    Ok(ToxicSpec { toxicity, attributes, toxic, ..current.clone() })
}

/// `[safety]` holds for toxics as for rules.
fn allowed(toxicity: f32, ceilings: Ceilings) -> Result<(), Problem> {
    if f64::from(toxicity) > ceilings.max_probability {
        return Err(Problem::bad(format!("toxicity is above safety.max_probability = {}", ceilings.max_probability)));
    }
    if ceilings.require_lease {
        return Err(Problem::bad("safety.require_lease is set, and toxics have no lease: use a rule"));
    }
    Ok(())
}

/// What a body says over what there was. Keys that the kind does not have are ignored.
fn merged(kind: &Kind, current: &Map<String, Value>, sent: &Value) -> Result<Map<String, Value>, Problem> {
    let fields = Fields::of(kind.name, sent).map_err(Problem::body)?;
    let mut attributes = current.clone();
    for (name, _) in kind.numbers {
        if let Some(number) = fields.whole(name).map_err(Problem::body)? {
            attributes.insert((*name).to_owned(), number.into());
        }
    }
    for name in kind.others {
        if let Some(value) = fields.get(name) {
            attributes.insert((*name).to_owned(), value.clone());
        }
    }
    Ok(attributes)
}

type Compiled = (std::sync::Arc<dyn toxics::Toxic>, Map<String, Value>);

fn compile(kind: &Kind, written: Map<String, Value>) -> Result<Compiled, Problem> {
    let node = Node::from_json(&Value::Object(written));
    let problems = RefCell::default();
    let toxic = toxics::compile(kind, Reader::new("attributes", &node, "", &problems));
    let shown = toxics::attributes(kind, Some(&node));
    match toxic {
        Some(toxic) => Ok((toxic, shown)),
        None => {
            let first = problems.into_inner().0.into_iter().next();
            let message = first.map(|problem| format!("{}: {}", kind.name, problem.message)).unwrap_or_default();
            Err(Problem::body(message))
        }
    }
}
