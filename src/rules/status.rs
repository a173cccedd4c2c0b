//! What the store tells about its rules.

use std::sync::Arc;

use indexmap::IndexMap;
use serde::Serialize;

use super::layer::Layer;
use super::state::Counts;

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
    pub until: crate::clock::Instant,
}
