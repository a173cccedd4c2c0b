//! One layer behind the lock, and the form in which sets share it.

use std::collections::HashMap;
use std::sync::Arc;

use super::book::Entry;
use super::index::Index;
use super::set::{LayerRules, LayerSet, Live, NOT_LIVE, Rule};

/// One layer: its entries in composition order.
pub(super) struct LayerBook {
    pub(super) entries: Vec<Entry>,
    set: LayerSet,
    /// Which rules the index knows: those that were live when it was made.
    indexed: Vec<bool>,
}

impl LayerBook {
    pub(super) fn new(entries: Vec<Entry>) -> Self {
        let rules: Arc<[Arc<Rule>]> = entries.iter().map(|entry| Arc::clone(&entry.rule)).collect();
        let body = LayerRules { partners: partners(&rules), rules, index: Index::default() };
        let set = LayerSet { body: Arc::new(body), live: Arc::new([]), sharing: Arc::new([]), reads_bodies: false };
        let mut book = Self { indexed: vec![false; entries.len()], entries, set };
        book.set_live();
        book
    }

    /// What sets share.
    pub(super) fn set(&self) -> LayerSet {
        self.set.clone()
    }

    /// Brings what sets share up to date with the entries. The index is made anew only if a rule went live that it does
    /// not know: a rule that never was costs a request nothing.
    pub(super) fn set_live(&mut self) {
        let live = |entry: &mut Entry| {
            let reopens = u64::from(std::mem::take(&mut entry.reopens));
            let epoch = if entry.is_live() { entry.rule.release.epoch() + reopens } else { NOT_LIVE };
            Live { epoch, origin: entry.origin }
        };
        self.set.live = self.entries.iter_mut().map(live).collect();
        self.set.sharing = self.live().filter(|(_, rule)| rule.spec.limits.share.is_some()).map(|(at, _)| at).collect();
        let reads_bodies = self.live().any(|(_, rule)| !rule.spec.matching.json.is_empty());
        self.set.reads_bodies = reads_bodies;
        if self.live().any(|(at, _)| !self.indexed[at as usize]) {
            let index = Index::new(self.live().map(|(at, rule)| (at, &rule.spec)));
            self.indexed = self.entries.iter().map(Entry::is_live).collect();
            let rules = Arc::clone(&self.set.body.rules);
            self.set.body = Arc::new(LayerRules { partners: partners(&rules), rules, index });
        }
    }

    fn live(&self) -> impl Iterator<Item = (u32, &Arc<Rule>)> {
        (0u32..).zip(&self.entries).filter(|(_, entry)| entry.is_live()).map(|(at, entry)| (at, &entry.rule))
    }
}

/// For each rule the number of the one that it is coupled with.
fn partners(rules: &[Arc<Rule>]) -> Box<[Option<u32>]> {
    if rules.iter().all(|rule| rule.spec.trigger.with.is_none()) {
        return vec![None; rules.len()].into();
    }
    let numbers: HashMap<&str, u32> = rules.iter().map(|rule| &*rule.spec.name).zip(0..).collect();
    let partner = |rule: &Arc<Rule>| rule.spec.trigger.with.as_deref().and_then(|with| numbers.get(with).copied());
    rules.iter().map(partner).collect()
}
