//! The one place where rules change while traffic flows.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::{ArcSwap, Guard};
use tokio::sync::watch;

use super::book::{Book, Entry, ToRelease};
use super::layer::Layer;
use super::set::RuleSet;
use super::spec::RuleSpec;
use super::status::{FaultStatus, Lease, LedgerRow, RuleStatus};
use crate::clock::{self, Instant};

/// All rules of an instance. Requests load the current set with one pointer; changes build the next one aside, put it
/// in place, and then release what is no longer in force.
pub struct Store {
    seed: u64,
    born: Instant,
    set: ArcSwap<RuleSet>,
    book: Mutex<Book>,
    generation: watch::Sender<u64>,
}

impl Store {
    /// A store without rules. `seed` is the root of all chance.
    pub fn new(seed: u64) -> Arc<Self> {
        let born = clock::now();
        let mut book = Book::default();
        let set = book.set(seed, born);
        let generation = watch::Sender::new(set.generation);
        Arc::new(Self { seed, born, set: ArcSwap::new(set), book: Mutex::new(book), generation })
    }

    /// The current set. Cheap: for every request, once.
    pub fn load(&self) -> Guard<Arc<RuleSet>> {
        self.set.load()
    }

    /// The generation of the current set.
    pub fn generation(&self) -> u64 {
        self.set.load().generation
    }

    /// Tells of every change: rules, switches, leases.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }

    /// Replaces the rules of one layer, in composition order, and returns the new generation. Names must be unique
    /// within the layer. A rule whose content is unchanged keeps its state; one that is gone or disabled is released;
    /// one that is merely edited lets the requests that suffer it go on as planned.
    pub fn replace(&self, layer: &Layer, rules: Vec<RuleSpec>) -> u64 {
        let now = clock::now();
        self.change(|book| Some(book.replace(layer, rules, now))).unwrap_or_default()
    }

    /// Removes all rules of a layer and releases them.
    pub fn remove_layer(&self, layer: &Layer) {
        self.replace(layer, Vec::new());
    }

    /// Turns a rule on or off; `false` if there is none of this name. Turning an expired rule on starts its lease
    /// afresh. What was turned on or off stays so through reloads, until the written `enabled` changes.
    pub fn set_enabled(&self, layer: &Layer, name: &str, enabled: bool) -> bool {
        let now = clock::now();
        let changed = self.change(|book| {
            let layer = book.layers.get_mut(layer)?;
            let entry = layer.entries.iter_mut().find(|entry| *entry.rule.spec.name == *name)?;
            let was_live = entry.enabled && !entry.expired;
            entry.enabled = enabled;
            if enabled && std::mem::take(&mut entry.expired) {
                entry.since = now;
            }
            let released = (was_live && !enabled).then(|| Arc::clone(&entry.rule.release));
            layer.set_live();
            Some(released.into_iter().collect())
        });
        changed.is_some()
    }

    /// Turns everything off, until [`Store::on`]: nothing triggers, and whatever suffers is released. Rules stay
    /// listed, can be changed, and their leases go on.
    pub fn off(&self) {
        self.change(|book| {
            book.off = true;
            let entries = book.layers.values().flat_map(|layer| &layer.entries);
            Some(entries.map(|entry| Arc::clone(&entry.rule.release)).collect())
        });
    }

    /// Takes [`Store::off`] back.
    pub fn on(&self) {
        self.change(|book| {
            book.off = false;
            book.layers.values_mut().for_each(|layer| layer.set_live());
            Some(ToRelease::new())
        });
    }

    /// Whether everything is off.
    pub fn is_off(&self) -> bool {
        self.set.load().off
    }

    /// Starts the leases of a layer afresh. A lease that has run out stays so.
    pub fn renew(&self, layer: &Layer) {
        let now = clock::now();
        let mut book = self.book();
        let entries = book.layers.get_mut(layer).into_iter().flat_map(|layer| &mut layer.entries);
        entries.filter(|entry| !entry.expired).for_each(|entry| entry.since = now);
        self.generation.send_modify(|_| {});
    }

    /// Ends the rules whose lease has run out and releases them. Returns when the next one runs out: call it then,
    /// and after every change.
    pub fn expire(&self, now: Instant) -> Option<Instant> {
        self.change(|book| {
            let mut expired = ToRelease::new();
            for layer in book.layers.values_mut() {
                let due = |entry: &&mut Entry| !entry.expired && entry.until().is_some_and(|until| until <= now);
                let before = expired.len();
                for entry in layer.entries.iter_mut().filter(due) {
                    entry.expired = true;
                    expired.push(Arc::clone(&entry.rule.release));
                }
                if expired.len() > before {
                    layer.set_live();
                }
            }
            (!expired.is_empty()).then_some(expired)
        });
        self.next_expiry()
    }

    /// When the next lease runs out.
    pub fn next_expiry(&self) -> Option<Instant> {
        let book = self.book();
        let entries = book.layers.values().flat_map(|layer| &layer.entries);
        entries.filter(|entry| !entry.expired).filter_map(Entry::until).min()
    }

    /// All leases, those that ran out too.
    pub fn leases(&self) -> Vec<Lease> {
        let book = self.book();
        let entries = book.layers.iter().flat_map(|(layer, book)| book.entries.iter().map(move |e| (layer, e)));
        let lease = |(layer, entry): (&Layer, &Entry)| {
            Some(Lease { layer: layer.clone(), rule: Arc::clone(&entry.rule.spec.name), until: entry.until()? })
        };
        entries.filter_map(lease).collect()
    }

    /// All rules in composition order.
    pub fn status(&self) -> Vec<RuleStatus> {
        let now = clock::now();
        let book = self.book();
        let entries = book.layers.iter().flat_map(|(layer, book)| book.entries.iter().map(move |e| (layer, e)));
        entries.map(|(layer, entry)| status(layer, entry, now, self.born)).collect()
    }

    /// Requests that suffer a rule of this layer now, also one that was removed or changed meanwhile.
    pub fn active(&self, layer: &Layer) -> u64 {
        self.book().active(layer)
    }

    /// The figures of every rule and kind to which anything happened, since the store began.
    pub fn ledger(&self) -> Vec<LedgerRow> {
        let mut book = self.book();
        book.sweep();
        book.ledger()
    }

    /// Changes the book, puts the set that follows from it in place, and then releases. `None`: nothing changed.
    fn change(&self, change: impl FnOnce(&mut Book) -> Option<ToRelease>) -> Option<u64> {
        let mut book = self.book();
        let released = change(&mut book)?;
        let set = book.set(self.seed, self.born);
        let generation = set.generation;
        let old = self.set.swap(set);
        // Only now, so that whoever is released and comes back finds the new set.
        released.iter().for_each(|cell| cell.release());
        book.keep(old);
        drop(book);
        self.generation.send_replace(generation);
        Some(generation)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // The book is only ever changed by code that does not panic half way; counters matter more than purity.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn status(layer: &Layer, entry: &Entry, now: Instant, born: Instant) -> RuleStatus {
    let Entry { rule, enabled, expired, .. } = entry;
    let (spec, state) = (&rule.spec, &rule.state);
    let last = state.last_matched.load(std::sync::atomic::Ordering::Relaxed);
    let age = now.saturating_duration_since(born).as_secs_f64();
    RuleStatus {
        layer: layer.clone(),
        name: spec.name.to_string(),
        enabled: *enabled,
        expired: *expired,
        lease_left_s: entry.until().map(|until| until.saturating_duration_since(now).as_secs_f64()),
        counts: state.counts(),
        last_matched_s_ago: last.checked_sub(1).map(|at| (age - at as f64 / 1e9).max(0.0)),
        faults: spec
            .faults
            .iter()
            .enumerate()
            .map(|(at, fault)| FaultStatus {
                kind: fault.kind,
                does: fault.fault.describe(),
                counts: state.counts_of([at]),
            })
            .collect(),
        origin: spec.origin.to_string(),
        rule: spec.json.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Request, rule, rules};
    use super::*;

    #[test]
    fn a_rule_hits_is_released_by_removal_and_counted() {
        let store = Store::new(1);
        store.replace(&Layer::File, rules(&rule("a", "match = { path = \"/a/**\" }")));
        let mut plan = store.load().plan("p", &Request::get("/a/b").view());
        assert!(store.load().plan("p", &Request::get("/b").view()).is_empty());
        assert_eq!(store.active(&Layer::File), 1);
        let course = plan.request_course(&Request::get("/a/b").view());
        let (source, _) = course.terminals[0];
        assert_eq!(plan.mark(source), "a/error");
        plan.acted(source);
        plan.acted(source);
        assert!(!plan.is_released(0));
        store.remove_layer(&Layer::File);
        assert!(plan.is_released(0));
        assert_eq!(store.active(&Layer::File), 1);
        drop(plan);
        assert_eq!(store.active(&Layer::File), 0);
        let ledger = store.ledger();
        let expected = crate::rules::Counts { matched: 1, triggered: 1, injected: 1, ..Default::default() };
        assert_eq!((&*ledger[0].rule, ledger[0].kind, ledger[0].counts), ("a", "error", expected));
    }
}
