//! From what was written to a toxic: the same table in a configuration file and in a body of the API.

use std::sync::Arc;

use serde_json::{Map, Number, Value as Json};

use super::{KINDS, Kind, Stream, Toxic, Unit};
use crate::diagnostics::node::Value;
use crate::diagnostics::{Node, Reader, nearest};
use crate::units::Share;

/// A toxic with everything that was said about it.
#[derive(Debug, Clone)]
pub struct ToxicSpec {
    /// Unique in its proxy, over both streams.
    pub name: String,
    /// Its row in the table.
    pub kind: &'static str,
    /// The direction it acts on.
    pub stream: Stream,
    /// The direction as it was written, which is how it is shown.
    pub stream_written: String,
    /// The share of connections that it acts on.
    pub toxicity: f32,
    /// The attributes as they are shown: numbers in Toxiproxy's units, absent ones 0.
    pub attributes: Map<String, Json>,
    /// What it does.
    pub toxic: Arc<dyn Toxic>,
}

impl PartialEq for ToxicSpec {
    /// Whether both say the same: what it does follows from the rest.
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.kind, &self.stream_written, self.toxicity, &self.attributes)
            == (&other.name, other.kind, &other.stream_written, other.toxicity, &other.attributes)
    }
}

/// The kind with this name.
pub fn kind(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.name == name)
}

/// Builds the toxic of a kind from the table of its attributes. `None` when a problem was recorded.
pub fn compile(kind: &Kind, mut reader: Reader<'_>) -> Option<Arc<dyn Toxic>> {
    let problems = reader.problems();
    let before = problems.borrow().0.len();
    let toxic = (kind.compile)(&mut reader);
    // Asked for by some kinds in some cases only.
    kind.numbers.iter().map(|(name, _)| *name).chain(kind.others.iter().copied()).for_each(|key| _ = reader.node(key));
    reader.finish();
    toxic.filter(|_| problems.borrow().0.len() == before)
}

/// The attributes of a kind as they are shown: every number, and the others if they were given.
pub fn attributes(kind: &Kind, written: Option<&Node>) -> Map<String, Json> {
    let table = written.and_then(|node| match &node.value {
        Value::Table(table) => Some(table),
        _ => None,
    });
    let given = |key: &str| table.and_then(|table| table.get(key));
    let number = |(name, unit): &(&str, Unit)| {
        let number = given(name).and_then(|node| unit.number(node).ok()).unwrap_or(0.0);
        ((*name).to_owned(), shown(number))
    };
    let other = |name: &&str| Some(((*name).to_owned(), given(name)?.to_json()));
    kind.numbers.iter().map(number).chain(kind.others.iter().filter_map(other)).collect()
}

/// Whole numbers without a fraction: clients in typed languages read integers.
fn shown(number: f64) -> Json {
    if number.fract() == 0.0 && number.abs() < 9e15 {
        Json::from(number as i64)
    } else {
        Number::from_f64(number).map_or(Json::Null, Json::Number)
    }
}

/// Reads one `[[proxy.toxic]]` table. `None` when a problem was recorded.
pub fn read_toxic(mut reader: Reader<'_>, owner: &str) -> Option<ToxicSpec> {
    let problems = reader.problems();
    let before = problems.borrow().0.len();
    reader.rename(format!("{owner}: toxic"));
    let name: Option<String> = reader.optional("name");
    let kind = read_kind(&mut reader);
    let stream_written: String = reader.or("stream", Stream::Downstream.name().to_owned());
    let stream = Stream::parse(&stream_written).unwrap_or_else(|| {
        reader.reject("stream", format!("{stream_written:?} is not valid"), Some("\"upstream\" or \"downstream\""));
        Stream::Downstream
    });
    let toxicity = reader.or("toxicity", Share::ALL).get() as f32;
    let name = name.or_else(|| Some(default_name(kind?, &stream_written)));
    let written = reader.node("attributes");
    let empty = Node { line: reader.line(), set: None, value: Value::Table(Default::default()) };
    let context = format!("{owner}: toxic \"{}\"", name.as_deref().unwrap_or_default());
    let toxic =
        kind.and_then(|kind| compile(kind, Reader::new(reader.file(), written.unwrap_or(&empty), context, problems)));
    reader.finish();
    let (kind, toxic) = (kind?, toxic?);
    let attributes = attributes(kind, written);
    let spec = ToxicSpec { name: name?, kind: kind.name, stream, stream_written, toxicity, attributes, toxic };
    (problems.borrow().0.len() == before).then_some(spec)
}

fn read_kind(reader: &mut Reader<'_>) -> Option<&'static Kind> {
    let written: String = reader.required("type", "\"latency\"")?;
    let found = kind(&written);
    if found.is_none() {
        let names = KINDS.iter().map(|kind| kind.name);
        let cure = match nearest(&written, names.clone()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("known types: {}", names.collect::<Vec<_>>().join(", ")),
        };
        reader.reject("type", format!("there is no \"{written}\""), Some(&cure));
    }
    found
}

/// Toxiproxy's name for a toxic that was given none.
pub(super) fn default_name(kind: &Kind, stream_written: &str) -> String {
    format!("{}_{stream_written}", kind.name)
}
