//! What is counted over the whole load, warm-up aside.

use std::collections::BTreeMap;
use std::time::Duration;

use super::ending::{ErrorKind, OwnFault};
use super::window::counts_as_latency;
use crate::results::{LoadTotals, Quantiles};
use crate::stats::Histogram;

/// Running totals: fixed memory, whatever the number of requests.
#[derive(Debug)]
pub(super) struct Totals {
    requests: u64,
    answered: u64,
    good: u64,
    missed: u64,
    faults: [u64; OwnFault::ALL.len()],
    errors: BTreeMap<ErrorKind, u64>,
    latency: Histogram,
    service: Histogram,
    lag: Histogram,
    received_bytes: u64,
    sent_bytes: u64,
}

/// One request that ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Total {
    pub(super) latency: Duration,
    /// Absent if it never was on a connection.
    pub(super) service: Option<Duration>,
    pub(super) result: Result<(), ErrorKind>,
    pub(super) good: bool,
    pub(super) received: u64,
    pub(super) sent: u64,
}

impl Totals {
    pub(super) fn new(timeout: Duration) -> Self {
        let histogram = || Histogram::new(timeout, 3);
        Self {
            requests: 0,
            answered: 0,
            good: 0,
            missed: 0,
            faults: [0; OwnFault::ALL.len()],
            errors: BTreeMap::new(),
            latency: histogram(),
            service: histogram(),
            lag: histogram(),
            received_bytes: 0,
            sent_bytes: 0,
        }
    }

    pub(super) fn lag(&mut self, lag: Duration) {
        self.lag.record(lag);
    }

    pub(super) fn missed(&mut self, fault: OwnFault, arrivals: u64) {
        self.missed += arrivals;
        self.faults[fault as usize] += arrivals;
    }

    pub(super) fn count(&mut self, request: Total) {
        self.requests += 1;
        self.good += u64::from(request.good);
        self.received_bytes += request.received;
        self.sent_bytes += request.sent;
        match request.result {
            Ok(()) => self.answered += 1,
            Err(kind) => {
                self.answered += u64::from(matches!(kind, ErrorKind::Status(_)));
                *self.errors.entry(kind).or_default() += 1;
            }
        }
        if counts_as_latency(request.result) {
            self.latency.record(request.latency);
            if let Some(service) = request.service {
                self.service.record(service);
            }
        }
    }

    /// Arrivals that the driver could not issue, by cause; only causes that occurred.
    pub(super) fn own_faults(&self) -> impl Iterator<Item = (OwnFault, u64)> {
        OwnFault::ALL.into_iter().zip(self.faults).filter(|(_, arrivals)| *arrivals > 0)
    }

    /// None of the requests, if there were any, got as far as a connection.
    pub(super) fn nothing_reached(&self) -> bool {
        let unconnected = |(kind, n): (&ErrorKind, &u64)| if kind.is_connect() { *n } else { 0 };
        self.requests > 0 && self.errors.iter().map(unconnected).sum::<u64>() == self.requests
    }

    /// The totals as reports read them, over a load that took `measured` after its warm-up.
    pub(super) fn summary(&self, measured: Duration) -> LoadTotals {
        let seconds = measured.as_secs_f64();
        LoadTotals {
            achieved_per_s: if seconds > 0.0 { self.answered as f64 / seconds } else { 0.0 },
            requests: self.requests,
            good: self.good,
            missed: self.missed,
            errors: self.errors.iter().map(|(kind, n)| (kind.to_string(), *n)).collect(),
            latency_s: quantiles(&self.latency),
            service_s: quantiles(&self.service),
            lag_s: quantiles(&self.lag),
            received_bytes: self.received_bytes,
            sent_bytes: self.sent_bytes,
            ..LoadTotals::default()
        }
    }
}

fn quantiles(histogram: &Histogram) -> Option<Quantiles> {
    Some(Quantiles {
        p50: histogram.quantile(0.5)?,
        p90: histogram.quantile(0.9)?,
        p99: histogram.quantile(0.99)?,
        p999: histogram.quantile(0.999)?,
        max: histogram.max()?,
    })
}
