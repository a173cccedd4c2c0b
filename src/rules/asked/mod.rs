//! Faults that a client asks for itself, where a proxy allows it: Envoy's headers, and one of our own.
//!
//! Each thing asked for becomes a rule that lives as long as its request. What outlives it, counters and release, is
//! kept here by header and kind, so that metrics, the active gauge and `off` treat it like any other rule.

mod capped;
mod envoy;
mod header;

use std::sync::Arc;
use std::time::Duration;

use super::draw::Chance;
use super::limit::Limits;
use super::plan::Plan;
use super::set::Rule;
use super::spec::{FaultSpec, RuleSpec};
use super::state::{ReleaseCell, State};
use super::trigger::{How, Trigger};
use crate::clock::Instant;
use crate::diagnostics::Problems;
use crate::faults::{Fault, KINDS, RequestView};

/// What clients of a proxy may ask for.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientFaults {
    /// `x-envoy-fault-*` headers are obeyed.
    pub envoy: bool,
    /// `x-brownout-fault` is obeyed.
    pub header: bool,
    /// No wait that a client asks for is longer.
    pub max_delay: Duration,
    /// No percentage that a client asks for is higher; it is also what a request without one gets.
    pub max_probability: f64,
    /// What the percentages of Envoy's headers are parts of: 100, 10,000 or 1,000,000.
    pub denominator: u32,
    /// So many requests suffer one kind at once.
    pub max_active: Option<u64>,
    /// The kinds of fault that `x-brownout-fault` may name.
    pub kinds: Vec<&'static str>,
}

/// One fault that a request asks for.
#[derive(Debug)]
struct Wish {
    kind: &'static str,
    fault: Arc<dyn Fault>,
    probability: f64,
}

/// What all requests that ask share: counters by header and kind, and the way to release them.
#[derive(Debug)]
pub(super) struct Asking {
    pub(super) release: Arc<ReleaseCell>,
    slots: Box<[Slot]>,
}

/// The account of one kind under one header.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) name: Arc<str>,
    pub(super) kind: &'static str,
    pub(super) state: Arc<State>,
}

/// The rule names of what was asked for; no written rule has them, since names are unique per layer and these are in none.
const NAMES: [&str; 2] = ["x-envoy-fault", "x-brownout-fault"];

impl Default for Asking {
    fn default() -> Self {
        let slots = NAMES.into_iter().flat_map(|name| {
            let name: Arc<str> = name.into();
            KINDS.iter().map(move |kind| Slot {
                name: Arc::clone(&name),
                kind: kind.name,
                state: Arc::new(State::new(1)),
            })
        });
        Self { release: Arc::default(), slots: slots.collect() }
    }
}

/// The set that asks: its seed, its beginning, and the epoch at which it was made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Occasion {
    pub(super) seed: u64,
    pub(super) born: Instant,
    pub(super) epoch: u64,
}

impl Asking {
    pub(super) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Adds what the request asks for to its plan, after all written rules, Envoy's headers first.
    ///
    /// # Errors
    /// What is wrong with `x-brownout-fault`; then nothing of it is done. Envoy's headers are never wrong: as in Envoy,
    /// what cannot be understood is not there.
    pub(super) fn ask(
        &self,
        allowed: &ClientFaults,
        occasion: Occasion,
        request: &RequestView<'_>,
        plan: &mut Plan,
    ) -> Result<(), Problems> {
        if self.release.epoch() != occasion.epoch {
            return Ok(());
        }
        if allowed.envoy {
            for wish in envoy::wishes(allowed, request) {
                self.grant(NAMES[0], wish, allowed, occasion, plan);
            }
        }
        if allowed.header {
            for wish in header::wishes(allowed, request)? {
                self.grant(NAMES[1], wish, allowed, occasion, plan);
            }
        }
        Ok(())
    }

    fn grant(&self, name: &str, wish: Wish, allowed: &ClientFaults, occasion: Occasion, plan: &mut Plan) {
        let Some(slot) = self.slots.iter().find(|slot| *slot.name == *name && slot.kind == wish.kind) else { return };
        let spec = RuleSpec {
            trigger: Trigger { how: How::Probability(wish.probability), ..Trigger::default() },
            limits: Limits { concurrent: allowed.max_active, ..Limits::default() },
            ..RuleSpec::asked(Arc::clone(&slot.name), FaultSpec { kind: wish.kind, fault: wish.fault })
        };
        let mut rule = Rule::new(spec, Arc::clone(&slot.state), Arc::clone(&self.release));
        // Kinds roll apart, as in Envoy.
        rule.hash ^= crate::dice::hash_name(wish.kind);
        let rule = Arc::new(rule);
        let chance = Chance { seed: occasion.seed, key: None, born: occasion.born, origin: None };
        let n = chance.count_match(&rule);
        if let Some(drawn) = chance.draw(&rule, n) {
            plan.push(rule, occasion.epoch, drawn);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Request, hits};
    use super::super::{Counts, Store};
    use super::*;
    use crate::faults::compose::Source;

    fn allowed() -> ClientFaults {
        ClientFaults {
            envoy: true,
            header: true,
            max_delay: Duration::from_secs(1),
            max_probability: 1.0,
            denominator: 100,
            max_active: None,
            kinds: KINDS.iter().map(|kind| kind.name).collect(),
        }
    }

    fn asked(store: &Store, allowed: &ClientFaults, request: &Request) -> (Plan, Result<(), Problems>) {
        let mut plan = Plan::none();
        let told = store.load().ask(allowed, &request.view(), &mut plan);
        (plan, told)
    }

    #[test]
    fn what_is_asked_for_is_counted_and_released_like_a_rule() {
        let store = Store::new(1);
        let slow = Request::get("/").header("x-envoy-fault-delay-request", "100");
        let (mut plan, _) = asked(&store, &allowed(), &slow);
        assert_eq!(hits(&plan), ["x-envoy-fault"]);
        assert_eq!(plan.request_course(&slow.view()).delays[0].1, Duration::from_millis(100));
        assert_eq!(store.total_active(), 1);
        plan.acted(Source { hit: 0, fault: 0 });
        assert_eq!(plan.mark(Source { hit: 0, fault: 0 }), "x-envoy-fault/latency");
        store.off();
        assert!(plan.is_released(0));
        assert!(asked(&store, &allowed(), &slow).0.is_empty(), "off is off for clients too");
        store.on();
        assert_eq!(asked(&store, &allowed(), &slow).0.len(), 1);
        drop(plan);
        let row = store.ledger().remove(0);
        let counts = Counts { matched: 2, triggered: 2, injected: 1, skipped: 1, ..Counts::default() };
        assert_eq!((&*row.rule, row.kind, row.counts), ("x-envoy-fault", "latency", counts));
        assert_eq!(store.total_active(), 0);
    }

    #[test]
    fn nothing_is_asked_where_it_is_not_allowed_or_beyond_what_is() {
        let store = Store::new(1);
        let none = ClientFaults { envoy: false, header: false, ..allowed() };
        let both = Request::get("/")
            .header("x-envoy-fault-delay-request", "5000")
            .header("x-brownout-fault", "latency;delay=\"1m\", timeout;for=\"5m\"");
        assert!(asked(&store, &none, &both).0.is_empty());
        let (plan, told) = asked(&store, &allowed(), &both);
        told.unwrap();
        let course = plan.request_course(&both.view());
        assert_eq!(course.delays.iter().map(|(_, d)| d.as_secs()).collect::<Vec<_>>(), [1, 1]);
        assert!(format!("{:?}", course.terminals).contains("wait: Some(1s)"), "{:?}", course.terminals);
        let one = ClientFaults { max_active: Some(2), ..allowed() };
        let plans: Vec<_> = (0..3).map(|_| asked(&store, &one, &both).0).collect();
        // The plan above still suffers one of each.
        assert_eq!(plans.iter().map(Plan::len).collect::<Vec<_>>(), [3, 0, 0]);
        drop(plan);
    }

    #[test]
    fn a_share_is_drawn_by_the_seed() {
        let store = Store::new(1);
        let some = Request::get("/")
            .header("x-envoy-fault-delay-request", "100")
            .header("x-envoy-fault-delay-request-percentage", "30")
            .header("x-envoy-fault-abort-request", "503")
            .header("x-envoy-fault-abort-request-percentage", "30");
        let counts = (0..2_000).fold([0; 3], |mut counts, _| {
            counts[asked(&store, &allowed(), &some).0.len()] += 1;
            counts
        });
        // 49 %, 42 % and 9 % if they roll apart.
        assert!((900..1060).contains(&counts[0]) && (130..230).contains(&counts[2]), "{counts:?}");
    }
}
