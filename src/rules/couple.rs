//! Rules that decide later than others: when their partner has, or when the answer is there.

use std::sync::Arc;

use super::draw::Chance;
use super::set::Rule;

/// A rule whose request matches, and that cannot decide yet.
#[derive(Debug)]
pub(super) struct PutOff {
    pub(super) chance: Chance,
    /// Only if this rule hits the request may the one that waits; a partner that is in no set hits nothing.
    pub(super) partner: Option<Arc<Rule>>,
    /// All conditions are known to hold; else the answer is waited for.
    pub(super) matched: bool,
}

/// What is known of the other one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Couple {
    Undecided,
    Misses,
    Hits,
}
