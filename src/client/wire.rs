//! What goes over the wire: the JSON of `docs/api.md` as types, for both sides.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::diagnostics;
use crate::rules::{self, RuleStatus};

/// `GET /api/v1/instance`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Drawn at random when the process started: another id means that it was restarted.
    pub id: String,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// The version of brownout.
    pub version: String,
}

/// `GET /api/v1/proxies`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proxies {
    /// In the order of the configuration.
    pub proxies: Vec<Proxy>,
}

/// One running proxy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proxy {
    /// Its name.
    pub name: String,
    /// `http`.
    pub protocol: String,
    /// Where it listens, with the real port.
    pub listen: String,
    /// Where requests go, in turn.
    pub upstreams: Vec<String>,
}

/// `GET /api/v1/rules`, and the answer to its `PUT`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rules {
    /// The number of the rule set in force.
    pub generation: u64,
    /// All faults are off by the latch: no rule acts.
    pub off: bool,
    /// All rules of all layers, in composition order.
    pub rules: Vec<Rule>,
    /// Rules that act and that nothing has matched for a minute, as `layer/name`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub idle: Vec<String>,
    /// How the rule files were last read; absent if there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_reload: Option<Reload>,
}

/// How the rule files were last read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reload {
    /// RFC 3339, UTC.
    pub at: String,
    /// Whether they were taken over; if not, what ran before runs on.
    pub successful: bool,
    /// What was wrong, with file and line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<diagnostics::Problem>,
}

/// One rule and what it has done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// `file`, `api` or `run:<id>`.
    pub layer: String,
    /// Its name, unique within the layer.
    pub name: String,
    /// Whether it is turned on; it acts if it also has not expired and the latch is not engaged.
    pub enabled: bool,
    /// Whether its lease ran out.
    pub expired: bool,
    /// Time until the lease runs out; absent without a lease.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease_left_s: Option<f64>,
    /// Its schedule has it rest now.
    #[serde(default, skip_serializing_if = "is_false")]
    pub resting: bool,
    /// It acts, and no request has matched it for a minute.
    #[serde(default, skip_serializing_if = "is_false")]
    pub idle: bool,
    /// Since its content is what it is.
    pub counts: Counts,
    /// Time since a request last met its conditions; absent if none ever did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_matched_s_ago: Option<f64>,
    /// Its faults in order.
    pub faults: Vec<Fault>,
    /// Where it was written: `file:line`, or the request that brought it.
    pub origin: String,
    /// The rule as written.
    pub rule: serde_json::Value,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// The answer to `POST /api/v1/groups/{name}/enable` and `disable`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// The group.
    pub group: String,
    /// Its rules as they stand now, in composition order.
    pub rules: Vec<Rule>,
}

/// One fault of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Its kind.
    pub kind: String,
    /// What it does, in words.
    pub does: String,
    /// What became of it.
    pub counts: Counts,
    /// Figures of its own kind, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub figures: BTreeMap<String, u64>,
}

/// What became of the requests that a rule looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// All conditions held.
    pub matched: u64,
    /// The trigger chose it.
    pub triggered: u64,
    /// Held back by a limit.
    pub limited: u64,
    /// The fault began to act.
    pub injected: u64,
    /// The fault never acted: another one won, or its moment never came.
    pub skipped: u64,
    /// The rule was released before the fault acted.
    pub released: u64,
    /// The client left before the fault acted.
    pub departed: u64,
    /// Requests that are suffering it now.
    pub active: u64,
}

/// `GET /api/v1/faults`, and the answer to `off` and `on`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Faults {
    /// All faults are off by the latch.
    pub off: bool,
    /// Whether the latch would survive a restart.
    pub persisted: bool,
    /// Requests that are suffering any rule now; after `off` they take a moment to let go.
    pub active: u64,
}

/// The body of `PUT /api/v1/runs/{id}`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunRequest {
    /// The proxies to lock.
    pub proxies: Vec<String>,
    /// How long lock and rules live without being renewed, such as `30s`.
    pub lease: String,
    /// Whether the rules act. With `false` they are checked and listed, and a rule that acted before is released
    /// and keeps its counters.
    pub enabled: bool,
    /// Whether rules of other layers may act on the proxies meanwhile.
    pub foreign: Foreign,
    /// The rules, as in a rule file; without `proxy` they act on the locked proxies.
    #[serde(rename = "rule")]
    pub rules: Vec<serde_json::Value>,
}

/// What to do about rules of other layers that act on a locked proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Foreign {
    /// Refuse the run: they would be part of its baseline.
    #[default]
    Refuse,
    /// Leave them.
    Allow,
}

/// A run as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Its id.
    pub id: String,
    /// The instance that answers: another id than before means that it was restarted, and that the run is gone.
    pub instance: String,
    /// The proxies that it holds.
    pub proxies: Vec<String>,
    /// Time until its lease runs out.
    pub lease_left_s: f64,
    /// Whether its rules are meant to act.
    pub enabled: bool,
    /// All faults are off by the latch: they do not act, whatever `enabled` says.
    pub off: bool,
    /// Requests that are suffering its rules now, over all shards; also rules that it no longer has.
    pub active: u64,
    /// Its rules.
    pub rules: Vec<Rule>,
    /// Requests that each of its proxies has received since the process started, whoever sent them.
    pub received: BTreeMap<String, u64>,
    /// Rules of other layers that act on its proxies now, as `layer/name`.
    pub foreign: Vec<String>,
}

/// `GET /api/v1/runs`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Runs {
    /// By id.
    pub runs: Vec<Run>,
}

/// An error as RFC 9457 has it, `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Problem {
    /// `urn:brownout:problem:<what>`; `about:blank` where the status says all.
    #[serde(rename = "type")]
    pub kind: String,
    /// The same for all problems of a type.
    pub title: String,
    /// The status of the answer.
    pub status: u16,
    /// What is wrong this time.
    pub detail: String,
    /// Every mistake in what was sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<diagnostics::Problem>,
    /// The run that holds what was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
    /// The rules in the way, as `layer/name`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n{problem}"))
    }
}

impl From<rules::Counts> for Counts {
    fn from(counts: rules::Counts) -> Self {
        let rules::Counts { matched, triggered, limited, injected, skipped, released, departed, active } = counts;
        Self { matched, triggered, limited, injected, skipped, released, departed, active }
    }
}

impl From<RuleStatus> for Rule {
    fn from(status: RuleStatus) -> Self {
        let fault = |fault: rules::FaultStatus| Fault {
            kind: fault.kind.to_owned(),
            does: fault.does,
            counts: fault.counts.into(),
            figures: fault.figures.into_iter().map(|(name, count)| (name.to_owned(), count)).collect(),
        };
        Self {
            layer: status.layer.to_string(),
            name: status.name,
            enabled: status.enabled,
            expired: status.expired,
            lease_left_s: status.lease_left_s,
            resting: status.resting,
            idle: status.idle,
            counts: status.counts.into(),
            last_matched_s_ago: status.last_matched_s_ago,
            faults: status.faults.into_iter().map(fault).collect(),
            origin: status.origin,
            rule: status.rule,
        }
    }
}
