//! What outlives a set of rules: counters, and the cell through which a rule is released.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use tokio::sync::Notify;

use super::limit::{Limits, Used};
use crate::clock::Instant;
use crate::faults::memory::Memory;

/// The release of one rule name in one layer, over all versions of its content.
///
/// The epoch grows with each release. A rule in a set knows the epoch at which it went live; its hits are released as
/// soon as the cell's is another. So a request that planned on an older set, even after the release, is let go.
#[derive(Debug, Default)]
pub(super) struct ReleaseCell {
    epoch: AtomicU64,
    moved: Notify,
}

impl ReleaseCell {
    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Releases everything that went live before.
    pub(super) fn release(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
        self.moved.notify_waiters();
    }

    /// Waits until the epoch is another than this.
    pub(super) async fn beyond(&self, epoch: u64) {
        let mut moved = std::pin::pin!(self.moved.notified());
        loop {
            // Enlisted before the look, so that no release slips in between.
            moved.as_mut().enable();
            if self.epoch() != epoch {
                return;
            }
            moved.as_mut().await;
            moved.set(self.moved.notified());
        }
    }
}

/// How hits ended, or one fault of them.
#[derive(Debug, Default)]
pub(super) struct Ends {
    pub(super) injected: AtomicU64,
    pub(super) skipped: AtomicU64,
    pub(super) released: AtomicU64,
    pub(super) departed: AtomicU64,
}

/// The way in which a hit that never acted ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unacted {
    /// The client left first.
    Departed,
    /// Its rule was released first.
    Released,
    /// Something else took its place, or the moment never came.
    Skipped,
}

impl Ends {
    pub(super) fn count(&self, unacted: Unacted) {
        let counter = match unacted {
            Unacted::Departed => &self.departed,
            Unacted::Released => &self.released,
            Unacted::Skipped => &self.skipped,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// The counters of one rule while its content stays the same.
#[derive(Debug)]
pub(super) struct State {
    pub(super) matched: AtomicU64,
    pub(super) triggered: AtomicU64,
    pub(super) limited: AtomicU64,
    /// Matches that the rule it is coupled with hit too; only those are counted and chosen from.
    pub(super) eligible: AtomicU64,
    /// How far the limits are used up.
    pub(super) used: Used,
    active: AtomicU64,
    /// Nanoseconds after the store's beginning, plus one; 0 = never.
    pub(super) last_matched: AtomicU64,
    /// Whole hits.
    pub(super) hits: Ends,
    /// Each fault of the rule.
    pub(super) faults: Box<[Ends]>,
    /// What each fault of the rule remembers.
    pub(super) memories: Box<[Memory]>,
}

impl State {
    pub(super) fn new(faults: usize) -> Self {
        Self {
            matched: AtomicU64::new(0),
            triggered: AtomicU64::new(0),
            limited: AtomicU64::new(0),
            eligible: AtomicU64::new(0),
            used: Used::default(),
            active: AtomicU64::new(0),
            last_matched: AtomicU64::new(0),
            hits: Ends::default(),
            faults: (0..faults).map(|_| Ends::default()).collect(),
            memories: (0..faults).map(|_| Memory::default()).collect(),
        }
    }

    /// Takes a place among those that suffer the rule; `false` if a limit is used up, and then nothing is taken of any.
    pub(super) fn enter(&self, limits: &Limits, born: Instant, now: Instant) -> bool {
        let grown = |active: u64| limits.concurrent.is_none_or(|limit| active < limit).then_some(active + 1);
        if self.active.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown).is_err() {
            return false;
        }
        let entered = self.used.take(limits, born, now);
        if !entered {
            self.leave();
        }
        entered
    }

    /// Gives the place back.
    pub(super) fn leave(&self) {
        self.active.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn active(&self) -> u64 {
        self.active.load(Ordering::Relaxed)
    }

    /// The figures of whole hits.
    pub(super) fn counts(&self) -> Counts {
        self.with_ends([&self.hits])
    }

    /// The figures of the faults with these indices: their ends are added up, what came before is the rule's.
    pub(super) fn counts_of(&self, faults: impl IntoIterator<Item = usize>) -> Counts {
        self.with_ends(faults.into_iter().filter_map(|fault| self.faults.get(fault)))
    }

    fn with_ends<'a>(&'a self, ends: impl IntoIterator<Item = &'a Ends>) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut counts = Counts {
            matched: read(&self.matched),
            triggered: read(&self.triggered),
            limited: read(&self.limited),
            active: self.active(),
            ..Counts::default()
        };
        for ends in ends {
            counts.injected += read(&ends.injected);
            counts.skipped += read(&ends.skipped);
            counts.released += read(&ends.released);
            counts.departed += read(&ends.departed);
        }
        counts
    }
}

/// What happened to the requests that a rule looked at. When nothing is active, triggered = limited + injected +
/// skipped + released + departed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// All conditions held.
    pub matched: u64,
    /// The trigger chose it.
    pub triggered: u64,
    /// It was chosen, but one of the limits was used up.
    pub limited: u64,
    /// The fault began to act.
    pub injected: u64,
    /// The fault never acted: another one ended the exchange first, or its moment never came.
    pub skipped: u64,
    /// The rule was released before the fault acted.
    pub released: u64,
    /// The client left before the fault acted.
    pub departed: u64,
    /// Requests that are suffering it now.
    pub active: u64,
}

impl Counts {
    /// Adds all figures of another.
    pub fn add(&mut self, other: &Self) {
        self.matched += other.matched;
        self.triggered += other.triggered;
        self.limited += other.limited;
        self.injected += other.injected;
        self.skipped += other.skipped;
        self.released += other.released;
        self.departed += other.departed;
        self.active += other.active;
    }
}
