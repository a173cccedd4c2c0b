//! What a client may send on one connection before it is not listened to any more.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock, PoisonError};

use super::flood::{Flooded, Meter};
use crate::clock;

/// The bounds of one connection. Without any, everything may be read: so it is with an upstream.
#[derive(Debug)]
pub(super) struct Bounds {
    /// Once so many bytes have been received, no more are read.
    most: AtomicU64,
    /// The bound above was met.
    met: AtomicBool,
    meter: OnceLock<Mutex<Meter>>,
    flooded: AtomicBool,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            most: AtomicU64::new(u64::MAX),
            met: AtomicBool::default(),
            meter: OnceLock::new(),
            flooded: AtomicBool::default(),
        }
    }
}

impl Bounds {
    /// Reads fail once so many bytes have been received in all; `u64::MAX` takes that back. One read may go beyond,
    /// as far as its buffer goes.
    pub(super) fn read_at_most(&self, received: u64) {
        self.most.store(received, Relaxed);
    }

    /// A read failed for want of room.
    pub(super) fn is_met(&self) -> bool {
        self.met.load(Relaxed)
    }

    /// From here the frames of HTTP/2 are counted.
    pub(super) fn count_frames(&self, meter: Meter) {
        let _ = self.meter.set(Mutex::new(meter));
    }

    /// A read failed because the client sent too many frames that say nothing.
    pub(super) fn is_flooded(&self) -> bool {
        self.flooded.load(Relaxed)
    }

    /// Before a read.
    ///
    /// # Errors
    /// When nothing more is to be read.
    pub(super) fn allow(&self, received: u64) -> io::Result<()> {
        if received < self.most.load(Relaxed) {
            return Ok(());
        }
        self.met.store(true, Relaxed);
        Err(io::Error::other("a request's head is longer than allowed"))
    }

    /// After a read, with its bytes.
    ///
    /// # Errors
    /// When they are more frames than allowed.
    pub(super) fn count(&self, bytes: &[u8], sent: u64) -> io::Result<()> {
        let Some(meter) = self.meter.get() else { return Ok(()) };
        let counted = meter.lock().unwrap_or_else(PoisonError::into_inner).feed(bytes, sent, clock::now());
        counted.map_err(|Flooded| {
            self.flooded.store(true, Relaxed);
            io::Error::other("more frames than allowed")
        })
    }
}
