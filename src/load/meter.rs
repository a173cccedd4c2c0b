//! Whoever wants to be told of single requests while a load runs: an exporter.

use std::fmt::Debug;
use std::time::Duration;

/// Told of every arrival, on the driver's thread: must be quick and must not block.
pub trait Meter: Debug + Send + Sync {
    /// An arrival is due.
    fn planned(&self);
    /// The driver acted on it, this long after it was due.
    fn sent(&self, lag: Duration);
    /// It has ended, this long after it was due.
    fn ended(&self, latency: Duration, good: bool);
    /// The driver itself could not issue it; `sent` tells whether it had been counted as sent.
    fn missed(&self, sent: bool);
}
