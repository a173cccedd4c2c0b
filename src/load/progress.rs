//! What the driver and whoever started it tell each other while it runs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// The gate's latency limit, set once a baseline has given it.
#[derive(Debug, Default)]
pub(super) struct LatencyLimit(AtomicU64);

impl LatencyLimit {
    pub(super) fn set(&self, limit: Duration) {
        self.0.store(limit.as_nanos() as u64, Ordering::Relaxed);
    }

    /// No latency is within a limit that is not known yet.
    pub(super) fn allows(&self, latency: Duration) -> bool {
        let limit = self.0.load(Ordering::Relaxed);
        limit > 0 && latency.as_nanos() as u64 <= limit
    }
}

/// Is told of every arrival as it happens, on the driver's thread, warm-up included. Must be quick: its time is the
/// driver's lag. For live metrics; the figures of a run come from its windows.
pub trait Observer: std::fmt::Debug + Send + Sync {
    /// An arrival fell due. Either `sent` or `missed` follows.
    fn planned(&self);
    /// The driver acted on it, so long after it was due (zero in a closed loop). Either `ended` or `missed` follows.
    fn sent(&self, lag: Duration);
    /// The driver could not issue it after all; `was_sent` tells whether `sent` had been told.
    fn missed(&self, was_sent: bool);
    /// It ended, so long after it was due; a timeout counts as the timeout.
    fn ended(&self, latency: Duration, good: bool);
}

/// What the driver has counted so far, warm-up included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Arrivals that were due.
    pub planned: u64,
    /// Requests that have ended.
    pub ended: u64,
    /// Of them good.
    pub good: u64,
    /// Of them failed, timeouts included.
    pub failed: u64,
    /// Of them without ever a connection: refused, unreachable, not connected in time.
    pub unconnected: u64,
    /// Arrivals that the driver could not issue.
    pub missed: u64,
    /// Requests under way, those that wait for a connection included.
    pub in_flight: u64,
}

/// How a load is doing.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Progress {
    /// Since the origin.
    pub elapsed: Duration,
    /// What was counted since the origin.
    pub counts: Counts,
    /// Connections opened since the origin.
    pub connections_opened: u64,
    /// Median and 99 % quantile in seconds over the successes and timeouts of the last second; absent if there
    /// were none.
    pub latency_s: Option<(f64, f64)>,
}

/// Shared between the driver's thread and the others.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) limit: Arc<LatencyLimit>,
    pub(super) stop: CancellationToken,
    progress: Mutex<Progress>,
}

impl Shared {
    pub(super) fn publish(&self, progress: Progress) {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner) = progress;
    }

    pub(super) fn progress(&self) -> Progress {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
