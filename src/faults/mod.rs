//! Faults: one file each, pure. A fault decides; the proxy acts.
//!
//! A fault looks at a request or a response, rolls its [`Dice`] and says what should happen as data
//! ([`RequestEffect`], [`ResponseEffect`]). It never sleeps, writes or logs. What several faults ask of
//! one request is put together by [`compose`](compose), in one place.
//!
//! Adding a fault: one file here, and two adjacent lines below (`mod` and its row in [`KINDS`]).

pub(crate) mod choice;
pub mod compose;
pub mod effect;

mod content;
mod distribution;
mod fields;
mod grpc;
mod h2_code;
pub mod memory;
mod normal;
pub mod template;
mod wave;

mod abort;
pub mod body;
pub mod corrupt;
mod duplicate;
mod error;
mod goaway;
pub mod header;
mod latency;
mod malformed;
mod rate_limit;
mod slow_body;
mod stream_reset;
mod timeout;
mod truncate;
mod websocket;

use std::cell::RefCell;
use std::fmt::Debug;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method, StatusCode};

pub use effect::{
    Answer, BodyEffect, CloseHow, Cut, CutAt, CutEnd, Goodbye, HangEnd, MessageEffect, RequestEffect, ResponseEffect,
    Side, Stall, Terminal,
};
use memory::Memory;

use crate::clock::Instant;
use crate::diagnostics::{Node, Reader, nearest};
use crate::dice::Dice;

/// What a rule or a fault may look at in a request. The path is raw: no decoding, no normalisation.
#[derive(Debug, Clone, Copy)]
pub struct RequestView<'a> {
    /// The method, case-sensitive.
    pub method: &'a Method,
    /// The host without its port, from the authority or the `Host` header; empty if there is none.
    pub host: &'a str,
    /// The path as sent, without the query.
    pub path: &'a str,
    /// The query as sent, without `?`; absent if there is no `?`.
    pub query: Option<&'a str>,
    /// The headers as sent.
    pub headers: &'a HeaderMap,
    /// The address that the request came from; absent where there is none, as in an explanation.
    pub client: Option<IpAddr>,
    /// The body, if it is JSON and a rule had it read before anything was decided.
    pub json: Option<&'a serde_json::Value>,
}

impl<'a> RequestView<'a> {
    /// A request of which only this is known.
    pub fn of(method: &'a Method, path: &'a str, headers: &'a HeaderMap) -> Self {
        Self { method, host: "", path, query: None, headers, client: None, json: None }
    }
}

/// What a fault may look at in a response of the upstream.
#[derive(Debug, Clone, Copy)]
pub struct ResponseView<'a> {
    /// The upstream's status.
    pub status: StatusCode,
    /// The upstream's headers.
    pub headers: &'a HeaderMap,
}

impl ResponseView<'static> {
    /// What an upstream usually answers, for those who explain rules: a 200 with some JSON.
    pub fn typical() -> Self {
        static HEADERS: LazyLock<HeaderMap> = LazyLock::new(|| {
            let fields = [(CONTENT_TYPE, "application/json"), (CONTENT_LENGTH, "1024")];
            fields.into_iter().map(|(name, value)| (name, HeaderValue::from_static(value))).collect()
        });
        Self { status: StatusCode::OK, headers: &HEADERS }
    }
}

/// What a fault may look at in a WebSocket message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageView {
    /// How many came before it in its direction.
    pub number: u64,
    /// Whose it is: the client's (`Request`) or the upstream's.
    pub side: Side,
    /// An extension has changed its payload (permessage-deflate).
    pub compressed: bool,
}

/// A figure that a fault keeps: its name, and how often.
pub type Figure = (&'static str, u64);

/// One configured fault.
///
/// Every hook has a default that does nothing, so a fault states only what it changes. `dice` belongs to
/// this fault and this request: the same index draws the same number in both hooks, which is how a fault
/// remembers what it decided.
pub trait Fault: Send + Sync + Debug {
    /// Asked before the upstream is contacted.
    fn on_request(&self, request: &RequestView<'_>, dice: Dice) -> RequestEffect {
        let _ = (request, dice);
        RequestEffect::default()
    }

    /// Asked when the head of the final response has been read, before any of it is sent to the client.
    fn on_response(&self, response: &ResponseView<'_>, dice: Dice) -> ResponseEffect {
        let _ = (response, dice);
        ResponseEffect::default()
    }

    /// As [`on_request`](Self::on_request), with what it remembers of the requests before, at this moment. Asked once
    /// for each hit, in place of the other.
    fn on_request_knowing(
        &self,
        request: &RequestView<'_>,
        dice: Dice,
        memory: &Memory,
        now: Instant,
    ) -> RequestEffect {
        let _ = (memory, now);
        self.on_request(request, dice)
    }

    /// As [`on_response`](Self::on_response), with what it remembers, at this moment. Asked once for each hit whose
    /// response comes, in place of the other.
    fn on_response_knowing(
        &self,
        response: &ResponseView<'_>,
        dice: Dice,
        memory: &Memory,
        now: Instant,
    ) -> ResponseEffect {
        let _ = (memory, now);
        self.on_response(response, dice)
    }

    /// Asked of each message of a WebSocket, if its response's effect said so; `dice` belongs to the message.
    fn on_message(&self, message: &MessageView, dice: Dice) -> MessageEffect {
        let _ = (message, dice);
        MessageEffect::default()
    }

    /// Whether what the hooks say is what every hit suffers; `false` if it depends on what came before.
    fn is_certain(&self) -> bool {
        true
    }

    /// Figures of its own, from what it remembers.
    fn figures(&self, memory: &Memory) -> Vec<Figure> {
        let _ = memory;
        Vec::new()
    }

    /// Makes what was written stand by itself, so that it can be sent elsewhere: files become their content.
    fn inline(&self, written: &mut serde_json::Value) {
        let _ = written;
    }

    /// What it does, in words, for `explain` and reports: `delays the request by 80 ms`.
    fn describe(&self) -> String;
}

/// One row per file of this folder.
pub struct Kind {
    /// The TOML `kind` and the metric label.
    pub name: &'static str,
    /// One line for the README's table: what the client sees.
    pub summary: &'static str,
    /// Parameters for the README's table.
    pub parameters: &'static str,
    /// A `[[rule.fault]]` body that must compile.
    pub example: &'static str,
    /// Builds the fault from its table; `None` when a problem was recorded in the reader.
    pub compile: fn(&mut Reader<'_>) -> Option<Arc<dyn Fault>>,
}

/// Every kind of fault there is, in the order of the README's table.
pub static KINDS: &[Kind] = &[
    latency::KIND,
    error::KIND,
    timeout::KIND,
    slow_body::KIND,
    abort::KIND,
    truncate::KIND,
    corrupt::KIND,
    malformed::KIND,
    header::KIND,
    body::KIND,
    rate_limit::KIND,
    duplicate::KIND,
    goaway::KIND,
    stream_reset::KIND,
    websocket::KIND,
];

/// Builds a fault from a `[[rule.fault]]` table, its `kind` included; `owner` names the rule in messages. `None`
/// when a problem was recorded: an unknown kind, a key that is missing, unknown or wrong.
pub fn compile(mut reader: Reader<'_>, owner: &str) -> Option<(&'static Kind, Arc<dyn Fault>)> {
    let before = reader.problems().borrow().0.len();
    reader.rename(format!("{owner}: fault"));
    let name: String = reader.required("kind", "\"latency\"")?;
    let Some(kind) = KINDS.iter().find(|kind| kind.name == name) else {
        reader.reject("kind", format!("there is no \"{name}\""), Some(&known_kinds(&name)));
        return None;
    };
    reader.rename(format!("{owner}: fault \"{name}\""));
    let problems = reader.problems();
    let fault = (kind.compile)(&mut reader);
    reader.finish();
    fault.filter(|_| problems.borrow().0.len() == before).map(|fault| (kind, fault))
}

/// The keys that a kind's reader asks for, `kind` aside, as its own example shows.
pub fn keys(kind: &Kind) -> Vec<&'static str> {
    let problems = RefCell::default();
    let Ok(node) = Node::from_toml(kind.name, kind.example) else { return Vec::new() };
    let mut reader = Reader::new(kind.name, &node, "", &problems);
    let _ = (kind.compile)(&mut reader);
    reader.known().to_vec()
}

fn known_kinds(written: &str) -> String {
    let names = KINDS.iter().map(|kind| kind.name);
    match nearest(written, names.clone()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("known kinds: {}", names.collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod manual;

#[cfg(test)]
mod testing {
    //! What the tests of single faults share.

    use super::*;
    use crate::diagnostics::Node;
    use std::cell::RefCell;

    static HEADERS: LazyLock<HeaderMap> = LazyLock::new(HeaderMap::new);

    fn read(toml: &str) -> Result<Arc<dyn Fault>, String> {
        let node = Node::from_toml("r.toml", toml).unwrap();
        let problems = RefCell::default();
        let fault = compile(Reader::new("r.toml", &node, "fault", &problems), "rule \"r\"");
        let problems = problems.into_inner();
        assert_eq!(problems.is_empty(), fault.is_some(), "a fault or a reason why not: {problems}");
        fault.map(|(_, fault)| fault).ok_or_else(|| problems.to_string())
    }

    pub(super) fn compiled(toml: &str) -> Arc<dyn Fault> {
        read(toml).unwrap_or_else(|problems| panic!("{problems}"))
    }

    pub(super) fn problems_of(toml: &str) -> String {
        read(toml).unwrap_err()
    }

    pub(super) fn dice() -> Dice {
        Dice::new(1, 2, 3)
    }

    pub(super) fn request() -> RequestView<'static> {
        RequestView { host: "h", ..RequestView::of(&Method::GET, "/", &HEADERS) }
    }

    pub(super) fn response() -> ResponseView<'static> {
        ResponseView { status: StatusCode::OK, headers: &HEADERS }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{compiled, problems_of};
    use super::*;

    #[test]
    fn every_kind_has_words_and_an_example_that_compiles() {
        for kind in KINDS {
            assert!(kind.example.starts_with(&format!("kind = \"{}\"\n", kind.name)), "{}", kind.name);
            assert!(!compiled(kind.example).describe().is_empty());
            assert!(!kind.summary.is_empty() && !kind.parameters.is_empty(), "{}", kind.name);
            assert_eq!(KINDS.iter().filter(|other| other.name == kind.name).count(), 1);
        }
    }

    #[test]
    fn no_row_of_the_table_is_missing() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/faults");
        let files =
            std::fs::read_dir(folder).unwrap().map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap());
        let rows = files.filter(|text| text.contains("pub(super) const KIND: Kind = Kind {")).count();
        assert_eq!(rows, KINDS.len() + 1, "one for each fault, and this test");
    }

    #[test]
    fn an_unknown_kind_lists_the_known_ones_or_names_the_nearest() {
        assert!(problems_of("kind = \"latancy\"").contains("did you mean \"latency\"?"));
        let problems = problems_of("kind = \"gremlin\"");
        assert!(problems.contains("known kinds: latency, error, timeout, slow-body, abort, truncate"), "{problems}");
        assert!(problems_of("delay = \"1s\"").contains("\"kind\" is missing"));
    }

    #[test]
    fn all_mistakes_of_a_fault_are_reported_at_once() {
        let problems = problems_of("kind = \"latency\"\ndely = \"1s\"\nside = \"up\"");
        assert_eq!(
            problems.lines().collect::<Vec<_>>(),
            [
                "r.toml:1: rule \"r\": fault \"latency\": \"delay\" is missing (for example delay = \"80ms\")",
                "r.toml:3: rule \"r\": fault \"latency\": side: \"up\" is not valid (expected \"request\" or \"response\")",
                "r.toml:2: rule \"r\": fault \"latency\": unknown key \"dely\" (did you mean \"delay\"?)",
            ]
        );
    }
}
