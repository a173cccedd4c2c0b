//! A rule as it was written, checked and compiled.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::header::USER_AGENT;

use super::limit::Limits;
use super::matcher::{Conditions, Unmet};
use super::schedule::Schedule;
use super::trigger::Trigger;
use crate::faults::{Fault, Kind, RequestView};

/// Requests of the kubelet's probes have a user agent that begins so. They are spared unless a rule says otherwise: a
/// restarted pod is not the fault that was asked for.
pub const PROBE_AGENT: &str = "kube-probe/";

/// One rule, ready to be put into a set.
#[derive(Debug, Clone)]
pub struct RuleSpec {
    /// Unique within its layer; letters, digits, `-`, `_` and `.`.
    pub name: Arc<str>,
    /// Groups that it is switched with.
    pub groups: Vec<String>,
    /// The proxies it acts on; `None` = every HTTP proxy.
    pub proxies: Option<Vec<String>>,
    /// What a request must be like.
    pub matching: Conditions,
    /// What it must not be like: meeting all conditions of one of these spares it.
    pub exclude: Vec<Conditions>,
    /// Whether probes of a kubelet are hit too.
    pub probes: bool,
    /// Which of the matching requests are hit.
    pub trigger: Trigger,
    /// How many of those really are.
    pub limits: Limits,
    /// When it acts.
    pub schedule: Schedule,
    /// It ends by itself after this time, unless renewed.
    pub lease: Option<Duration>,
    /// Whether it acts from the beginning.
    pub enabled: bool,
    /// What a hit request suffers; at least one.
    pub faults: Vec<FaultSpec>,
    /// Where it was written.
    pub origin: Origin,
    /// The rule as written.
    pub json: serde_json::Value,
}

/// One fault of a rule.
#[derive(Debug, Clone)]
pub struct FaultSpec {
    /// Its row in the table of kinds.
    pub kind: &'static str,
    /// What it does.
    pub fault: Arc<dyn Fault>,
}

impl FaultSpec {
    pub(super) fn new(kind: &Kind, fault: Arc<dyn Fault>) -> Self {
        Self { kind: kind.name, fault }
    }
}

/// The place where a rule was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The file as the user named it, or what stands in for one.
    pub file: Arc<str>,
    /// The line of its table, if known.
    pub line: Option<usize>,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}", self.file),
            None => f.write_str(&self.file),
        }
    }
}

/// Why a rule does not match a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spared<'a> {
    /// It acts on other proxies.
    Proxy,
    /// A condition of `match` is not met.
    Unmet(Unmet<'a>),
    /// An `exclude` table covers the request.
    Excluded,
    /// A kubelet's probe.
    Probe,
    /// Conditions that hold for all rules together spare it.
    Globally,
    /// The answer is not as `match.response` wants it.
    Response,
}

impl fmt::Display for Spared<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Proxy => f.write_str("it acts on another proxy"),
            Self::Unmet(unmet) => write!(f, "{unmet} does not match"),
            Self::Excluded => f.write_str("exclude covers it"),
            Self::Globally => f.write_str("[rules] exclude covers it"),
            Self::Response => f.write_str("response does not match"),
            Self::Probe => write!(f, "user agents {PROBE_AGENT}* are spared unless probes = true"),
        }
    }
}

impl RuleSpec {
    /// A rule that nobody wrote: it matches what it is given, always hits, and has one fault.
    pub(super) fn asked(name: Arc<str>, fault: FaultSpec) -> Self {
        Self {
            name,
            groups: Vec::new(),
            proxies: None,
            matching: Conditions::default(),
            exclude: Vec::new(),
            probes: false,
            trigger: Trigger::default(),
            limits: Limits::default(),
            schedule: Schedule::default(),
            lease: None,
            enabled: true,
            faults: vec![fault],
            origin: Origin { file: Arc::from("the request"), line: None },
            json: serde_json::Value::Null,
        }
    }

    /// Whether the rule acts on the proxy with this name.
    pub fn acts_on(&self, proxy: &str) -> bool {
        self.proxies.as_ref().is_none_or(|proxies| proxies.iter().any(|name| name == proxy))
    }

    /// Why a request to `proxy` is not matched; `None` if it is.
    pub fn spares(&self, proxy: &str, request: &RequestView<'_>) -> Option<Spared<'_>> {
        if !self.acts_on(proxy) { Some(Spared::Proxy) } else { self.spares_request(request) }
    }

    /// Whether it cannot be decided before the answer is there.
    pub(super) fn awaits_response(&self) -> bool {
        self.matching.response.is_some()
    }

    /// As [`RuleSpec::spares`], with the proxy already looked at.
    pub(super) fn spares_request(&self, request: &RequestView<'_>) -> Option<Spared<'_>> {
        if let Some(unmet) = self.matching.unmet(request) {
            return Some(Spared::Unmet(unmet));
        }
        if self.exclude.iter().any(|conditions| conditions.hold(request)) {
            return Some(Spared::Excluded);
        }
        (!self.probes && is_probe(request)).then_some(Spared::Probe)
    }

    /// Whether both say the same, apart from `enabled`: then counters and lease go on.
    pub fn same_content(&self, other: &Self) -> bool {
        fn rest(json: &serde_json::Value) -> impl Iterator<Item = (&String, &serde_json::Value)> {
            json.as_object().into_iter().flatten().filter(|(key, _)| *key != "enabled")
        }
        rest(&self.json).count() == rest(&other.json).count()
            && rest(&self.json).all(|(key, value)| other.json.get(key) == Some(value))
    }
}

fn is_probe(request: &RequestView<'_>) -> bool {
    request.headers.get(USER_AGENT).is_some_and(|agent| agent.as_bytes().starts_with(PROBE_AGENT.as_bytes()))
}
