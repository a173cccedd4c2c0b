//! The immutable set of rules that a request is held against.

use std::sync::Arc;

use http::HeaderValue;

use super::asked::{Asking, ClientFaults, Occasion};
use super::draw::Chance;
use super::index::Index;
use super::matcher::{Conditions, Unmet};
use super::plan::Plan;
use super::schedule::Origin;
use super::spec::{RuleSpec, Spared};
use super::state::{ReleaseCell, State};
use crate::clock::Instant;
use crate::diagnostics::Problems;
use crate::dice::hash_name;
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

/// The rules of one layer in composition order, and how to find those that were live when the index was made.
#[derive(Debug)]
pub(super) struct LayerRules {
    pub(super) rules: Arc<[Arc<Rule>]>,
    /// For each rule the number of the one that it is coupled with.
    pub(super) partners: Box<[Option<u32>]>,
    pub(super) index: Index,
}

/// A rule that is disabled or expired.
pub(super) const NOT_LIVE: u64 = u64::MAX;

/// Since when a rule is live.
#[derive(Debug, Clone, Copy)]
pub(super) struct Live {
    /// The epoch of its release cell at which it went live, or [`NOT_LIVE`].
    pub(super) epoch: u64,
    /// What its schedule is counted from, if it has one.
    pub(super) origin: Option<Origin>,
}

/// One layer of a set. Turning a rule off, and mostly also turning it on, makes a new list of epochs, not a new index.
#[derive(Debug, Clone)]
pub(super) struct LayerSet {
    pub(super) body: Arc<LayerRules>,
    /// For each rule.
    pub(super) live: Arc<[Live]>,
    /// Live rules that are limited to a share of all traffic: they see it all.
    pub(super) sharing: Arc<[u32]>,
    /// A live rule looks at bodies.
    pub(super) reads_bodies: bool,
}

/// All rules at one moment. A request loads it once and keeps to it.
#[derive(Debug)]
pub struct RuleSet {
    /// Grows with every change of the store, also with one that turns a rule on or off.
    pub generation: u64,
    seed: u64,
    pub(super) off: bool,
    empty: bool,
    reads_bodies: bool,
    born: Instant,
    /// Requests that all rules spare.
    excludes: Arc<[Conditions]>,
    /// What clients ask for themselves, and the epoch at which they may.
    asking: (Arc<Asking>, u64),
    /// In composition order.
    layers: Box<[LayerSet]>,
}

impl RuleSet {
    pub(super) fn new(
        generation: u64,
        (seed, born): (u64, Instant),
        off: bool,
        excludes: Arc<[Conditions]>,
        asking: &Arc<Asking>,
        layers: Box<[LayerSet]>,
    ) -> Self {
        let asking = (Arc::clone(asking), asking.release.epoch());
        let live = layers.iter().any(|layer| layer.live.iter().any(|live| live.epoch != NOT_LIVE));
        let reads_bodies = layers.iter().any(|layer| layer.reads_bodies);
        Self { generation, seed, off, empty: off || !live, reads_bodies, born, excludes, asking, layers }
    }

    /// Nothing can be hit: there is no live rule, or everything is off.
    pub fn is_empty(&self) -> bool {
        self.empty
    }

    /// Decides what a request to `proxy` will suffer, and counts it. Call it once for each request, with its body as
    /// JSON where [`RuleSet::body_limit`] asks for it.
    pub fn plan(&self, proxy: &str, request: &RequestView<'_>) -> Plan {
        let mut plan = Plan::none();
        if self.empty {
            return plan;
        }
        for layer in &self.layers {
            layer.saw_traffic(proxy);
        }
        if self.excludes(request) {
            return plan;
        }
        for layer in &self.layers {
            let mut is_coupled = false;
            for number in layer.body.index.candidates(proxy, request) {
                let number = number as usize;
                let (Some(rule), Some(live)) = (layer.body.rules.get(number), layer.live.get(number)) else {
                    continue;
                };
                let partner = layer.body.partners.get(number).copied().flatten();
                is_coupled |= partner.is_some();
                let partner = partner.and_then(|partner| layer.body.rules.get(partner as usize));
                self.consider(&mut plan, rule, live, partner, request);
            }
            if is_coupled {
                plan.settle_couples();
            }
        }
        plan
    }

    /// The layers in composition order.
    pub(super) fn layers(&self) -> &[LayerSet] {
        &self.layers
    }

    /// The chance of a rule for something that has no headers.
    pub(super) fn chance(&self, live: &Live) -> Chance {
        Chance { seed: self.seed, key: None, born: self.born, origin: live.origin }
    }

    /// Adds what the request asks for itself to its plan, after all that rules put there. Call it after
    /// [`RuleSet::plan`], where a proxy allows it.
    ///
    /// # Errors
    /// Every mistake in `x-brownout-fault`, of which then nothing is done.
    pub fn ask(&self, allowed: &ClientFaults, request: &RequestView<'_>, plan: &mut Plan) -> Result<(), Problems> {
        if self.off || self.excludes(request) {
            return Ok(());
        }
        let (asking, epoch) = &self.asking;
        asking.ask(allowed, Occasion { seed: self.seed, born: self.born, epoch: *epoch }, request, plan)
    }

    /// How many bytes of the request's body have to be read before [`RuleSet::plan`] can decide: `None` if no rule that
    /// could still match looks at it.
    pub fn body_limit(&self, proxy: &str, request: &RequestView<'_>) -> Option<u64> {
        if self.empty || !self.reads_bodies || self.excludes(request) {
            return None;
        }
        let layers = self.layers.iter().filter(|layer| layer.reads_bodies);
        let candidates = layers.flat_map(|layer| {
            let numbers = layer.body.index.candidates(proxy, request);
            numbers.into_iter().filter_map(|number| {
                let live = layer.live.get(number as usize)?;
                layer.body.rules.get(number as usize).filter(|_| live.epoch != NOT_LIVE)
            })
        });
        let only_lack_the_body =
            candidates.filter(|rule| rule.spec.spares_request(request) == Some(Spared::Unmet(Unmet::Json)));
        only_lack_the_body.map(|rule| rule.spec.matching.json_limit).max()
    }

    fn excludes(&self, request: &RequestView<'_>) -> bool {
        self.excludes.iter().any(|conditions| conditions.hold(request))
    }

    pub(super) fn consider(
        &self,
        plan: &mut Plan,
        rule: &Arc<Rule>,
        live: &Live,
        partner: Option<&Arc<Rule>>,
        request: &RequestView<'_>,
    ) {
        // A rule that was released since this set was made must not hit any more, whoever still holds the set.
        if live.epoch == NOT_LIVE || rule.spec.spares_request(request).is_some() || rule.release.epoch() != live.epoch {
            return;
        }
        let key = rule.spec.trigger.sticky.as_ref().and_then(|sticky| sticky.key(request));
        let chance = Chance { seed: self.seed, key, born: self.born, origin: live.origin };
        if chance.rests(rule) {
            return;
        }
        if rule.spec.awaits_response() || rule.spec.trigger.with.is_some() {
            let matched = !rule.spec.awaits_response();
            if matched {
                chance.count_match(rule);
            }
            return plan.put_off(Arc::clone(rule), live.epoch, chance, partner.cloned(), matched);
        }
        let n = chance.count_match(rule);
        if let Some(drawn) = chance.draw(rule, n) {
            plan.push(Arc::clone(rule), live.epoch, drawn);
        }
    }
}

impl LayerSet {
    pub(super) fn saw_traffic(&self, proxy: &str) {
        for rule in self.sharing.iter().filter_map(|number| self.body.rules.get(*number as usize)) {
            if let Some(share) = rule.spec.limits.share.filter(|_| rule.spec.acts_on(proxy)) {
                rule.state.used.saw_traffic(share);
            }
        }
    }
}
