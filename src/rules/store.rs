//! The one place where rules change while traffic flows.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::{ArcSwap, Guard};
use tokio::sync::watch;

use super::book::{Book, Entry, ToRelease};
use super::layer::Layer;
use super::matcher::Conditions;
use super::set::RuleSet;
use super::spec::RuleSpec;
use super::state::ReleaseCell;
use super::status::{self, Lease, LedgerRow, RuleStatus};
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
    ///
    /// Takes milliseconds for a thousand rules, so a runtime thread that serves requests should leave it to another.
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
            let released = switch(entry, enabled, now);
            layer.set_live();
            Some(released.into_iter().collect())
        });
        changed.is_some()
    }

    /// Turns all rules of a group on or off at once, in all layers but those of runs, which are switched by their
    /// runner; gives their layers and names. Otherwise as [`Store::set_enabled`].
    pub fn set_group_enabled(&self, group: &str, enabled: bool) -> Vec<(Layer, Arc<str>)> {
        let now = clock::now();
        let mut switched = Vec::new();
        self.change(|book| {
            let mut released = ToRelease::new();
            for (layer, book) in book.layers.iter_mut().filter(|(layer, _)| !matches!(layer, Layer::Run(_))) {
                let before = switched.len();
                for entry in book.entries.iter_mut().filter(|entry| entry.is_in(group)) {
                    released.extend(switch(entry, enabled, now));
                    switched.push((layer.clone(), Arc::clone(&entry.rule.spec.name)));
                }
                if switched.len() > before {
                    book.set_live();
                }
            }
            (!switched.is_empty()).then_some(released)
        });
        switched
    }

    /// Requests that meet all of one of these are spared by all rules of all layers, from the next request on.
    pub fn set_excludes(&self, excludes: Vec<Conditions>) {
        self.change(|book| {
            book.excludes = excludes.into();
            Some(ToRelease::new())
        });
    }

    /// Turns everything off, until [`Store::on`]: nothing triggers, and whatever suffers is released. Rules stay
    /// listed, can be changed, and their leases go on.
    pub fn off(&self) {
        self.change(|book| {
            book.off = true;
            let entries = book.layers.values().flat_map(|layer| &layer.entries);
            let asked = std::iter::once(Arc::clone(&book.asking.release));
            Some(entries.map(|entry| Arc::clone(&entry.rule.release)).chain(asked).collect())
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

    /// Ends the rules whose lease has run out and releases them; releases also those whose schedule has them rest from
    /// now on. Returns when the next of both is due: call it then, and after every change.
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
                for entry in &mut layer.entries {
                    if entry.came_to_an_end(now) {
                        entry.reopens = true;
                        expired.push(Arc::clone(&entry.rule.release));
                    }
                }
                if expired.len() > before {
                    layer.set_live();
                }
            }
            (!expired.is_empty()).then_some(expired)
        });
        self.next_expiry()
    }

    /// When the next lease runs out, or the next time of a schedule is over.
    pub fn next_expiry(&self) -> Option<Instant> {
        let (book, now) = (self.book(), clock::now());
        let entries = book.layers.values().flat_map(|layer| &layer.entries);
        entries.filter_map(|entry| entry.next_end(now)).min()
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
        entries.map(|(layer, entry)| self.status_now(layer, entry, now, book.off)).collect()
    }

    /// As [`Store::status`], for one layer alone.
    pub fn status_of(&self, layer: &Layer) -> Vec<RuleStatus> {
        let now = clock::now();
        let book = self.book();
        let entries = book.layers.get(layer).into_iter().flat_map(|book| &book.entries);
        entries.map(|entry| self.status_now(layer, entry, now, book.off)).collect()
    }

    /// The rules that can act on a proxy: turned on and not expired. The latch is not looked at.
    pub fn acting_on(&self, proxy: &str) -> Vec<(Layer, Arc<str>)> {
        let book = self.book();
        let entries = book.layers.iter().flat_map(|(layer, book)| book.entries.iter().map(move |e| (layer, e)));
        let live = entries.filter(|(_, entry)| entry.is_live() && entry.rule.spec.acts_on(proxy));
        live.map(|(layer, entry)| (layer.clone(), Arc::clone(&entry.rule.spec.name))).collect()
    }

    /// Requests that suffer any rule now, also one that was removed or changed meanwhile.
    pub fn total_active(&self) -> u64 {
        self.book().total_active()
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
        // Still under the lock: told later, an older generation could be the last one heard of.
        self.generation.send_replace(generation);
        Some(generation)
    }

    fn status_now(&self, layer: &Layer, entry: &Entry, now: Instant, off: bool) -> RuleStatus {
        status::of(layer, entry, (self.born, now), off)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // The book is only ever changed by code that does not panic half way; counters matter more than purity.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Turns a rule on or off; what has to be released.
fn switch(entry: &mut Entry, enabled: bool, now: Instant) -> Option<Arc<ReleaseCell>> {
    if enabled {
        entry.enable(now);
        return None;
    }
    let was_live = entry.is_live();
    entry.enabled = false;
    was_live.then(|| Arc::clone(&entry.rule.release))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::super::testing::{Request, hits, rule, rules};
    use super::super::{Counts, Plan};
    use super::*;
    use crate::faults::compose::Source;

    const FIRST: Source = Source { hit: 0, fault: 0 };

    fn store(toml: &str) -> Arc<Store> {
        let store = Store::new(1);
        store.replace(&Layer::File, rules(toml));
        store
    }

    fn plan(store: &Store) -> Plan {
        store.load().plan("p", &Request::get("/").view())
    }

    fn counts(store: &Store, name: &str) -> Counts {
        store.status().into_iter().find(|rule| rule.name == name).unwrap().counts
    }

    #[test]
    fn rules_compose_in_the_order_of_their_layers_and_a_layer_is_replaced_alone() {
        let store = store(&(rule("f1", "") + &rule("f2", "")));
        store.replace(&Layer::run("b"), rules(&rule("r", "")));
        store.replace(&Layer::Api, rules(&rule("a", "")));
        assert_eq!(hits(&plan(&store)), ["f1", "f2", "a", "r"]);
        let before = store.generation();
        assert_eq!(store.replace(&Layer::File, rules(&rule("f3", ""))), before + 1);
        assert_eq!(hits(&plan(&store)), ["f3", "a", "r"]);
        store.remove_layer(&Layer::Api);
        assert_eq!(hits(&plan(&store)), ["f3", "r"]);
    }

    #[test]
    fn unchanged_content_keeps_its_state_and_changed_content_starts_afresh() {
        let store = store(&(rule("a", "") + &rule("b", "")));
        drop(plan(&store));
        store
            .replace(&Layer::File, rules(&(rule("b", "enabled = true") + "\n# moved\n" + &rule("a", "probes = true"))));
        assert_eq!((counts(&store, "a").matched, counts(&store, "b").matched), (0, 1));
        drop(plan(&store));
        let matched = store.ledger().iter().map(|row| (row.rule.to_string(), row.counts.matched)).collect::<Vec<_>>();
        assert_eq!(matched, [("a".to_owned(), 2), ("b".to_owned(), 2)], "the ledger never falls");
    }

    #[test]
    fn a_ledger_outlives_its_rules_and_their_late_hits() {
        let store = store(&rule("a", ""));
        let mut late = plan(&store);
        store.remove_layer(&Layer::File);
        assert_eq!((store.active(&Layer::File), store.ledger()[0].counts.active), (1, 1));
        late.acted(FIRST);
        drop(late);
        let expected = Counts { matched: 1, triggered: 1, injected: 1, ..Counts::default() };
        assert_eq!((store.active(&Layer::File), store.ledger()[0].counts), (0, expected));
        store.replace(&Layer::File, rules(&rule("a", "")));
        drop(plan(&store));
        assert_eq!(store.ledger()[0].counts.matched, 2);
    }

    #[test]
    fn an_edit_releases_nobody_but_what_follows_it_does() {
        let store = store(&rule("a", ""));
        let pinned = plan(&store);
        store.replace(&Layer::File, rules(&rule("a", "probes = true")));
        assert!(!pinned.is_released(0), "an edit lets requests go on as planned");
        let newer = plan(&store);
        assert!(store.set_enabled(&Layer::File, "a", false));
        assert!(pinned.is_released(0) && newer.is_released(0));
        assert!(plan(&store).is_empty());
        assert!(store.set_enabled(&Layer::File, "a", true));
        assert!(pinned.is_released(0), "what was released stays so");
        assert!(!plan(&store).is_released(0));
        assert!(!store.set_enabled(&Layer::File, "z", true) && !store.set_enabled(&Layer::Api, "a", true));
    }

    #[test]
    fn a_switch_outlasts_reloads_until_the_written_one_changes() {
        let store = store(&rule("a", ""));
        store.set_enabled(&Layer::File, "a", false);
        store.replace(&Layer::File, rules(&(rule("a", "") + &rule("b", ""))));
        assert_eq!(hits(&plan(&store)), ["b"]);
        store.replace(&Layer::File, rules(&rule("a", "enabled = false")));
        store.replace(&Layer::File, rules(&rule("a", "enabled = true")));
        let suffering = plan(&store);
        assert_eq!(hits(&suffering), ["a"]);
        store.replace(&Layer::File, rules(&rule("a", "enabled = false")));
        assert!(suffering.is_released(0) && plan(&store).is_empty());
    }

    #[test]
    fn off_releases_everything_and_lasts_through_reloads() {
        let store = store(&rule("a", ""));
        let (set, suffering) = (store.load(), plan(&store));
        store.off();
        assert!(store.is_off() && suffering.is_released(0) && store.load().is_empty());
        assert!(set.plan("p", &Request::get("/").view()).is_empty(), "an older set does not hit any more either");
        store.replace(&Layer::File, rules(&rule("b", "")));
        assert!(plan(&store).is_empty() && store.status().len() == 1);
        store.on();
        assert!(!store.is_off() && suffering.is_released(0));
        assert_eq!(hits(&plan(&store)), ["b"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_ends_its_rule_for_good_unless_it_is_renewed() {
        let store = store(&(rule("a", "lease = \"10s\"") + &rule("b", "lease = \"30s\"") + &rule("c", "")));
        let seconds = |n| Duration::from_secs(n);
        let start = clock::now();
        assert_eq!(store.next_expiry(), Some(start + seconds(10)));
        tokio::time::advance(seconds(9)).await;
        store.renew(&Layer::File);
        tokio::time::advance(seconds(9)).await;
        let suffering = plan(&store);
        assert_eq!(store.expire(clock::now()), Some(start + seconds(19)), "it was renewed at 9 s");
        tokio::time::advance(seconds(1)).await;
        assert_eq!(store.expire(clock::now()), Some(start + seconds(39)));
        assert_eq!((suffering.is_released(0), suffering.is_released(1)), (true, false));
        assert_eq!(hits(&plan(&store)), ["b", "c"]);
        store.renew(&Layer::File);
        let more = rule("a", "lease = \"10s\"") + &rule("b", "lease = \"31s\"") + &rule("d", "");
        store.replace(&Layer::File, rules(&more));
        assert_eq!(hits(&plan(&store)), ["b", "d"], "an expired rule stays expired through an unrelated reload");
        assert!(store.status()[0].expired && store.status()[0].lease_left_s == Some(0.0));
        store.set_enabled(&Layer::File, "a", true);
        assert_eq!(hits(&plan(&store)), ["a", "b", "d"]);
        assert_eq!(store.next_expiry(), Some(clock::now() + seconds(10)));
    }

    #[tokio::test]
    async fn changes_are_told_to_whoever_watches() {
        let store = store(&rule("a", "lease = \"10s\""));
        let mut changes = store.changes();
        changes.mark_unchanged();
        store.renew(&Layer::File);
        assert!(changes.has_changed().unwrap());
        store.off();
        assert_eq!(*changes.borrow_and_update(), store.generation());
    }

    #[test]
    fn no_more_than_the_limit_suffer_at_once() {
        let store = store(&rule("a", "limit = { concurrent = 2 }"));
        let mut plans = (0..5).map(|_| plan(&store)).collect::<Vec<_>>();
        assert_eq!(plans.iter().map(Plan::len).collect::<Vec<_>>(), [1, 1, 0, 0, 0]);
        plans.clear();
        assert_eq!(plan(&store).len(), 1);
        let counted = counts(&store, "a");
        assert_eq!((counted.matched, counted.triggered, counted.limited, counted.skipped), (6, 6, 3, 3));
    }

    #[test]
    fn the_nth_match_decides_the_same_whatever_the_threads_do() {
        const N: usize = 4_000;
        let decide = |threads: usize| {
            let store = store(&rule("a", "trigger = { probability = 0.3 }"));
            let decisions = std::thread::scope(|scope| {
                let rounds = || (0..N / threads).filter(|_| !plan(&store).is_empty()).count();
                let workers = (0..threads).map(|_| scope.spawn(rounds)).collect::<Vec<_>>();
                workers.into_iter().map(|worker| worker.join().unwrap()).sum::<usize>()
            });
            (decisions, counts(&store, "a"))
        };
        let alone = decide(1);
        assert_eq!(alone.1.matched, N as u64);
        assert!(alone.0 > N / 5 && alone.0 < N / 2);
        assert_eq!(decide(8), alone);
    }

    #[test]
    fn a_swap_under_way_never_shows_a_request_two_sets() {
        // Each set holds both rules in the same version; a plan that mixed two sets would show two.
        let version = |n: u64| {
            let both = |name: &str| rule(name, "").replace("503", &(500 + n % 2).to_string());
            rules(&(both("a") + &both("b")))
        };
        let store = store("");
        store.replace(&Layer::File, version(0));
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !done.load(std::sync::atomic::Ordering::Relaxed) {
                        let view = Request::get("/");
                        let course = store.load().plan("p", &view.view()).request_course(&view.view());
                        assert_eq!(course.terminals.len(), 2);
                        assert_eq!(course.terminals[0].1, course.terminals[1].1);
                    }
                });
            }
            (1..=200).for_each(|n| _ = store.replace(&Layer::File, version(n)));
            done.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        assert_eq!(store.active(&Layer::File), 0);
        let counts = store.ledger()[0].counts;
        assert_eq!((counts.skipped, counts.active), (counts.triggered, 0));
    }

    proptest! {
        /// Whatever is done to plans and store, in the end every fault of every hit is accounted for once.
        #[test]
        fn nothing_leaks_and_every_fault_is_accounted_for_once(deeds in prop::collection::vec(0u8..12, 1..60)) {
            let toml = rule("a", "limit = { concurrent = 3 }") + &rule("b", "trigger = { every = 2 }");
            let changed = toml.replace("every = 2", "every = 3");
            let store = store(&toml);
            let mut plans: Vec<Plan> = Vec::new();
            for (step, deed) in deeds.iter().enumerate() {
                match deed {
                    0..=3 => plans.push(plan(&store)),
                    4 => plans.iter_mut().for_each(|plan| plan.acted(FIRST)),
                    5 => plans.iter_mut().take(2).for_each(Plan::departed),
                    6 => plans.iter_mut().for_each(|plan| plan.settle(|hit| hit > 0)),
                    7 => drop(plans.pop()),
                    8 => _ = store.replace(&Layer::File, rules(if step % 2 == 0 { &changed } else { &toml })),
                    9 => if store.is_off() { store.on() } else { store.off() },
                    10 => _ = store.set_enabled(&Layer::File, "a", step % 2 == 0),
                    _ => store.remove_layer(&Layer::File),
                }
            }
            plans.clear();
            prop_assert_eq!(store.active(&Layer::File), 0);
            for row in store.ledger() {
                let c = row.counts;
                prop_assert_eq!(c.active, 0);
                prop_assert_eq!(c.triggered, c.limited + c.injected + c.skipped + c.released + c.departed, "{:?}", row);
                prop_assert!(c.matched >= c.triggered);
            }
        }
    }
}
