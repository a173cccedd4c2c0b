//! What the store tells about its rules.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use indexmap::IndexMap;
use serde::Serialize;

use super::book::Entry;
use super::layer::Layer;
use super::state::Counts;
use crate::clock::Instant;

/// A rule that acts, and that no request has matched for so long, is called idle.
pub const IDLE_AFTER: Duration = Duration::from_secs(60);

/// One rule as `GET /api/v1/rules` shows it.
#[derive(Debug, Clone, Serialize)]
pub struct RuleStatus {
    /// Who owns it.
    pub layer: Layer,
    /// Its name.
    pub name: String,
    /// Whether it is turned on; it acts if it also has not expired and the store is not off.
    pub enabled: bool,
    /// Whether its lease ran out.
    pub expired: bool,
    /// Time until the lease runs out; absent without a lease.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease_left_s: Option<f64>,
    /// Its schedule has it rest now.
    pub resting: bool,
    /// It acts, and no request has matched it for [`IDLE_AFTER`]: is it meant to be there?
    pub idle: bool,
    /// Since its content is what it is.
    pub counts: Counts,
    /// Time since a request last met its conditions; absent if none ever did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_matched_s_ago: Option<f64>,
    /// Its faults in order.
    pub faults: Vec<FaultStatus>,
    /// Where it was written, `file:line`.
    pub origin: String,
    /// The rule as written.
    pub rule: serde_json::Value,
}

/// One fault of a rule.
#[derive(Debug, Clone, Serialize)]
pub struct FaultStatus {
    /// Its kind.
    pub kind: &'static str,
    /// What it does, in words.
    pub does: String,
    /// Since the rule's content is what it is; what came before the fault's own decision is the rule's.
    pub counts: Counts,
    /// Figures of the fault's own, such as who came back too early; since the rule's content is what it is.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub figures: IndexMap<&'static str, u64>,
}

/// The figures of one rule name and one kind of fault over the whole life of the store: over all layers, versions and
/// reloads. Only `active` ever falls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerRow {
    /// The rule's name.
    pub rule: Arc<str>,
    /// The kind of fault.
    pub kind: &'static str,
    /// The figures.
    pub counts: Counts,
}

/// When the lease of one rule runs out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Who owns the rule.
    pub layer: Layer,
    /// The rule's name.
    pub rule: Arc<str>,
    /// When it runs out, or ran out.
    pub until: Instant,
}

/// How a rule stands. Between `born`, the beginning of the store, and `now` lies when it was last matched.
pub(super) fn of(layer: &Layer, entry: &Entry, (born, now): (Instant, Instant), off: bool) -> RuleStatus {
    let Entry { rule, enabled, expired, .. } = entry;
    let (spec, state) = (&rule.spec, &rule.state);
    let last = state.last_matched.load(Ordering::Relaxed);
    let matched_at = last.checked_sub(1).map(|nanos| born + Duration::from_nanos(nanos));
    let acting_for = match entry.origin {
        Some(origin) => spec.schedule.acting_for(origin, now),
        None => Some(now.saturating_duration_since(entry.enabled_at)),
    };
    let resting = acting_for.is_none();
    let unmatched_for = matched_at.map_or(Duration::MAX, |at| now.saturating_duration_since(at));
    let acts = entry.is_live() && !resting && !off;
    RuleStatus {
        layer: layer.clone(),
        name: spec.name.to_string(),
        enabled: *enabled,
        expired: *expired,
        lease_left_s: entry.until().map(|until| until.saturating_duration_since(now).as_secs_f64()),
        resting: resting && entry.is_live(),
        idle: acts && acting_for.is_some_and(|acting| acting.min(unmatched_for) >= IDLE_AFTER),
        counts: state.counts(),
        last_matched_s_ago: matched_at.map(|at| now.saturating_duration_since(at).as_secs_f64()),
        faults: spec
            .faults
            .iter()
            .enumerate()
            .map(|(at, fault)| FaultStatus {
                kind: fault.kind,
                does: fault.fault.describe(),
                counts: state.counts_of([at]),
                figures: fault.fault.figures(&state.memories[at]).into_iter().collect(),
            })
            .collect(),
        origin: spec.origin.to_string(),
        rule: spec.json.clone(),
    }
}
