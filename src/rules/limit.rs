//! How much of what its trigger chose a rule really hits.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::Instant;
use crate::diagnostics::Reader;
use crate::units::{Rate, Share, show_count};

/// The limits of a rule; each is kept over all shards together.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Limits {
    /// So many requests suffer it at once.
    pub concurrent: Option<u64>,
    /// So many are hit altogether, while the rule's content stays the same.
    pub total: Option<u64>,
    /// So many are hit in a second, evenly: a burst of a tenth of a second's worth is the most.
    pub rate: Option<Rate>,
    /// So large a share of all requests to the proxies that it acts on, whatever it matches, is hit.
    pub share: Option<Share>,
}

/// Hits that a share may have saved up while there was nothing to hit.
const SAVED: u64 = 10;
/// One hit's worth of a share, in the unit in which it is counted.
const ONE: u64 = 1 << 32;

impl Limits {
    /// Reads the `limit` table.
    pub(super) fn read(mut reader: Reader<'_>) -> Self {
        let limits = Self {
            concurrent: reader.optional("concurrent"),
            total: reader.optional("total"),
            rate: reader.optional("rate"),
            share: reader.optional("share"),
        };
        for (key, is_zero) in [
            ("concurrent", limits.concurrent == Some(0)),
            ("total", limits.total == Some(0)),
            ("rate", limits.rate.is_some_and(|rate| rate.per_second() <= 0.0)),
            ("share", limits.share.is_some_and(|share| share.get() <= 0.0)),
        ] {
            if is_zero {
                let cure = Some("more than 0; enabled = false turns a rule off");
                reader.reject(key, "0 lets nothing through", cure);
            }
        }
        reader.finish();
        limits
    }

    /// No limit at all.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// In words: `at most 50 at once, at most 20/s`; empty without a limit.
    pub fn describe(&self) -> String {
        let parts = [
            self.concurrent.map(|n| format!("at most {} at once", show_count(n))),
            self.total.map(|n| format!("at most {} in all", show_count(n))),
            self.rate.map(|rate| format!("at most {rate}")),
            self.share.map(|share| format!("at most {share} of all traffic")),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

/// How far the limits of a rule are used up.
#[derive(Debug, Default)]
pub(super) struct Used {
    total: AtomicU64,
    /// When the next hit is due, in nanoseconds after the store's beginning (GCRA's theoretical arrival time).
    due: AtomicU64,
    /// What the share has saved up, in [`ONE`]ths of a hit.
    saved: AtomicU64,
}

impl Used {
    /// A request came to a proxy that the rule acts on: its share of it is saved up.
    pub(super) fn saw_traffic(&self, share: Share) {
        let part = (share.get() * ONE as f64).round() as u64;
        let grown = |saved: u64| (saved < SAVED * ONE).then(|| (saved + part).min(SAVED * ONE));
        let _ = self.saved.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown);
    }

    /// Takes what one hit costs of every limit but `concurrent`, or nothing of any.
    pub(super) fn take(&self, limits: &Limits, born: Instant, now: Instant) -> bool {
        if let Some(total) = limits.total
            && !changed(&self.total, |taken| (taken < total).then_some(taken + 1))
        {
            return false;
        }
        let pays = limits.share.is_none() || changed(&self.saved, |saved| saved.checked_sub(ONE));
        if pays && limits.rate.is_none_or(|rate| self.is_due(rate, born, now)) {
            return true;
        }
        if pays && limits.share.is_some() {
            self.saved.fetch_add(ONE, Ordering::Relaxed);
        }
        if limits.total.is_some() {
            self.total.fetch_sub(1, Ordering::Relaxed);
        }
        false
    }

    /// GCRA: a hit is due when not more than the burst lies between now and the time at which it would be due at an
    /// even rate.
    fn is_due(&self, rate: Rate, born: Instant, now: Instant) -> bool {
        let interval = 1e9 / rate.per_second();
        let burst = (1e8 - interval).max(0.0) as u64;
        let now = now.saturating_duration_since(born).as_nanos() as u64;
        changed(&self.due, |due| (due <= now + burst).then(|| due.max(now) + interval as u64))
    }
}

fn changed(counter: &AtomicU64, change: impl FnMut(u64) -> Option<u64>) -> bool {
    counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change).is_ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock;

    fn taken(limits: &Limits, at_ms: impl Iterator<Item = u64>) -> u64 {
        let (used, born) = (Used::default(), clock::now());
        let take = |ms| used.take(limits, born, born + Duration::from_millis(ms));
        at_ms.filter(|ms| take(*ms)).count() as u64
    }

    #[test]
    fn a_rate_is_kept_evenly_with_a_burst_of_a_tenth_of_a_second() {
        let rate = |text: &str| Limits { rate: Some(text.parse().unwrap()), ..Limits::default() };
        assert_eq!(taken(&rate("20/s"), 0..1_000), 21, "the burst of two, then one each 50 ms");
        assert_eq!(taken(&rate("1/s"), 0..3_500), 4);
        assert_eq!(taken(&rate("1000/s"), std::iter::repeat_n(5, 500)), 100, "at one moment");
        assert_eq!(taken(&rate("1/m"), (0..119_000).step_by(100)), 2);
    }

    #[test]
    fn a_total_is_never_exceeded_and_what_a_rate_refuses_costs_nothing_of_it() {
        let limits = Limits { total: Some(3), rate: Some("10/s".parse().unwrap()), ..Limits::default() };
        assert_eq!(taken(&limits, 0..10_000), 3);
        assert_eq!(taken(&limits, 0..150), 2, "and the total has one left");
    }

    #[test]
    fn a_share_is_of_the_traffic_seen_and_little_is_saved_up() {
        let limits = Limits { share: Some("10%".parse().unwrap()), ..Limits::default() };
        let (used, now) = (Used::default(), clock::now());
        let mut hits = 0;
        for _ in 0..1_000 {
            used.saw_traffic(limits.share.unwrap());
            hits += u64::from(used.take(&limits, now, now));
        }
        assert!((99..=100).contains(&hits), "{hits}");
        (0..100_000).for_each(|_| used.saw_traffic(limits.share.unwrap()));
        assert_eq!((0..100).filter(|_| used.take(&limits, now, now)).count() as u64, SAVED);
    }
}
