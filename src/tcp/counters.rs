//! Bytes that moved through one proxy, in Toxiproxy's four counters. Each shard counts for itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Bytes of one direction: read from its sender, written to its receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moved {
    /// Read from the side that sends.
    pub received: u64,
    /// Written to the side that receives.
    pub sent: u64,
}

/// Both directions of a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bytes {
    /// From clients to the upstream.
    pub upstream: Moved,
    /// From the upstream to clients.
    pub downstream: Moved,
}

/// The cells of one shard, a cache line for themselves.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Cells {
    cells: [AtomicU64; 4],
}

impl Cells {
    pub(super) fn add(&self, up: Moved, down: Moved) {
        for (cell, more) in self.cells.iter().zip([up.received, up.sent, down.received, down.sent]) {
            if more > 0 {
                cell.fetch_add(more, Relaxed);
            }
        }
    }
}

/// The cells of all shards of a proxy.
#[derive(Debug, Clone)]
pub(super) struct Counters(Arc<[Cells]>);

impl Counters {
    pub(super) fn new(shards: usize) -> Self {
        Self((0..shards.max(1)).map(|_| Cells::default()).collect())
    }

    pub(super) fn of(&self, shard: usize) -> &Cells {
        &self.0[shard % self.0.len()]
    }

    pub(super) fn total(&self) -> Bytes {
        let sum = |at: usize| self.0.iter().map(|cells| cells.cells[at].load(Relaxed)).sum();
        Bytes {
            upstream: Moved { received: sum(0), sent: sum(1) },
            downstream: Moved { received: sum(2), sent: sum(3) },
        }
    }
}
