//! Shapes a response body: an even drip, and an end before its end.
//!
//! Pure: it is told the time and which rules are released, and says when which bytes are due.

use std::time::Duration;

use bytes::Bytes;

use crate::clock::Instant;
use crate::faults::compose::{Asked, Source};
use crate::faults::{CloseHow, Cut};
use crate::units::ByteRate;

/// A piece is what the rate gives in this time, unless the fault says otherwise.
const PIECE: Duration = Duration::from_millis(10);
/// What an upstream that fell behind the rate may catch up on at once.
const CREDIT: Duration = Duration::from_millis(20);

/// The body of one response on its way through its faults.
#[derive(Debug, Default)]
pub(super) struct Drip {
    rates: Asked<(ByteRate, Option<u64>)>,
    cuts: Asked<Cut>,
    /// Bytes of the upstream that are not sent yet; nothing more is read while there are any.
    waiting: Bytes,
    /// `waiting` are the last bytes.
    is_last: bool,
    /// How the body ends early once `waiting` is sent.
    cut: Option<(Source, CloseHow)>,
    /// Bytes taken in so far.
    taken: u64,
    /// Where the pacing stands.
    pace: Option<Pace>,
}

/// An even flow since a moment. What is due is counted from there, so that rounding does not add up.
#[derive(Debug, Clone, Copy)]
struct Pace {
    since: Instant,
    bytes: u64,
    rate: f64,
}

impl Pace {
    /// When so many more bytes are through.
    fn after(self, more: usize) -> Instant {
        self.since + Duration::from_secs_f64((self.bytes + more as u64) as f64 / self.rate)
    }
}

/// The next bytes to send.
#[derive(Debug, PartialEq)]
pub(super) struct Piece {
    pub(super) bytes: Bytes,
    /// The body is complete with them.
    pub(super) is_last: bool,
    /// The exchange ends after them, so.
    pub(super) cut: Option<(Source, CloseHow)>,
}

impl Drip {
    pub(super) fn new(rates: Asked<(ByteRate, Option<u64>)>, cuts: Asked<Cut>) -> Self {
        Self { rates, cuts, ..Self::default() }
    }

    /// Nothing is shaped: bodies pass as they come.
    pub(super) fn is_idle(&self) -> bool {
        self.rates.is_empty() && self.cuts.is_empty()
    }

    /// Bytes wait to be sent.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty() || self.is_last || self.cut.is_some()
    }

    /// The faults that shape this body, for the marks on its head.
    pub(super) fn sources(&self) -> impl Iterator<Item = Source> + '_ {
        self.rates.first().map(|r| r.0).into_iter().chain(self.cuts.first().map(|c| c.0))
    }

    /// All hits that may still act on this body.
    pub(super) fn hits(&self) -> impl Iterator<Item = usize> + '_ {
        self.rates.iter().map(|(s, _)| s.hit).chain(self.cuts.iter().map(|(s, _)| s.hit))
    }

    /// Drops what was asked by released rules.
    pub(super) fn forget(&mut self, released: impl Fn(usize) -> bool) {
        self.rates.retain(|(source, _)| !released(source.hit));
        self.cuts.retain(|(source, _)| !released(source.hit));
    }

    /// The rate that acts now, and for whom.
    pub(super) fn rate(&self) -> Option<Source> {
        self.rates.first().map(|(source, _)| *source)
    }

    /// The head is out at `now`: from here the body is paced. With a cut after no bytes there is none.
    pub(super) fn start(&mut self, now: Instant, has_body: bool) {
        self.pace = self.rates.first().map(|(_, (rate, _))| Pace { since: now, bytes: 0, rate: rate.per_second() });
        if has_body {
            self.take_cut(0);
        }
    }

    /// Takes bytes of the upstream in, as far as a cut lets them.
    pub(super) fn take(&mut self, bytes: Bytes, is_last: bool) {
        let allowed = self.take_cut(bytes.len() as u64);
        self.is_last = is_last && self.cut.is_none();
        self.taken += allowed;
        self.waiting = bytes.slice(..allowed as usize);
    }

    /// How many of the next bytes pass, and remembers the cut if not all do.
    fn take_cut(&mut self, more: u64) -> u64 {
        let Some((source, cut)) = self.cuts.first() else { return more };
        let left = cut.after.saturating_sub(self.taken);
        if more > left || cut.after == 0 {
            self.cut = Some((*source, cut.how));
        }
        more.min(left)
    }

    fn piece_length(&self) -> usize {
        let Some((_, (rate, chunk))) = self.rates.first() else { return self.waiting.len() };
        let piece = chunk.unwrap_or_else(|| (rate.per_second() * PIECE.as_secs_f64()) as u64).max(1);
        self.waiting.len().min(usize::try_from(piece).unwrap_or(usize::MAX))
    }

    /// When the next piece is due: after the time that its own bytes take at the rate. `None`: at once.
    pub(super) fn due(&mut self, now: Instant) -> Option<Instant> {
        let rate = self.rates.first()?.1.0.per_second();
        let through = self.pace.map_or(now, |pace| pace.after(0));
        let earliest = now.checked_sub(CREDIT).unwrap_or(now);
        let pace = match self.pace {
            Some(pace) if pace.rate == rate && through >= earliest => pace,
            // Another rate acts now, or the upstream fell behind: an even flow begins anew.
            _ => Pace { since: through.max(earliest), bytes: 0, rate },
        };
        self.pace = Some(pace);
        Some(pace.after(self.piece_length()))
    }

    /// Takes the next piece out, when [`Drip::due`] said.
    pub(super) fn next(&mut self) -> Piece {
        let bytes = self.waiting.split_to(self.piece_length());
        if let Some(pace) = &mut self.pace {
            pace.bytes += bytes.len() as u64;
        }
        let is_empty = self.waiting.is_empty();
        let is_last = is_empty && std::mem::take(&mut self.is_last);
        let cut = if is_empty { self.cut.take() } else { None };
        if !is_empty {
            return Piece { bytes, is_last: false, cut: None };
        }
        Piece { bytes, is_last, cut }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use smallvec::smallvec;

    const RULE: Source = Source { hit: 0, fault: 0 };

    fn at(rate: f64, chunk: Option<u64>) -> Asked<(ByteRate, Option<u64>)> {
        smallvec![(RULE, (ByteRate::new(rate).unwrap(), chunk))]
    }

    fn cut(after: u64) -> Asked<Cut> {
        smallvec![(RULE, Cut { after, how: CloseHow::Reset })]
    }

    /// Sends everything that waits; gives the pieces and when the last one was due.
    fn drain(drip: &mut Drip, start: Instant) -> (Vec<Piece>, Duration) {
        let mut now = start;
        let mut pieces = Vec::new();
        while drip.is_waiting() {
            let due = drip.due(now);
            now = due.unwrap_or(now);
            pieces.push(drip.next());
        }
        (pieces, now - start)
    }

    proptest! {
        #[test]
        fn a_drip_loses_no_byte_and_takes_as_long_as_its_rate_says(
            rate in 1_000.0f64..1e7,
            reads in proptest::collection::vec(1usize..40_000, 1..20),
            chunk in proptest::option::of(1u64..100_000),
        ) {
            let start = Instant::now();
            let mut drip = Drip::new(at(rate, chunk), Asked::new());
            drip.start(start, true);
            let total: usize = reads.iter().sum();
            let mut sent = 0;
            let mut now = start;
            for (i, read) in reads.iter().enumerate() {
                drip.take(Bytes::from(vec![7u8; *read]), i + 1 == reads.len());
                let (pieces, took) = drain(&mut drip, now);
                now += took;
                sent += pieces.iter().map(|p| p.bytes.len()).sum::<usize>();
                prop_assert_eq!(pieces.last().unwrap().is_last, i + 1 == reads.len());
            }
            prop_assert_eq!(sent, total);
            let wanted = total as f64 / rate;
            prop_assert!(((now - start).as_secs_f64() - wanted).abs() < 1e-6 + wanted * 1e-6);
        }

        #[test]
        fn a_cut_lets_exactly_its_bytes_pass_and_a_shorter_body_ends_as_it_would(
            after in 0u64..5_000,
            reads in proptest::collection::vec(1usize..1_000, 1..8),
        ) {
            let start = Instant::now();
            let mut drip = Drip::new(Asked::new(), cut(after));
            drip.start(start, true);
            let total: usize = reads.iter().sum();
            let (mut sent, mut ended) = (0u64, None);
            for piece in drain(&mut drip, start).0 {
                ended = piece.cut;
            }
            for (i, read) in reads.iter().enumerate() {
                if ended.is_some() {
                    break;
                }
                drip.take(Bytes::from(vec![7u8; *read]), i + 1 == reads.len());
                for piece in drain(&mut drip, start).0 {
                    sent += piece.bytes.len() as u64;
                    ended = piece.cut;
                    prop_assert!(!(piece.is_last && piece.cut.is_some()));
                }
            }
            prop_assert_eq!(sent, after.min(total as u64));
            prop_assert_eq!(ended.is_some(), after == 0 || total as u64 > after);
        }
    }

    #[test]
    fn an_upstream_that_stalls_does_not_earn_a_burst() {
        let start = Instant::now();
        let mut drip = Drip::new(at(1_000.0, None), Asked::new());
        drip.start(start, true);
        let late = start + Duration::from_secs(5);
        drip.take(Bytes::from(vec![0u8; 1_000]), true);
        let (_, took) = drain(&mut drip, late);
        assert!(took >= Duration::from_secs(1) - CREDIT, "1,000 bytes at 1,000 B/s took {took:?}");
    }

    #[test]
    fn a_released_rule_lets_go() {
        let now = Instant::now();
        let mut drip = Drip::new(at(10.0, None), cut(3));
        drip.start(now, true);
        drip.forget(|hit| hit == RULE.hit);
        drip.take(Bytes::from_static(b"everything"), true);
        assert_eq!(drip.due(now), None);
        let piece = drip.next();
        assert_eq!((piece.bytes.len(), piece.is_last, piece.cut), (10, true, None));
        assert!(!drip.is_waiting());
    }
}
