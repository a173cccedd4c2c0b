//! What acts on one connection: toxics of its proxy and hits of rules, and how its lanes are brought in step with them.

use std::sync::Arc;

use smallvec::SmallVec;

use super::chain::{Installed, Toxics};
use super::lane::{Lane, Owner, Slot};
use super::orders::Orders;
use crate::clock::Instant;
use crate::dice::Dice;
use crate::faults::CloseHow;
use crate::faults::compose::Source;
use crate::faults::toxics::{OnAccept, Rest, Site, Stream, Toxic};
use crate::rules::{Plan, Seen, Store};

/// Draws of a stage must not meet the one that decides whether there is a stage.
const OF_STAGE: usize = 0;

/// Which connection of which proxy, and where its chance comes from.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    pub(super) proxy: Arc<str>,
    /// Counts the connections of the proxy, from 0.
    pub(super) number: u64,
    pub(super) seed: u64,
    /// The original's behaviour where ours is another one.
    pub(super) strict: bool,
}

/// The faults of one connection.
pub(super) struct Suffering {
    identity: Identity,
    rules: Arc<Store>,
    seen: Seen,
    /// Hits, with the plan that they came with: a rule that appears later makes another plan.
    plans: Vec<Plan>,
    /// Strict: the `reset_peer` toxics that were there when the connection was opened.
    born_with: Option<SmallVec<[u64; 1]>>,
}

/// A stage that a lane should have.
struct Wanted {
    owner: Owner,
    revision: u64,
    toxic: Arc<dyn Toxic>,
    dice: Dice,
}

impl Suffering {
    pub(super) fn new(identity: Identity, rules: Arc<Store>) -> Self {
        Self { identity, rules, seen: Seen::default(), plans: Vec::new(), born_with: None }
    }

    /// Holds the connection against rules that are new to it.
    fn look_at_rules(&mut self) {
        let plan = self.rules.load().plan_connection(&self.identity.proxy, &mut self.seen);
        if !plan.is_empty() {
            self.plans.push(plan);
        }
        self.plans.iter_mut().for_each(Plan::settle_released);
    }

    /// The toxics that act on it.
    fn toxics<'a>(&'a self, orders: &'a Orders) -> impl Iterator<Item = (&'a Arc<Installed>, Dice)> {
        let toxics: Option<&Toxics> = (!orders.off).then_some(&*orders.toxics);
        let Identity { proxy, number, seed, strict } = &self.identity;
        let with_dice = toxics.into_iter().flat_map(Toxics::iter).map(|t| (t, t.dice(*seed, proxy, *number)));
        with_dice.filter(|(toxic, dice)| match (*strict, &self.born_with) {
            (true, Some(born_with)) if toxic.spec.kind == "reset_peer" => born_with.contains(&toxic.id),
            (true, _) => toxic.hits_at(*dice, orders.change),
            (false, _) => toxic.hits(*dice),
        })
    }

    /// What is asked for before the upstream is contacted: delays add, the first refusal wins. `open` counts the
    /// proxy's connections.
    pub(super) fn at_door(&mut self, orders: &Orders, open: u64) -> OnAccept {
        self.look_at_rules();
        if self.identity.strict && self.born_with.is_none() {
            let resets = orders.toxics.iter().filter(|toxic| toxic.spec.kind == "reset_peer");
            self.born_with = Some(resets.map(|toxic| toxic.id).collect());
        }
        let mut all = OnAccept::default();
        let mut add = |asked: OnAccept| {
            all.delay += asked.delay;
            all.refusal = all.refusal.or(asked.refusal);
        };
        self.toxics(orders).for_each(|(toxic, dice)| add(toxic.spec.toxic.on_accept(open, dice)));
        for plan in &mut self.plans {
            for fault in plan.on_connection() {
                let asked = fault.toxic.on_accept(open, fault.dice);
                if asked != OnAccept::default() {
                    plan.acted(fault.source);
                }
                add(asked);
            }
        }
        all
    }

    /// Brings both lanes in step with what acts now. `Some` if the connection cannot go on.
    pub(super) fn apply(&mut self, orders: &Orders, up: &mut Lane, down: &mut Lane, now: Instant) -> Option<CloseHow> {
        self.look_at_rules();
        let mut ends = None;
        for (stream, lane) in [(Stream::Upstream, up), (Stream::Downstream, down)] {
            let wanted = self.wanted(orders, stream);
            ends = ends.or(step(lane, &wanted, now));
        }
        ends
    }

    fn wanted(&self, orders: &Orders, stream: Stream) -> Vec<Wanted> {
        let toxics = self.toxics(orders).filter(|(toxic, _)| toxic.spec.stream == stream).map(|(toxic, dice)| Wanted {
            owner: Owner::Toxic(toxic.id),
            revision: toxic.revision,
            toxic: toxic.spec.toxic.clone(),
            dice: dice.of_fault(OF_STAGE),
        });
        let faults = self.plans.iter().enumerate().flat_map(|(plan, hits)| {
            let here = hits.on_connection().into_iter().filter(|fault| fault.stream == stream);
            here.map(move |fault| Wanted {
                owner: Owner::Rule { plan, hit: fault.source.hit, fault: fault.source.fault, part: fault.part },
                revision: 0,
                toxic: fault.toxic,
                dice: fault.dice,
            })
        });
        toxics.chain(faults).collect()
    }

    /// Books the faults of rules that have begun to act.
    pub(super) fn book(&mut self, lanes: [&mut Lane; 2]) {
        if self.plans.is_empty() {
            return;
        }
        for slot in lanes.into_iter().flat_map(|lane| &mut lane.slots).filter(|slot| slot.acted) {
            slot.acted = false;
            if let Owner::Rule { plan, hit, fault, .. } = slot.owner
                && let Some(plan) = self.plans.get_mut(plan)
            {
                plan.acted(Source { hit, fault });
            }
        }
    }

    /// The client left by itself: what has not acted by now never will.
    pub(super) fn departed(&mut self) {
        self.plans.iter_mut().for_each(Plan::departed);
    }
}

/// Removes, changes and adds stages until the lane has those that are wanted, in their order. What a removed stage held
/// goes on; `Some` if one was removed after which the connection cannot.
fn step(lane: &mut Lane, wanted: &[Wanted], now: Instant) -> Option<CloseHow> {
    let mut ends = None;
    // The last one first: what it held was sent before what those in front of it hold.
    for at in (0..lane.slots.len()).rev() {
        if wanted.iter().all(|wanted| wanted.owner != lane.slots[at].owner) {
            ends = lane.remove(at).or(ends);
        }
    }
    let mut place = 0;
    for wanted in wanted {
        let current = lane.slots.get(place).filter(|slot| slot.owner == wanted.owner);
        match current.map(|slot| slot.revision) {
            Some(revision) if revision == wanted.revision => place += 1,
            Some(_) => {
                let rest = lane.leave(place);
                if let (Some(stage), Some(slot)) = (stage(wanted, rest, now), lane.slots.get_mut(place)) {
                    slot.stage = stage;
                    slot.revision = wanted.revision;
                    place += 1;
                }
            }
            None => {
                if let Some(stage) = stage(wanted, Rest::default(), now) {
                    let slot = Slot { owner: wanted.owner, revision: wanted.revision, stage, acted: false };
                    lane.slots.insert(place, slot);
                    place += 1;
                }
            }
        }
    }
    ends
}

fn stage(wanted: &Wanted, rest: Rest, now: Instant) -> Option<Box<dyn crate::faults::toxics::Stage>> {
    wanted.toxic.stage(Site { dice: wanted.dice, now, rest })
}
