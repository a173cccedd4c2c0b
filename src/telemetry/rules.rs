//! What the rules do, read from their store at each scrape: the data path pays nothing for it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use indexmap::IndexSet;
use prometheus::proto::MetricFamily;

use super::family::Family;
use super::reloads::Reloads;
use crate::clock;
use crate::names::metrics as names;
use crate::rules::{Counts, Store};

/// The metrics of one store.
pub(super) struct RuleMetrics {
    store: Arc<Store>,
    /// The rules that have a label of their own: kept, because a counter must not move from one series to another.
    counted: Mutex<Labels>,
    leased: Mutex<Labels>,
}

impl RuleMetrics {
    pub(super) fn new(store: Arc<Store>) -> Self {
        Self { store, counted: Mutex::default(), leased: Mutex::default() }
    }

    pub(super) fn collect(&self) -> Vec<MetricFamily> {
        let mut families = self.ledger();
        families.push(self.leases());
        families.push(Family::of(&names::RULES_GENERATION, Some(self.store.generation() as f64)));
        families.push(Family::of(&names::KILL_SWITCH_ENGAGED, Some(f64::from(self.store.is_off()))));
        families.into_iter().filter_map(Family::finish).collect()
    }

    fn ledger(&self) -> Vec<Family> {
        let rows = self.store.ledger();
        let mut labels = lock(&self.counted);
        let mut sums = BTreeMap::<(&str, &str), Counts>::new();
        for row in &rows {
            sums.entry((labels.of(&row.rule), row.kind)).or_default().add(&row.counts);
        }
        let mut totals = Family::new(&names::FAULTS);
        let mut active = Family::new(&names::FAULTS_ACTIVE);
        for ((rule, kind), counts) in sums {
            for (stage, count) in stages(&counts) {
                totals.add_event_count(&[rule, kind, stage], count);
            }
            active.add(&[rule, kind], counts.active as f64);
        }
        vec![totals, active, Family::of(&names::RULES_FOLDED, Some(labels.folded() as f64))]
    }

    /// The earliest end of a running lease, for each rule's name.
    fn leases(&self) -> Family {
        let (now, wall) = (clock::now(), SystemTime::now());
        let leases = self.store.leases();
        let mut labels = lock(&self.leased);
        let mut ends = BTreeMap::<&str, Duration>::new();
        for lease in leases.iter().filter(|lease| lease.until > now) {
            let left = lease.until - now;
            let earliest = ends.entry(labels.of(&lease.rule)).or_insert(left);
            *earliest = left.min(*earliest);
        }
        let mut family = Family::new(&names::RULE_LEASE_EXPIRY);
        for (rule, left) in ends {
            family.add(&[rule], unix(wall + left));
        }
        family
    }
}

/// How reading the rule files went.
pub(super) fn of_reloads(reloads: &Reloads) -> Vec<MetricFamily> {
    let last = reloads.last().map(|reload| f64::from(reload.problems.is_empty()));
    let families = [
        Family::of(&names::RULES_LAST_RELOAD_SUCCESSFUL, last),
        Family::of(&names::RULES_LAST_RELOAD_SUCCESS_TIMESTAMP, reloads.last_success().map(unix)),
    ];
    families.into_iter().filter_map(Family::finish).collect()
}

fn stages(counts: &Counts) -> [(&'static str, u64); 7] {
    [
        ("matched", counts.matched),
        ("triggered", counts.triggered),
        ("limited", counts.limited),
        ("skipped", counts.skipped),
        ("injected", counts.injected),
        ("released", counts.released),
        ("departed", counts.departed),
    ]
}

/// Unix time in seconds, to the millisecond: two readings of the same lease differ by less.
fn unix(at: SystemTime) -> f64 {
    (at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64() * 1e3).round() / 1e3
}

/// Which rules have a label of their own: those that came first.
#[derive(Default)]
struct Labels {
    own: IndexSet<Arc<str>>,
    folded: IndexSet<Arc<str>>,
}

impl Labels {
    fn of<'a>(&mut self, rule: &'a Arc<str>) -> &'a str {
        if self.own.contains(rule) {
            return rule;
        }
        if self.own.len() < names::MAX_RULE_LABELS {
            self.own.insert(rule.clone());
            return rule;
        }
        self.folded.insert(rule.clone());
        names::OTHER_RULES
    }

    fn folded(&self) -> usize {
        self.folded.len()
    }
}

fn lock(labels: &Mutex<Labels>) -> MutexGuard<'_, Labels> {
    labels.lock().unwrap_or_else(PoisonError::into_inner)
}
