//! Notices an HTTP/2 client that keeps the proxy busy without asking for anything.
//!
//! The library bounds what it keeps, and closes on streams that are reset before anybody looked at them; what it does
//! not bound is work: answers to PINGs and SETTINGS, streams that are opened and reset. So the frames are counted on
//! their way in, by their heads alone. Pure: it is told the bytes and the time.

use crate::clock::Instant;

/// The connection's first bytes, before any frame (RFC 9113 section 3.4).
const PREFACE: u64 = 24;
/// A frame's head (RFC 9113 section 4.1).
const HEAD: usize = 9;
/// WINDOW_UPDATEs are paid for by what was sent: one for so many bytes, and so many more.
const BYTES_PER_UPDATE: u64 = 512;
const FREE_UPDATES: u64 = 10_000;

const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const RST_STREAM: u8 = 0x3;
const WINDOW_UPDATE: u8 = 0x8;
const END_STREAM: u8 = 0x1;

/// More than is allowed was sent: the connection is to be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flooded;

/// One connection's frames.
#[derive(Debug)]
pub(super) struct Meter {
    resets: Bucket,
    frames: Bucket,
    updates: u64,
    /// The head that is being read, and how much of it is there.
    head: [u8; HEAD],
    have: usize,
    /// Bytes until the next head.
    skip: u64,
}

impl Meter {
    /// Allows so many resets and so many empty frames a second, and a second's worth of each at once.
    pub(super) fn new(resets: f64, frames: f64, now: Instant) -> Self {
        Self {
            resets: Bucket::new(resets, now),
            frames: Bucket::new(frames, now),
            updates: 0,
            head: [0; HEAD],
            have: 0,
            skip: PREFACE,
        }
    }

    /// Counts the frames that begin in these bytes; `sent` is what has been sent on the connection so far.
    pub(super) fn feed(&mut self, mut bytes: &[u8], sent: u64, now: Instant) -> Result<(), Flooded> {
        let mut counted = Ok(());
        while !bytes.is_empty() {
            if self.skip > 0 {
                let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
                self.skip -= skipped as u64;
                bytes = &bytes[skipped..];
                continue;
            }
            let taken = (HEAD - self.have).min(bytes.len());
            self.head[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
            self.have += taken;
            bytes = &bytes[taken..];
            if self.have == HEAD {
                self.have = 0;
                counted = counted.and(self.count(sent, now));
            }
        }
        counted
    }

    /// Counts the frame whose head is complete.
    fn count(&mut self, sent: u64, now: Instant) -> Result<(), Flooded> {
        let [a, b, c, kind, flags, ..] = self.head;
        self.skip = u64::from(u32::from_be_bytes([0, a, b, c]));
        let allowed = match kind {
            HEADERS => true,
            DATA => self.skip > 0 || flags & END_STREAM != 0 || self.frames.take(now),
            RST_STREAM => self.resets.take(now),
            WINDOW_UPDATE => {
                self.updates += 1;
                self.updates <= FREE_UPDATES + sent / BYTES_PER_UPDATE
            }
            _ => self.frames.take(now),
        };
        if allowed { Ok(()) } else { Err(Flooded) }
    }
}

/// A token bucket that holds a second's worth, and at least one.
#[derive(Debug)]
struct Bucket {
    per_second: f64,
    level: f64,
    at: Instant,
}

impl Bucket {
    fn new(per_second: f64, now: Instant) -> Self {
        Self { per_second, level: per_second.max(1.0), at: now }
    }

    fn take(&mut self, now: Instant) -> bool {
        let earned = now.saturating_duration_since(self.at).as_secs_f64() * self.per_second;
        self.level = (self.level + earned).min(self.per_second.max(1.0));
        self.at = now;
        let enough = self.level >= 1.0;
        if enough {
            self.level -= 1.0;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const PING: u8 = 0x6;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let length = u32::try_from(payload).unwrap().to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags, 0, 0, 0, 1];
        frame.resize(HEAD + payload, 0xff);
        frame
    }

    fn meter(resets: f64, frames: f64, now: Instant) -> Meter {
        let mut meter = Meter::new(resets, frames, now);
        meter.feed(&[b'*'; PREFACE as usize], 0, now).unwrap();
        meter
    }

    /// How many of these frames pass at once.
    fn passing(frame: &[u8]) -> usize {
        let now = Instant::now();
        let mut meter = meter(3.0, 5.0, now);
        (0..50).take_while(|_| meter.feed(frame, 0, now).is_ok()).count()
    }

    #[test]
    fn what_asks_for_something_is_not_counted_and_everything_else_is() {
        for (kind, flags, payload, expected) in [
            (HEADERS, 0, 10, 50),
            (DATA, 0, 10, 50),
            (DATA, END_STREAM, 0, 50),
            (DATA, 0, 0, 5),
            (RST_STREAM, 0, 4, 3),
            (WINDOW_UPDATE, 0, 4, 50),
            (PING, 0, 8, 5),
            (0x4, 0, 6, 5),
            (0x2, 0, 5, 5),
            (0x9, 0, 1, 5),
            (0xfa, 0, 1, 5),
        ] {
            assert_eq!(passing(&frame(kind, flags, payload)), expected, "type {kind}, {payload} bytes");
        }
    }

    #[test]
    fn time_earns_more_of_them_but_never_more_than_a_second_does() {
        let start = Instant::now();
        let mut meter = meter(1.0, 5.0, start);
        let ping = frame(PING, 0, 8);
        let mut burst = |at| (0..50).take_while(|_| meter.feed(&ping, 0, start + at).is_ok()).count();
        assert_eq!(burst(Duration::ZERO), 5);
        assert_eq!(burst(Duration::from_millis(400)), 2);
        assert_eq!(burst(Duration::from_secs(3600)), 5);
    }

    #[test]
    fn window_updates_are_paid_for_by_what_was_sent() {
        let now = Instant::now();
        let update = frame(WINDOW_UPDATE, 0, 4).repeat(FREE_UPDATES as usize);
        let mut meter = meter(1.0, 1.0, now);
        meter.feed(&update, 0, now).unwrap();
        assert_eq!(meter.feed(&frame(WINDOW_UPDATE, 0, 4), 511, now), Err(Flooded));
        assert_eq!(meter.feed(&frame(WINDOW_UPDATE, 0, 4), 4 * BYTES_PER_UPDATE, now), Ok(()));
    }

    proptest! {
        /// However the bytes are cut, the same frames are seen; and no bytes at all make it panic.
        #[test]
        fn the_pieces_do_not_matter(
            frames in proptest::collection::vec((0u8..12, 0u8..2, 0usize..40), 0..40),
            pieces in proptest::collection::vec(1usize..50, 1..20),
        ) {
            let now = Instant::now();
            let bytes: Vec<u8> = frames.iter().flat_map(|(kind, flags, payload)| frame(*kind, *flags, *payload)).collect();
            let mut whole = meter(4.0, 7.0, now);
            let expected = whole.feed(&bytes, 0, now);
            let mut split = meter(4.0, 7.0, now);
            let (mut rest, mut got) = (&bytes[..], Ok(()));
            for piece in pieces.iter().cycle() {
                let (piece, left) = rest.split_at((*piece).min(rest.len()));
                got = got.and(split.feed(piece, 0, now));
                rest = left;
                if rest.is_empty() || got.is_err() {
                    break;
                }
            }
            prop_assert_eq!(got, expected);
        }
    }
}
