//! What a load driver tells the exporter while it runs.

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use prometheus::proto::MetricFamily;

use super::family::Family;
use super::tally::{Count, Tallied, Tally};
use crate::names::metrics as names;

/// The load driver's figures. Any thread may write; every call costs a few uncontended atomics.
#[derive(Debug, Default)]
pub struct LoadMetrics {
    planned: Count,
    sent: Count,
    good: Count,
    missed: Count,
    lag: Tally,
    latency: Tally,
    in_flight: AtomicI64,
}

impl LoadMetrics {
    /// Arrivals whose intended start has come.
    pub fn planned(&self, arrivals: u64) {
        self.planned.add(arrivals);
    }

    /// Arrivals that the driver could not issue.
    pub fn missed(&self, arrivals: u64) {
        self.missed.add(arrivals);
    }

    /// A request was issued, this long after its intended start.
    pub fn sent(&self, lag: Duration) {
        self.sent.add(1);
        self.lag.observe(lag);
        self.in_flight.fetch_add(1, Relaxed);
    }

    /// A request that was issued has ended, this long after its intended start.
    pub fn ended(&self, latency: Duration, good: bool) {
        self.in_flight.fetch_sub(1, Relaxed);
        self.latency.observe(latency);
        self.good.add(u64::from(good));
    }

    /// A request that was counted as sent was never issued after all.
    pub fn withdrawn(&self) {
        self.in_flight.fetch_sub(1, Relaxed);
    }

    pub(super) fn collect(&self) -> Vec<MetricFamily> {
        let counts = [
            (&names::LOAD_PLANNED, &self.planned),
            (&names::LOAD_SENT, &self.sent),
            (&names::LOAD_GOOD, &self.good),
            (&names::LOAD_MISSED, &self.missed),
        ];
        // Once there is load at all, "none missed" and "none good" are facts and no longer absent.
        let started = counts.iter().any(|(_, count)| count.get() > 0);
        let mut families: Vec<_> =
            counts.map(|(name, count)| Family::of(name, started.then(|| count.get() as f64))).into();
        for (name, tally) in [(&names::LOAD_LAG, &self.lag), (&names::LOAD_LATENCY, &self.latency)] {
            let mut tallied = Tallied::default();
            tallied.add(tally);
            let mut family = Family::new(name);
            family.add_tallied(&[], &tallied);
            families.push(family);
        }
        let in_flight = started.then(|| self.in_flight.load(Relaxed) as f64);
        families.push(Family::of(&names::LOAD_IN_FLIGHT, in_flight));
        families.into_iter().filter_map(Family::finish).collect()
    }
}
