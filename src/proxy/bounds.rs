//! What a client may send on one connection before it is not listened to any more.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use super::flood::{Flooded, Meter};
use super::tape::{Framing, Misread, Tape};
use crate::clock;

/// The bounds of one connection. Without any, everything may be read: so it is with an upstream.
#[derive(Debug)]
pub(super) struct Bounds {
    /// Once so many bytes have been received, no more are read.
    most: AtomicU64,
    /// The bound above was met.
    met: AtomicBool,
    /// Whoever listens along.
    ear: OnceLock<Mutex<Ear>>,
    flooded: AtomicBool,
    misread: AtomicBool,
}

/// What is known of the bytes of a client.
#[derive(Debug)]
enum Ear {
    /// HTTP/2: how many of its frames say nothing.
    Frames(Meter),
    /// HTTP/1: where its messages end.
    Messages(Tape),
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            most: AtomicU64::new(u64::MAX),
            met: AtomicBool::default(),
            ear: OnceLock::new(),
            flooded: AtomicBool::default(),
            misread: AtomicBool::default(),
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
        let _ = self.ear.set(Mutex::new(Ear::Frames(meter)));
    }

    /// From here the messages of HTTP/1 are followed.
    pub(super) fn follow_messages(&self) {
        let _ = self.ear.set(Mutex::new(Ear::Messages(Tape::default())));
    }

    fn ear(&self) -> Option<MutexGuard<'_, Ear>> {
        Some(self.ear.get()?.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A head was understood: from these bytes, with a body framed so.
    pub(super) fn understood(&self, head: &[u8], framing: Framing) {
        if let Some(Ear::Messages(tape)) = self.ear().as_deref_mut()
            && tape.understood(head, framing) == Err(Misread)
        {
            self.misread.store(true, Relaxed);
        }
    }

    /// From here the bytes are a tunnel's.
    pub(super) fn stop_following(&self) {
        if let Some(Ear::Messages(tape)) = self.ear().as_deref_mut() {
            tape.stop();
        }
    }

    /// What the client sends is not what it was taken for.
    pub(super) fn is_misread(&self) -> bool {
        self.misread.load(Relaxed)
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
        let heard = match self.ear().as_deref_mut() {
            None => return Ok(()),
            Some(Ear::Messages(tape)) => tape.feed(bytes).map_err(|Misread| &self.misread),
            Some(Ear::Frames(meter)) => meter.feed(bytes, sent, clock::now()).map_err(|Flooded| &self.flooded),
        };
        if let Err(flag) = heard {
            flag.store(true, Relaxed);
        }
        if self.is_flooded() {
            return Err(io::Error::other("more frames than allowed"));
        }
        Ok(())
    }
}
