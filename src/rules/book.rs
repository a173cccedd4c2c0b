//! The store's side behind the lock: who is enabled, whose lease runs, what is left of rules that are gone.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::SystemTime;

use super::asked::Asking;
use super::layer::Layer;
use super::layer_book::LayerBook;
use super::matcher::Conditions;
use super::schedule::{Origin, Schedule};
use super::set::{Rule, RuleSet};
use super::spec::RuleSpec;
use super::state::{Counts, ReleaseCell, State};
use super::status::LedgerRow;
use crate::clock::Instant;

/// One rule of a layer.
pub(super) struct Entry {
    pub(super) rule: Arc<Rule>,
    pub(super) enabled: bool,
    pub(super) expired: bool,
    /// The beginning of the lease.
    pub(super) since: Instant,
    /// When it last became enabled.
    pub(super) enabled_at: Instant,
    /// What its schedule is counted from.
    pub(super) origin: Option<Origin>,
    /// How often its schedule has come to an end, as far as those who suffered were released.
    pub(super) ends: u64,
    /// It is about to be released without being turned off.
    pub(super) reopens: bool,
}

impl Entry {
    pub(super) fn is_in(&self, group: &str) -> bool {
        self.rule.spec.groups.iter().any(|own| own == group)
    }

    pub(super) fn is_live(&self) -> bool {
        self.enabled && !self.expired
    }

    /// Turns it on: its schedule begins, and a lease that had run out begins anew.
    pub(super) fn enable(&mut self, now: Instant) {
        if std::mem::take(&mut self.expired) {
            self.since = now;
        } else if self.enabled {
            return;
        }
        self.enabled = true;
        self.begin_schedule(now);
    }

    fn begin_schedule(&mut self, now: Instant) {
        let schedule = &self.rule.spec.schedule;
        self.enabled_at = now;
        self.ends = 0;
        self.origin = (*schedule != Schedule::default()).then(|| schedule.origin(now, SystemTime::now()));
        if let Some(origin) = self.origin {
            self.ends = schedule.ends(origin, now);
        }
    }

    /// Whether its schedule has come to an end since this was last asked.
    pub(super) fn came_to_an_end(&mut self, now: Instant) -> bool {
        let Some(origin) = self.origin.filter(|_| self.is_live()) else { return false };
        let ends = self.rule.spec.schedule.ends(origin, now);
        ends > std::mem::replace(&mut self.ends, ends)
    }

    /// When something ends by itself: its lease, or this time of its schedule.
    pub(super) fn next_end(&self, now: Instant) -> Option<Instant> {
        let origin = self.origin.filter(|_| self.is_live());
        let rest = origin.and_then(|origin| self.rule.spec.schedule.next_end(origin, now));
        [self.until().filter(|_| !self.expired), rest].into_iter().flatten().min()
    }

    /// When the lease runs out.
    pub(super) fn until(&self) -> Option<Instant> {
        self.rule.spec.lease.map(|lease| self.since + lease)
    }
}

/// A rule that no set to come knows, but that requests may still suffer.
struct Leaving {
    layer: Layer,
    name: Arc<str>,
    kinds: Box<[&'static str]>,
    state: Arc<State>,
}

#[derive(Default)]
pub(super) struct Book {
    pub(super) generation: u64,
    pub(super) off: bool,
    /// Requests that all rules spare.
    pub(super) excludes: Arc<[Conditions]>,
    /// What clients ask for themselves.
    pub(super) asking: Arc<Asking>,
    pub(super) layers: BTreeMap<Layer, LayerBook>,
    leaving: Vec<Leaving>,
    /// What became of rules that are gone for good.
    past: BTreeMap<(Arc<str>, &'static str), Counts>,
    /// Sets that requests may still hold: a big one must not be dropped by a request.
    old: Vec<Arc<RuleSet>>,
}

/// What must be released once the set without it is in place.
pub(super) type ToRelease = Vec<Arc<ReleaseCell>>;

impl Book {
    /// Replaces the rules of one layer. Where the content of a rule is unchanged its state goes on.
    pub(super) fn replace(&mut self, layer: &Layer, specs: Vec<RuleSpec>, now: Instant) -> ToRelease {
        let before = self.layers.remove(layer).map(|layer| layer.entries).unwrap_or_default();
        let mut before: HashMap<Arc<str>, Entry> =
            before.into_iter().map(|entry| (Arc::clone(&entry.rule.spec.name), entry)).collect();
        let mut to_release = ToRelease::new();
        let mut entries: Vec<Entry> = Vec::with_capacity(specs.len());
        for spec in specs {
            let old = before.remove(&spec.name);
            let was_live = old.as_ref().is_some_and(Entry::is_live);
            let entry = match old {
                Some(old) if old.rule.spec.same_content(&spec) => succeed(old, spec, now),
                old => {
                    let release = old.as_ref().map(|old| Arc::clone(&old.rule.release)).unwrap_or_default();
                    old.into_iter().for_each(|old| self.leave(layer, &old));
                    begin(spec, release, now)
                }
            };
            if was_live && !entry.is_live() {
                to_release.push(Arc::clone(&entry.rule.release));
            }
            entries.push(entry);
        }
        for gone in before.into_values() {
            to_release.push(Arc::clone(&gone.rule.release));
            self.leave(layer, &gone);
        }
        if !entries.is_empty() {
            self.layers.insert(layer.clone(), LayerBook::new(entries));
        }
        to_release
    }

    fn leave(&mut self, layer: &Layer, entry: &Entry) {
        let spec = &entry.rule.spec;
        self.leaving.push(Leaving {
            layer: layer.clone(),
            name: Arc::clone(&spec.name),
            kinds: spec.faults.iter().map(|fault| fault.kind).collect(),
            state: Arc::clone(&entry.rule.state),
        });
    }

    /// The set as the book now stands.
    pub(super) fn set(&mut self, seed: u64, born: Instant) -> Arc<RuleSet> {
        self.generation += 1;
        let layers = self.layers.values().map(LayerBook::set).collect();
        Arc::new(RuleSet::new(
            self.generation,
            (seed, born),
            self.off,
            Arc::clone(&self.excludes),
            &self.asking,
            layers,
        ))
    }

    /// Keeps a set that was replaced until no request holds it any more.
    pub(super) fn keep(&mut self, old: Arc<RuleSet>) {
        self.old.push(old);
        self.sweep();
    }

    /// Drops old sets that nobody holds, and books the figures of rules that nobody can suffer any more.
    pub(super) fn sweep(&mut self) {
        self.old.retain(|set| Arc::strong_count(set) > 1);
        let past = &mut self.past;
        self.leaving.retain_mut(|leaving| {
            // Held by the list alone: no set, no plan. So no figure can move any more.
            let gone = Arc::get_mut(&mut leaving.state).is_some();
            if gone && leaving.state.counts() != Counts::default() {
                for (kind, counts) in by_kind(&leaving.kinds, &leaving.state) {
                    past.entry((Arc::clone(&leaving.name), kind)).or_default().add(&counts);
                }
            }
            !gone
        });
    }

    /// Hits of a layer that are active, of rules that are gone too.
    pub(super) fn active(&self, layer: &Layer) -> u64 {
        let entries = self.layers.get(layer).into_iter().flat_map(|layer| &layer.entries);
        let leaving = self.leaving.iter().filter(|leaving| leaving.layer == *layer);
        entries.map(|entry| entry.rule.state.active()).chain(leaving.map(|leaving| leaving.state.active())).sum()
    }

    /// Hits of all layers that are active, of rules that are gone too.
    pub(super) fn total_active(&self) -> u64 {
        let entries = self.layers.values().flat_map(|layer| &layer.entries).map(|entry| entry.rule.state.active());
        let asked = self.asking.slots().iter().map(|slot| slot.state.active());
        entries.chain(self.leaving.iter().map(|leaving| leaving.state.active())).chain(asked).sum()
    }

    /// The figures of every rule and kind that anything happened to.
    pub(super) fn ledger(&self) -> Vec<LedgerRow> {
        let mut rows = self.past.clone();
        let mut add = |name: &Arc<str>, kinds: &[&'static str], state: &State| {
            for (kind, counts) in by_kind(kinds, state) {
                rows.entry((Arc::clone(name), kind)).or_default().add(&counts);
            }
        };
        for entry in self.layers.values().flat_map(|layer| &layer.entries) {
            let spec = &entry.rule.spec;
            if entry.rule.state.counts() != Counts::default() {
                let kinds = spec.faults.iter().map(|fault| fault.kind).collect::<Vec<_>>();
                add(&spec.name, &kinds, &entry.rule.state);
            }
        }
        for slot in self.asking.slots() {
            add(&slot.name, &[slot.kind], &slot.state);
        }
        for leaving in &self.leaving {
            add(&leaving.name, &leaving.kinds, &leaving.state);
        }
        rows.into_iter()
            .filter(|(_, counts)| *counts != Counts::default())
            .map(|((rule, kind), counts)| LedgerRow { rule, kind, counts })
            .collect()
    }
}

/// The same content again: everything goes on, only where it was written and a changed `enabled` are new.
fn succeed(mut old: Entry, spec: RuleSpec, now: Instant) -> Entry {
    let switched = (spec.enabled != old.rule.spec.enabled).then_some(spec.enabled);
    old.rule = Arc::new(Rule::new(spec, Arc::clone(&old.rule.state), Arc::clone(&old.rule.release)));
    match switched {
        // A lease that has run out stays so: what is written is not a wish of this moment.
        Some(true) if !old.enabled => {
            old.enabled = true;
            old.begin_schedule(now);
        }
        Some(enabled) => old.enabled = enabled,
        None => {}
    }
    old
}

/// A new rule, or a new content under a known name.
fn begin(spec: RuleSpec, release: Arc<ReleaseCell>, now: Instant) -> Entry {
    let (enabled, state) = (spec.enabled, Arc::new(State::new(spec.faults.len())));
    let rule = Arc::new(Rule::new(spec, state, release));
    let mut entry =
        Entry { rule, enabled, expired: false, since: now, enabled_at: now, origin: None, ends: 0, reopens: false };
    if enabled {
        entry.begin_schedule(now);
    }
    entry
}

/// The figures of each kind of fault of a rule, kinds that stand in it twice added up.
fn by_kind(kinds: &[&'static str], state: &State) -> impl Iterator<Item = (&'static str, Counts)> {
    let firsts = kinds.iter().enumerate().filter(|(at, kind)| !kinds[..*at].contains(kind));
    firsts.map(|(_, kind)| {
        let same = kinds.iter().enumerate().filter(|(_, other)| *other == kind).map(|(at, _)| at);
        (*kind, state.counts_of(same))
    })
}
