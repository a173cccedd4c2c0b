//! Faults: one file each, pure. A fault decides; the proxy acts.
//!
//! A fault looks at a request or a response, rolls its [`Dice`] and says what should happen as data
//! ([`RequestEffect`], [`ResponseEffect`]). It never sleeps, writes or logs. What several faults ask of
//! one request is put together by [`compose`](compose), in one place.
//!
//! Adding a fault: one file here, and two adjacent lines below (`mod` and its row in [`KINDS`]).

pub mod compose;
pub mod effect;

use std::fmt::Debug;

use http::{HeaderMap, Method, StatusCode};

pub use effect::{Answer, BodyEffect, CloseHow, Cut, HangEnd, RequestEffect, ResponseEffect, Side, Terminal};

use crate::diagnostics::Reader;
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
}

/// What a fault may look at in a response of the upstream.
#[derive(Debug, Clone, Copy)]
pub struct ResponseView<'a> {
    /// The upstream's status.
    pub status: StatusCode,
    /// The upstream's headers.
    pub headers: &'a HeaderMap,
}

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
    pub compile: fn(&mut Reader<'_>) -> Option<std::sync::Arc<dyn Fault>>,
}
