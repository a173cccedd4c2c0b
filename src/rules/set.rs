//! The immutable set of rules that a request is held against.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::HeaderValue;

use super::index::Index;
use super::plan::Plan;
use super::spec::RuleSpec;
use super::state::{ReleaseCell, State};
use crate::clock::{self, Instant};
use crate::dice::{Dice, hash_name};
use crate::faults::RequestView;

/// One rule of a set: its content, which never changes, and what it shares with its other versions.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) spec: RuleSpec,
    /// Of the name alone, so that moving a rule to another layer or file keeps its decisions.
    pub(super) hash: u64,
    pub(super) state: Arc<State>,
    pub(super) release: Arc<ReleaseCell>,
    /// One for each fault.
    pub(super) marks: Box<[Mark]>,
}

/// `<rule>/<kind>`.
#[derive(Debug)]
pub(super) struct Mark {
    pub(super) text: Box<str>,
    pub(super) value: HeaderValue,
}

impl Rule {
    pub(super) fn new(spec: RuleSpec, state: Arc<State>, release: Arc<ReleaseCell>) -> Self {
        let mark = |kind: &str| {
            let text = format!("{}/{kind}", spec.name);
            // Names are made of visible ASCII: the fallback is never used for a rule that was read.
            let value = HeaderValue::try_from(&text).unwrap_or(HeaderValue::from_static("?"));
            Mark { text: text.into(), value }
        };
        let marks = spec.faults.iter().map(|fault| mark(fault.kind)).collect();
        Self { hash: hash_name(&spec.name), marks, spec, state, release }
    }
}

/// The rules of one layer in composition order, and how to find them.
#[derive(Debug)]
pub(super) struct LayerRules {
    pub(super) rules: Box<[Arc<Rule>]>,
    pub(super) index: Index,
}

/// A rule that is disabled or expired.
pub(super) const NOT_LIVE: u64 = u64::MAX;

/// One layer of a set. Turning a rule on or off makes a new list of epochs, not a new index.
#[derive(Debug, Clone)]
pub(super) struct LayerSet {
    pub(super) body: Arc<LayerRules>,
    /// For each rule the epoch at which it went live, or [`NOT_LIVE`].
    pub(super) live: Arc<[u64]>,
}

/// All rules at one moment. A request loads it once and keeps to it.
#[derive(Debug)]
pub struct RuleSet {
    /// Grows with every change of the store, also with one that turns a rule on or off.
    pub generation: u64,
    seed: u64,
    pub(super) off: bool,
    empty: bool,
    born: Instant,
    /// In composition order.
    layers: Box<[LayerSet]>,
}

impl RuleSet {
    pub(super) fn new(generation: u64, seed: u64, off: bool, born: Instant, layers: Box<[LayerSet]>) -> Self {
        let live = layers.iter().any(|layer| layer.live.iter().any(|epoch| *epoch != NOT_LIVE));
        Self { generation, seed, off, empty: off || !live, born, layers }
    }

    /// Nothing can be hit: there is no live rule, or everything is off.
    pub fn is_empty(&self) -> bool {
        self.empty
    }

    /// Decides what a request to `proxy` will suffer, and counts it. Call it once for each request.
    pub fn plan(&self, proxy: &str, request: &RequestView<'_>) -> Plan {
        let mut plan = Plan::none();
        if self.empty {
            return plan;
        }
        for layer in &self.layers {
            for number in layer.body.index.candidates(proxy, request) {
                let number = number as usize;
                let (Some(rule), Some(&epoch)) = (layer.body.rules.get(number), layer.live.get(number)) else {
                    continue;
                };
                self.consider(&mut plan, rule, epoch, request);
            }
        }
        plan
    }

    /// The layers in composition order.
    pub(super) fn layers(&self) -> &[LayerSet] {
        &self.layers
    }

    pub(super) fn consider(&self, plan: &mut Plan, rule: &Arc<Rule>, epoch: u64, request: &RequestView<'_>) {
        // A rule that was released since this set was made must not hit any more, whoever still holds the set.
        if epoch == NOT_LIVE || rule.spec.spares_request(request).is_some() || rule.release.epoch() != epoch {
            return;
        }
        let state = &rule.state;
        let n = state.matched.fetch_add(1, Ordering::Relaxed);
        let age = clock::now().saturating_duration_since(self.born).as_nanos() as u64;
        state.last_matched.store(age + 1, Ordering::Relaxed);
        let dice = Dice::new(self.seed, rule.hash, n);
        if !rule.spec.trigger.decides(n, dice) {
            return;
        }
        state.triggered.fetch_add(1, Ordering::Relaxed);
        if state.enter(rule.spec.concurrent) {
            plan.push(Arc::clone(rule), epoch, dice);
        } else {
            state.limited.fetch_add(1, Ordering::Relaxed);
        }
    }
}
