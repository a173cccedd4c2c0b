//! The moment in which a rule that matches decides whether it hits.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::schedule::{Origin, Phase, RampOf};
use super::set::Rule;
use crate::clock::{self, Instant};
use crate::dice::Dice;

/// All that a decision depends on beside the count of matches.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chance {
    pub(super) seed: u64,
    /// Who sent it, if the rule sticks to that.
    pub(super) key: Option<u64>,
    /// The store's beginning.
    pub(super) born: Instant,
    /// What the rule's schedule is counted from.
    pub(super) origin: Option<Origin>,
}

/// A decision to hit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Drawn {
    pub(super) dice: Dice,
    /// How far the faults' strength has grown, from 0 to 1.
    pub(super) strength: f64,
}

impl Chance {
    /// Whether the rule's schedule has it rest now: then it does not even match.
    pub(super) fn rests(&self, rule: &Rule) -> bool {
        self.origin.is_some() && self.phase(rule, clock::now()) == Phase::Rests
    }

    /// All conditions hold: counts it and gives the number of this match, from 0.
    pub(super) fn count_match(&self, rule: &Rule) -> u64 {
        let age = clock::now().saturating_duration_since(self.born).as_nanos() as u64;
        rule.state.last_matched.store(age + 1, Ordering::Relaxed);
        rule.state.matched.fetch_add(1, Ordering::Relaxed)
    }

    /// The rule that this one is coupled with hits too: the number of this occasion, from 0.
    pub(super) fn count_eligible(rule: &Rule) -> u64 {
        rule.state.eligible.fetch_add(1, Ordering::Relaxed)
    }

    /// Decides about the `n`-th occasion, and counts it: as triggered, and as limited if it was. A hit has taken its
    /// place among the active ones.
    pub(super) fn draw(&self, rule: &Arc<Rule>, n: u64) -> Option<Drawn> {
        let now = clock::now();
        let spec = &rule.spec;
        let Phase::Acts(grown) = self.phase(rule, now) else { return None };
        let (probability, strength) = match spec.schedule.ramp.map(|ramp| ramp.of) {
            Some(RampOf::Strength) => (1.0, grown),
            _ => (grown, 1.0),
        };
        let dice = Dice::new(self.seed, rule.hash, self.key.unwrap_or(n));
        if !spec.trigger.how.decides(n, dice, probability) {
            return None;
        }
        rule.state.triggered.fetch_add(1, Ordering::Relaxed);
        if rule.state.enter(&spec.limits, self.born, now) {
            return Some(Drawn { dice, strength });
        }
        rule.state.limited.fetch_add(1, Ordering::Relaxed);
        None
    }

    fn phase(&self, rule: &Rule, now: Instant) -> Phase {
        self.origin.map_or(Phase::Acts(1.0), |origin| rule.spec.schedule.phase(origin, now))
    }
}
