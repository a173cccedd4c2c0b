//! What one request will suffer, and the account of what it did.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::HeaderValue;
use smallvec::SmallVec;

use super::couple::{Couple, PutOff};
use super::draw::{Chance, Drawn};
use super::set::Rule;
use super::state::Unacted;
use super::strength;
use crate::clock;
use crate::faults::compose::{self, RequestCourse, ResponseCourse, Source};
use crate::faults::memory::Memory;
use crate::faults::{MessageEffect, MessageView, RequestView, ResponseView, Side};

/// The hits of one request, in composition order. Nothing is allocated while there is none.
///
/// A hit is *active* from the moment it was planned until it is settled or the plan is dropped, so the gauge of active
/// faults cannot leak. Each fault of a hit ends up in exactly one counter: injected if it acted, else departed (the
/// client left first), released (its rule was released first) or skipped.
#[derive(Debug, Default)]
pub struct Plan {
    hits: SmallVec<[Hit; 1]>,
}

/// One rule that hit the request.
#[derive(Debug)]
struct Hit {
    rule: Arc<Rule>,
    /// The epoch of the rule's release cell at which it went live.
    epoch: u64,
    stage: Stage,
    /// One bit for each fault that has acted.
    acted: u32,
    departed: bool,
}

/// How far a rule that matched has come.
#[derive(Debug)]
enum Stage {
    /// It cannot decide yet.
    PutOff(Box<PutOff>),
    /// It does not hit, and has nothing to account for.
    Passed,
    /// It hits.
    Open(Drawn),
    /// It has hit, and is accounted for.
    Over,
}

impl Plan {
    /// Nothing will happen.
    pub fn none() -> Self {
        Self::default()
    }

    /// No rule hit the request.
    pub fn is_empty(&self) -> bool {
        self.hits.is_empty()
    }

    /// How many rules hit the request or still may; hits are numbered from 0, in composition order.
    pub fn len(&self) -> usize {
        self.hits.len()
    }

    /// Adds a hit whose place among the active ones has been taken.
    pub(super) fn push(&mut self, rule: Arc<Rule>, epoch: u64, drawn: Drawn) {
        self.hits.push(Hit { rule, epoch, stage: Stage::Open(drawn), acted: 0, departed: false });
    }

    /// Adds a rule that decides later: when its partner has, or when the answer is there. `matched`: nothing is asked
    /// of the answer, and the match is counted.
    pub(super) fn put_off(
        &mut self,
        rule: Arc<Rule>,
        epoch: u64,
        chance: Chance,
        partner: Option<Arc<Rule>>,
        matched: bool,
    ) {
        let stage = Stage::PutOff(Box::new(PutOff { chance, partner, matched }));
        self.hits.push(Hit { rule, epoch, stage, acted: 0, departed: false });
    }

    /// Lets rules decide whose partners have decided, before the request has suffered anything.
    pub(super) fn settle_couples(&mut self) {
        self.decide_couples();
        self.hits.retain(|hit| !matches!(hit.stage, Stage::Passed));
    }

    fn decide_couples(&mut self) {
        // A chain of couples takes as many rounds as it has links; a circle, which no reader lets pass, ends it too.
        while let Some((at, hits)) = self.next_couple() {
            let Some(hit) = self.hits.get_mut(at) else { return };
            hit.decide(hits);
        }
    }

    /// A rule whose partner has decided, and whether the partner hits.
    fn next_couple(&self) -> Option<(usize, bool)> {
        self.hits.iter().enumerate().find_map(|(at, hit)| {
            let Stage::PutOff(put_off) = &hit.stage else { return None };
            // A rule that nobody is coupled with has decided as soon as it matched.
            if !put_off.matched {
                return None;
            }
            let is_partner = |other: &&Hit| put_off.partner.as_ref().is_some_and(|it| Arc::ptr_eq(&other.rule, it));
            match self.hits.iter().find(is_partner).map_or(Couple::Misses, Hit::couple) {
                Couple::Undecided => None,
                couple => Some((at, couple == Couple::Hits)),
            }
        })
    }

    /// The answer is there: rules that waited for it decide.
    fn decide_by(&mut self, response: &ResponseView<'_>) {
        for hit in &mut self.hits {
            hit.look_at(response);
        }
        self.decide_couples();
    }

    /// What the request will suffer before the upstream is contacted. Settled hits ask for nothing. Asked once: faults
    /// that remember count it.
    pub fn request_course(&self, request: &RequestView<'_>) -> RequestCourse {
        let now = clock::now();
        compose::request_course(self.asked().map(|(source, hit, drawn)| {
            let (dice, memory) = (drawn.dice.of_fault(source.fault), hit.memory_of(source));
            let effect = hit.fault(source).on_request_knowing(request, dice, memory, now);
            (source, strength::of_request(effect, drawn.strength))
        }))
    }

    /// What the response will suffer. Rules that look at the answer decide now; settled hits ask for nothing.
    pub fn response_course(&mut self, response: &ResponseView<'_>) -> ResponseCourse {
        self.decide_by(response);
        let now = clock::now();
        compose::response_course(self.asked().map(|(source, hit, drawn)| {
            let (dice, memory) = (drawn.dice.of_fault(source.fault), hit.memory_of(source));
            let effect = hit.fault(source).on_response_knowing(response, dice, memory, now);
            (source, strength::of_response(effect, drawn.strength))
        }))
    }

    /// What a fault does to a WebSocket message; nothing if its hit is settled. Both directions draw apart.
    pub fn message_effect(&self, source: Source, message: &MessageView) -> MessageEffect {
        let Some((hit, drawn)) = self.hits.get(source.hit).and_then(|hit| Some((hit, hit.drawn()?))) else {
            return MessageEffect::default();
        };
        let side = if message.side == Side::Request { 0 } else { 1 };
        let dice = drawn.dice.of_fault(source.fault).of_part(2 * message.number + side);
        hit.fault(source).on_message(message, dice)
    }

    fn asked(&self) -> impl Iterator<Item = (Source, &Hit, Drawn)> {
        let open = self.hits.iter().enumerate().filter_map(|(index, hit)| Some((index, hit, hit.drawn()?)));
        open.flat_map(|(index, hit, drawn)| {
            (0..hit.rule.spec.faults.len()).map(move |fault| (Source { hit: index, fault }, hit, drawn))
        })
    }

    /// This fault began to act. Counted as injected, once.
    pub fn acted(&mut self, source: Source) {
        let Some(hit) = self.hits.get_mut(source.hit).filter(|hit| hit.drawn().is_some()) else { return };
        let Some(ends) = hit.rule.state.faults.get(source.fault) else { return };
        let bit = bit(source.fault);
        if hit.acted & bit == 0 {
            ends.injected.fetch_add(1, Ordering::Relaxed);
            if hit.acted == 0 {
                hit.rule.state.hits.injected.fetch_add(1, Ordering::Relaxed);
            }
            hit.acted |= bit;
        }
    }

    /// The client left: what has not acted by now counts as departed, unless it was released before.
    pub fn departed(&mut self) {
        for hit in &mut self.hits {
            hit.departed = !hit.is_released();
        }
    }

    /// Whether the rule of this hit was released (disabled, removed, expired, off) since it was planned. A hit that
    /// does not exist counts as released.
    pub fn is_released(&self, hit: usize) -> bool {
        self.hits.get(hit).is_none_or(Hit::is_released)
    }

    /// Ends when the rule of this hit is released; at once if it was. The future borrows nothing.
    pub fn released(&self, hit: usize) -> impl Future<Output = ()> + Send + use<> {
        let watched = self.hits.get(hit).map(|hit| (Arc::clone(&hit.rule), hit.epoch));
        async move {
            if let Some((rule, epoch)) = watched {
                rule.release.beyond(epoch).await;
            }
        }
    }

    /// Ends the hits that `keep` says no to: they are accounted for and active no more. A rule that still waits for the
    /// answer goes on waiting.
    pub fn settle(&mut self, keep: impl Fn(usize) -> bool) {
        for (index, hit) in self.hits.iter_mut().enumerate() {
            if !keep(index) {
                hit.end();
            }
        }
    }

    /// `<rule>/<kind>` of a fault, as the mark on an injected answer says it.
    pub fn mark(&self, source: Source) -> &str {
        self.marked(source).map_or("", |mark| &mark.text)
    }

    /// As [`Plan::mark`], ready to be sent.
    pub fn mark_value(&self, source: Source) -> Option<&HeaderValue> {
        self.marked(source).map(|mark| &mark.value)
    }

    fn marked(&self, source: Source) -> Option<&super::set::Mark> {
        self.hits.get(source.hit)?.rule.marks.get(source.fault)
    }

    /// The name of the rule of a fault and its kind: the labels of its metrics.
    pub fn labels(&self, source: Source) -> Option<(&str, &'static str)> {
        let rule = &self.hits.get(source.hit)?.rule.spec;
        Some((&rule.name, rule.faults.get(source.fault)?.kind))
    }
}

impl Hit {
    fn fault(&self, source: Source) -> &dyn crate::faults::Fault {
        &*self.rule.spec.faults[source.fault].fault
    }

    fn drawn(&self) -> Option<Drawn> {
        if let Stage::Open(drawn) = self.stage { Some(drawn) } else { None }
    }

    /// What a rule that is coupled with this one has to know.
    fn couple(&self) -> Couple {
        match self.stage {
            Stage::PutOff(_) => Couple::Undecided,
            Stage::Passed => Couple::Misses,
            Stage::Open(_) | Stage::Over => Couple::Hits,
        }
    }

    /// The partner has decided.
    fn decide(&mut self, partner_hits: bool) {
        let Stage::PutOff(put_off) = &self.stage else { return };
        let drawn = match partner_hits && !self.is_released() {
            true => put_off.chance.draw(&self.rule, Chance::count_eligible(&self.rule)),
            false => None,
        };
        self.stage = drawn.map_or(Stage::Passed, Stage::Open);
    }

    /// The answer that the rule waited for is there: counts a match, and decides unless a partner has to first.
    fn look_at(&mut self, response: &ResponseView<'_>) {
        let released = self.is_released();
        let Stage::PutOff(put_off) = &mut self.stage else { return };
        let Some(conditions) = self.rule.spec.matching.response.as_ref().filter(|_| !put_off.matched) else { return };
        if released || !conditions.hold(response) {
            self.stage = Stage::Passed;
            return;
        }
        let n = put_off.chance.count_match(&self.rule);
        put_off.matched = true;
        if self.rule.spec.trigger.with.is_none() {
            let drawn = put_off.chance.draw(&self.rule, n);
            self.stage = drawn.map_or(Stage::Passed, Stage::Open);
        }
    }

    fn memory_of(&self, source: Source) -> &Memory {
        &self.rule.state.memories[source.fault]
    }

    fn is_released(&self) -> bool {
        self.rule.release.epoch() != self.epoch
    }

    fn end(&mut self) {
        if self.drawn().is_none() {
            return;
        }
        self.stage = Stage::Over;
        let unacted = if self.departed {
            Unacted::Departed
        } else if self.is_released() {
            Unacted::Released
        } else {
            Unacted::Skipped
        };
        let state = &self.rule.state;
        for (fault, ends) in state.faults.iter().enumerate() {
            if self.acted & bit(fault) == 0 {
                ends.count(unacted);
            }
        }
        if self.acted == 0 {
            state.hits.count(unacted);
        }
        state.leave();
    }
}

/// The bit of a fault; reading rules sees to it that there are not more than bits.
fn bit(fault: usize) -> u32 {
    1u32.checked_shl(fault as u32).unwrap_or(0)
}

impl Drop for Hit {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::time::Duration;

    use super::super::testing::{Request, rules};
    use super::super::{Counts, Layer, Store};
    use super::*;

    const TWO: &str = "[[rule]]\nname = \"a\"\n[[rule.fault]]\nkind = \"latency\"\ndelay = \"1s\"\n\
                       [[rule.fault]]\nkind = \"slow-body\"\nrate = \"1KiB/s\"\n";
    const DELAY: Source = Source { hit: 0, fault: 0 };
    const BODY: Source = Source { hit: 0, fault: 1 };

    fn begun() -> (Arc<Store>, Plan) {
        let store = Store::new(1);
        store.replace(&Layer::File, rules(TWO));
        let plan = store.load().plan("p", &Request::get("/").view());
        (store, plan)
    }

    fn ends(store: &Store) -> Vec<Counts> {
        let status = store.status().remove(0);
        std::iter::once(status.counts).chain(status.faults.into_iter().map(|fault| fault.counts)).collect()
    }

    fn base() -> Counts {
        Counts { matched: 1, triggered: 1, ..Counts::default() }
    }

    #[test]
    fn each_fault_is_counted_once_and_the_rule_as_a_whole_too() {
        let (store, mut plan) = begun();
        plan.acted(DELAY);
        plan.acted(DELAY);
        assert_eq!(ends(&store)[1], Counts { active: 1, injected: 1, ..base() });
        drop(plan);
        let (injected, skipped) = (Counts { injected: 1, ..base() }, Counts { skipped: 1, ..base() });
        assert_eq!(ends(&store), [injected, injected, skipped]);
    }

    #[test]
    fn what_did_not_act_is_departed_released_or_skipped_by_what_came_first() {
        let (store, mut plan) = begun();
        plan.departed();
        store.off();
        drop(plan);
        assert_eq!(ends(&store)[0], Counts { departed: 1, ..base() });
        let (store, mut plan) = begun();
        store.off();
        plan.departed();
        drop(plan);
        assert_eq!(ends(&store)[0], Counts { released: 1, ..base() });
    }

    #[test]
    fn a_settled_hit_is_over_while_the_plan_lives_on() {
        let (store, mut plan) = begun();
        plan.settle(|_| true);
        assert_eq!(store.active(&Layer::File), 1);
        plan.settle(|_| false);
        plan.acted(BODY);
        assert_eq!(store.active(&Layer::File), 0);
        assert!(plan.request_course(&Request::get("/").view()).delays.is_empty(), "it asks for nothing any more");
        drop(plan);
        assert_eq!(ends(&store)[0], Counts { skipped: 1, ..base() });
    }

    #[test]
    fn a_fault_that_does_not_exist_is_nobody() {
        let (_, mut plan) = begun();
        plan.acted(Source { hit: 0, fault: 7 });
        plan.acted(Source { hit: 0, fault: 40 });
        plan.acted(Source { hit: 7, fault: 0 });
        assert!(plan.is_released(7) && plan.labels(BODY) == Some(("a", "slow-body")));
        assert_eq!((plan.mark(DELAY), plan.mark(Source { hit: 9, fault: 0 })), ("a/latency", ""));
        assert_eq!(plan.mark_value(BODY).unwrap(), "a/slow-body");
        assert!(Plan::none().is_empty());
    }

    #[test]
    fn a_plan_goes_from_thread_to_thread_and_a_store_is_shared() {
        fn sendable<T: Send>(_: &T) {}
        fn shareable<T: Send + Sync + 'static>(_: &T) {}
        let (store, plan) = begun();
        sendable(&plan);
        shareable(&store);
        let released: Pin<Box<dyn Future<Output = ()> + Send + 'static>> = Box::pin(plan.released(0));
        drop((plan, released));
    }

    #[tokio::test(start_paused = true)]
    async fn a_release_wakes_whoever_waits_whenever_it_comes() {
        let (store, plan) = begun();
        let early = tokio::spawn(plan.released(0));
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(!early.is_finished());
        let unpolled = plan.released(0);
        // An edit is no release, nor is another layer's removal.
        store.replace(&Layer::File, rules(&TWO.replace("1s", "2s")));
        store.remove_layer(&Layer::Api);
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(!early.is_finished());
        store.set_enabled(&Layer::File, "a", false);
        early.await.unwrap();
        unpolled.await;
        plan.released(0).await;
        plan.released(9).await;
    }

    #[tokio::test(start_paused = true)]
    async fn an_enabled_again_rule_does_not_catch_those_it_released() {
        let (store, plan) = begun();
        let waiting = plan.released(0);
        store.set_enabled(&Layer::File, "a", false);
        store.set_enabled(&Layer::File, "a", true);
        waiting.await;
    }
}
