//! Rules: which requests get which faults, when, how often.
//!
//! - [`read_rules`] (`raw`) reads `[[rule]]` tables into [`RuleSpec`]s: everything checked and compiled.
//! - [`Store`] holds them in layers and swaps the set under traffic; [`RuleSet::plan`] decides for one request.
//! - [`Plan`] is what that request will suffer, how it is released, and the account of what happened.
//! - [`explain`] says what rules would do to a request; [`check`] and [`futile`] find rules that are not allowed, or
//!   can never do anything; [`latch`] remembers what was turned off.
//! - `matcher` and what it asks (`path`, `pattern`, `value`, `json`, `response`, ...), `schedule`, `trigger`, `sticky`,
//!   `couple` and `limit` decide, in this order; `draw` is the moment of it; `index` finds candidates without looking at
//!   every rule; `state` outlives sets; `book` is the store's side behind the lock.
//!
//! - `asked` makes rules of what clients ask for themselves, where a proxy allows it.
//!
//! Nothing here waits, writes or logs; what a fault asks for is done by the proxy.

mod asked;
mod book;
pub mod check;
mod conditions;
mod connection;
mod cookie;
mod couple;
mod defaults;
mod draw;
mod explain;
mod futile;
mod glob;
mod hash;
mod index;
mod json;
pub mod latch;
mod layer;
mod layer_book;
mod limit;
mod matcher;
mod odds;
mod path;
mod pattern;
mod plan;
mod raw;
pub mod reference;
mod response;
mod schedule;
mod set;
mod spec;
mod state;
mod status;
mod sticky;
mod store;
mod strength;
mod trie;
mod trigger;
mod vain;
mod value;
mod wildcard;

pub use asked::ClientFaults;
pub use check::Ceilings;
pub use conditions::{read_any_of, read_conditions};
pub use connection::{Concern, OnConnection, Seen, misplaced};
pub use explain::{Explained, ExplainedFault, Explanation, Supposed, Verdict, explain};
pub use futile::futile;
pub use json::{DEFAULT_BODY_LIMIT, JsonField, MAX_BODY_LIMIT};
pub use layer::Layer;
pub use limit::Limits;
pub use matcher::{Conditions, Unmet};
pub use path::PathPattern;
pub use pattern::Pattern;
pub use plan::Plan;
pub use raw::{MAX_FAULTS, read_rules};
pub use response::ResponseConditions;
pub use schedule::{Ramp, RampOf, Schedule};
pub use set::RuleSet;
pub use spec::{FaultSpec, Origin, PROBE_AGENT, RuleSpec, Spared};
pub use state::Counts;
pub use status::{FaultStatus, IDLE_AFTER, Lease, LedgerRow, RuleStatus};
pub use sticky::Sticky;
pub use store::Store;
pub use trigger::{How, Trigger};
pub use value::Wanted;

#[cfg(test)]
mod tests;

#[cfg(test)]
mod testing {
    //! What the tests of this folder share.

    use std::cell::RefCell;
    use std::net::IpAddr;

    use http::header::HeaderName;
    use http::{HeaderMap, HeaderValue, Method};

    use super::*;
    use crate::diagnostics::{Node, Problems, Reader};
    use crate::faults::RequestView;

    /// An owned request, built step by step.
    #[derive(Debug)]
    pub(super) struct Request {
        method: Method,
        host: String,
        target: String,
        headers: HeaderMap,
        client: Option<IpAddr>,
        json: Option<serde_json::Value>,
    }

    impl Request {
        pub(super) fn new(method: &str, target: &str) -> Self {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let (host, headers) = ("localhost".to_owned(), HeaderMap::new());
            Self { method, host, target: target.to_owned(), headers, client: None, json: None }
        }

        pub(super) fn get(target: &str) -> Self {
            Self::new("GET", target)
        }

        pub(super) fn host(mut self, host: &str) -> Self {
            self.host = host.to_owned();
            self
        }

        pub(super) fn client(mut self, address: &str) -> Self {
            self.client = Some(address.parse().unwrap());
            self
        }

        pub(super) fn json(mut self, body: &serde_json::Value) -> Self {
            self.json = Some(body.clone());
            self
        }

        pub(super) fn header(mut self, name: &str, value: &str) -> Self {
            self.headers.append(HeaderName::try_from(name).unwrap(), HeaderValue::try_from(value).unwrap());
            self
        }

        pub(super) fn view(&self) -> RequestView<'_> {
            let (path, query) = match self.target.split_once('?') {
                Some((path, query)) => (path, Some(query)),
                None => (self.target.as_str(), None),
            };
            RequestView {
                host: &self.host,
                query,
                client: self.client,
                json: self.json.as_ref(),
                ..RequestView::of(&self.method, path, &self.headers)
            }
        }
    }

    pub(super) fn read(toml: &str) -> Result<Vec<RuleSpec>, Problems> {
        let node = Node::from_toml("r.toml", toml).unwrap();
        let problems = RefCell::default();
        let mut top = Reader::new("r.toml", &node, "", &problems);
        let rules = read_rules(&mut top);
        top.finish();
        problems.into_inner().or(rules)
    }

    /// The names of the rules that a plan holds.
    pub(super) fn hits(plan: &Plan) -> Vec<String> {
        let source = |hit| crate::faults::compose::Source { hit, fault: 0 };
        (0..plan.len()).filter_map(|hit| plan.labels(source(hit))).map(|(rule, _)| rule.to_owned()).collect()
    }

    /// Rules that must be right.
    pub(super) fn rules(toml: &str) -> Vec<RuleSpec> {
        read(toml).unwrap_or_else(|problems| panic!("{problems}"))
    }

    /// One rule of this name that answers 503; `more` are further keys of the rule.
    pub(super) fn rule(name: &str, more: &str) -> String {
        format!("[[rule]]\nname = \"{name}\"\n{more}\n[[rule.fault]]\nkind = \"error\"\nstatus = 503\n")
    }

    pub(super) fn conditions(toml: &str) -> Conditions {
        let node = Node::from_toml("r.toml", toml).unwrap();
        let problems = RefCell::default();
        let conditions = conditions::read_match(Reader::new("r.toml", &node, "match", &problems));
        problems.into_inner().or(conditions).unwrap_or_else(|problems| panic!("{problems}"))
    }
}
