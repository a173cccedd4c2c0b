//! Shapes a body on its way: changed bytes, an even drip, a pause, an end before its end.
//!
//! Pure: it is told the time and which rules are released, and says when which bytes are due.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;

use crate::clock::Instant;
use crate::faults::CutEnd;
use crate::faults::compose::{Asked, BodyCourse, Source};

/// A piece is what the rate gives in this time, unless the fault says otherwise.
const PIECE: Duration = Duration::from_millis(10);
/// What a sender that fell behind the rate may catch up on at once.
const CREDIT: Duration = Duration::from_millis(20);

/// The body of one message on its way through its faults.
#[derive(Debug, Default)]
pub(super) struct Drip {
    course: BodyCourse,
    /// Bytes that are not sent yet; nothing more is read while there are any.
    waiting: Bytes,
    /// `waiting` are the last bytes.
    is_last: bool,
    /// How the body ends early once `waiting` is sent.
    cut: Option<(Source, CutEnd)>,
    /// Bytes taken in so far, and sent.
    taken: u64,
    sent: u64,
    /// When the head was out.
    started: Option<Instant>,
    /// Where the pacing stands.
    pace: Option<Pace>,
    /// Since when it stands still, and for whom how long.
    stalled: Asked<Option<Duration>>,
    stalled_at: Option<Instant>,
    /// The head has announced the length that this cut leaves: it must happen.
    pinned: Option<Source>,
    acted: SmallVec<[Source; 2]>,
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

/// When the next piece may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    Now,
    At(Instant),
    /// Not before the rule that holds it back is released.
    Never,
}

/// The next bytes to send.
#[derive(Debug, PartialEq)]
pub(super) struct Piece {
    pub(super) bytes: Bytes,
    /// The body is complete with them.
    pub(super) is_last: bool,
    /// The body ends after them, so.
    pub(super) cut: Option<(Source, CutEnd)>,
}

impl Drip {
    pub(super) fn new(course: BodyCourse) -> Self {
        Self { course, ..Self::default() }
    }

    /// Nothing is shaped any more, and nothing waits: bodies pass as they come.
    pub(super) fn is_idle(&self) -> bool {
        self.course.shapes_nothing() && !self.is_waiting()
    }

    /// Bytes wait to be sent.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty() || self.is_last || self.cut.is_some()
    }

    /// The faults that shape this body, for the marks on its head.
    pub(super) fn sources(&self) -> impl Iterator<Item = Source> + '_ {
        self.course.winners()
    }

    /// All hits that may still act on this body.
    pub(super) fn hits(&self) -> impl Iterator<Item = usize> + '_ {
        let stalled = self.stalled.iter().map(|(source, _)| source.hit);
        let cut = self.cut.map(|(source, _)| source.hit);
        self.course.sources().map(|source| source.hit).chain(stalled).chain(cut)
    }

    /// Drops what was asked by released rules; whether there was anything.
    pub(super) fn forget(&mut self, released: impl Fn(usize) -> bool) -> bool {
        let pinned = self.pinned.map(|source| source.hit);
        let gone = |hit| released(hit) && pinned != Some(hit);
        if !self.hits().any(&gone) {
            return false;
        }
        self.course.forget(gone);
        self.stalled.retain(|(source, _)| !gone(source.hit));
        true
    }

    /// Whose hit holds back what waits.
    pub(super) fn holder(&self) -> Option<usize> {
        let stall = self.stalled.first().map(|(source, _)| source.hit);
        stall.or_else(|| self.course.rates.first().map(|(source, _)| source.hit)).filter(|_| self.is_waiting())
    }

    /// The faults that have acted since the last call.
    pub(super) fn take_acted(&mut self) -> SmallVec<[Source; 2]> {
        std::mem::take(&mut self.acted)
    }

    /// Asked once, before the head is sent: the length that it must announce if this body of `length` bytes is to end
    /// early as if it were all. Only the earliest cut may do so.
    pub(super) fn shorter(&mut self, length: Option<u64>) -> Option<u64> {
        let promised = match self.course.cuts.first() {
            Some((source, (after, CutEnd::Complete))) => Some((*source, *after)),
            _ => None,
        };
        self.pinned = promised.map(|(source, _)| source);
        let pinned = self.pinned;
        self.course.cuts.retain(|(source, (_, end))| *end != CutEnd::Complete || Some(*source) == pinned);
        promised.zip(length).map(|((_, after), length)| after.min(length))
    }

    /// The head is out at `now`: from here the body is paced. With a cut after no bytes there is none.
    pub(super) fn start(&mut self, now: Instant, has_body: bool) {
        self.started = Some(now);
        self.pace =
            self.course.rates.first().map(|(_, (rate, _))| Pace { since: now, bytes: 0, rate: rate.per_second() });
        if has_body {
            self.take_cut(0);
        }
    }

    /// When the body ends whatever has been sent by then, and how.
    pub(super) fn deadline(&self) -> Option<(Instant, Source, CutEnd)> {
        let (source, (after, end)) = self.course.deadlines.first()?;
        Some((self.started?.checked_add(*after)?, *source, *end))
    }

    /// Takes bytes in, as far as a cut lets them.
    pub(super) fn take(&mut self, bytes: Bytes, is_last: bool) {
        let allowed = self.take_cut(bytes.len() as u64);
        self.is_last = is_last && self.cut.is_none();
        self.waiting = self.corrupted(bytes.slice(..allowed as usize));
        self.taken += allowed;
    }

    fn corrupted(&mut self, mut bytes: Bytes) -> Bytes {
        for (source, corruption) in &self.course.corruptions {
            if corruption.touches(self.taken, bytes.len()) {
                let mut changed = BytesMut::from(bytes);
                corruption.apply(self.taken, &mut changed);
                bytes = changed.freeze();
                self.acted.push(*source);
            }
        }
        bytes
    }

    /// How many of the next bytes pass, and remembers the cut if not all do.
    fn take_cut(&mut self, more: u64) -> u64 {
        let Some((source, (after, end))) = self.course.cuts.first() else { return more };
        let left = after.saturating_sub(self.taken);
        if more > left || *after == 0 {
            self.cut = Some((*source, *end));
        }
        more.min(left)
    }

    fn piece_length(&self) -> usize {
        let mut length = self.waiting.len() as u64;
        if let Some((_, (rate, chunk))) = self.course.rates.first() {
            let piece = chunk.unwrap_or_else(|| (rate.per_second() * PIECE.as_secs_f64()) as u64);
            length = length.min(piece.max(1));
        }
        if let Some((_, stall)) = self.course.stalls.first() {
            length = length.min(stall.after.saturating_sub(self.sent).max(1));
        }
        length as usize
    }

    /// When the next piece is due: after the time that its own bytes take at the rate, and all pauses before it.
    pub(super) fn due(&mut self, now: Instant) -> Due {
        self.begin_stalls(now);
        let resumes = match self.stall_ends() {
            Some(Due::At(resumes)) => Some(resumes),
            Some(other) => return other,
            None => None,
        };
        let Some((_, (rate, _))) = self.course.rates.first() else { return resumes.map_or(Due::Now, Due::At) };
        let rate = rate.per_second();
        let through = self.pace.map_or(now, |pace| pace.after(0));
        let earliest = now.checked_sub(CREDIT).unwrap_or(now);
        let pace = match (resumes, self.pace) {
            (Some(resumes), _) => Pace { since: resumes, bytes: 0, rate },
            (None, Some(pace)) if pace.rate == rate && through >= earliest => pace,
            // Another rate acts now, or the sender fell behind: an even flow begins anew.
            _ => Pace { since: through.max(earliest), bytes: 0, rate },
        };
        self.pace = Some(pace);
        Due::At(pace.after(self.piece_length()))
    }

    /// Pauses that stand before the next byte begin now.
    fn begin_stalls(&mut self, now: Instant) {
        while let Some((source, stall)) = self.course.stalls.first().copied()
            && stall.after <= self.sent
            && !self.waiting.is_empty()
        {
            self.course.stalls.remove(0);
            self.stalled.push((source, stall.time));
            self.stalled_at.get_or_insert(now);
            self.acted.push(source);
        }
    }

    /// When all pauses at this place are over; `None` if there is none.
    fn stall_ends(&self) -> Option<Due> {
        if self.stalled.is_empty() {
            return None;
        }
        let total = self.stalled.iter().try_fold(Duration::ZERO, |sum, (_, time)| Some(sum.saturating_add((*time)?)));
        let ends = self.stalled_at.zip(total).and_then(|(at, total)| at.checked_add(total));
        Some(ends.map_or(Due::Never, Due::At))
    }

    /// Takes the next piece out, when [`Drip::due`] said.
    pub(super) fn next(&mut self) -> Piece {
        let bytes = self.waiting.split_to(self.piece_length());
        self.stalled.clear();
        self.stalled_at = None;
        self.sent += bytes.len() as u64;
        if let Some((source, _)) = self.course.rates.first() {
            self.acted.push(*source);
        }
        if let Some(pace) = &mut self.pace {
            pace.bytes += bytes.len() as u64;
        }
        if !self.waiting.is_empty() {
            return Piece { bytes, is_last: false, cut: None };
        }
        let cut = self.cut.take();
        self.acted.extend(cut.map(|(source, _)| source));
        Piece { bytes, is_last: std::mem::take(&mut self.is_last), cut }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::{CloseHow, Stall};
    use crate::units::ByteRate;
    use proptest::prelude::*;
    use smallvec::smallvec;

    const RULE: Source = Source { hit: 0, fault: 0 };

    const RESET: CutEnd = CutEnd::Broken(CloseHow::Reset);

    fn at(rate: f64, chunk: Option<u64>) -> BodyCourse {
        BodyCourse { rates: smallvec![(RULE, (ByteRate::new(rate).unwrap(), chunk))], ..BodyCourse::default() }
    }

    fn cut(after: u64) -> BodyCourse {
        BodyCourse { cuts: smallvec![(RULE, (after, RESET))], ..BodyCourse::default() }
    }

    /// Sends everything that waits; gives the pieces and when the last one was due.
    fn drain(drip: &mut Drip, start: Instant) -> (Vec<Piece>, Duration) {
        let mut now = start;
        let mut pieces = Vec::new();
        while drip.is_waiting() {
            now = match drip.due(now) {
                Due::Now => now,
                Due::At(due) => due,
                Due::Never => panic!("nothing is due any more"),
            };
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
            let mut drip = Drip::new(at(rate, chunk));
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
            let mut drip = Drip::new(cut(after));
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
        let mut drip = Drip::new(at(1_000.0, None));
        drip.start(start, true);
        let late = start + Duration::from_secs(5);
        drip.take(Bytes::from(vec![0u8; 1_000]), true);
        let (_, took) = drain(&mut drip, late);
        assert!(took >= Duration::from_secs(1) - CREDIT, "1,000 bytes at 1,000 B/s took {took:?}");
    }

    #[test]
    fn a_released_rule_lets_go() {
        let now = Instant::now();
        let mut drip = Drip::new(BodyCourse { rates: at(10.0, None).rates, ..cut(3) });
        drip.start(now, true);
        drip.forget(|hit| hit == RULE.hit);
        drip.take(Bytes::from_static(b"everything"), true);
        assert_eq!(drip.due(now), Due::Now);
        let piece = drip.next();
        assert_eq!((piece.bytes.len(), piece.is_last, piece.cut), (10, true, None));
        assert!(!drip.is_waiting());
    }

    #[test]
    fn a_pause_comes_once_at_its_byte_and_the_pace_goes_on_after_it() {
        let start = Instant::now();
        let stall = |after, time: Option<u64>| (RULE, Stall { after, time: time.map(Duration::from_secs) });
        let stalls = smallvec![stall(500, Some(5)), stall(500, Some(2)), stall(2_000, None)];
        let mut drip = Drip::new(BodyCourse { stalls, ..at(1_000.0, None) });
        drip.start(start, true);
        drip.take(Bytes::from(vec![0u8; 400]), false);
        assert_eq!(drain(&mut drip, start).1, Duration::from_millis(400));
        drip.take(Bytes::from(vec![0u8; 600]), false);
        let (pieces, took) = drain(&mut drip, start + Duration::from_millis(400));
        assert_eq!(took, Duration::from_millis(600) + Duration::from_secs(7));
        assert_eq!(pieces.iter().map(|piece| piece.bytes.len()).sum::<usize>(), 600);
        drip.take(Bytes::from(vec![0u8; 1_001]), true);
        let mut now = start + Duration::from_secs(8);
        while let Due::At(due) = drip.due(now) {
            now = due;
            drip.next();
        }
        assert_eq!((drip.waiting.len(), drip.holder()), (1, Some(0)), "one byte waits for good");
        drip.forget(|_| true);
        assert_eq!(drip.due(now), Due::Now);
        assert!(drip.next().is_last);
    }

    #[test]
    fn a_pause_after_the_end_never_comes() {
        let now = Instant::now();
        let stalls = smallvec![(RULE, Stall { after: 10, time: None })];
        let mut drip = Drip::new(BodyCourse { stalls, ..BodyCourse::default() });
        drip.take(Bytes::from_static(b"0123456789"), false);
        assert_eq!(drip.due(now), Due::Now);
        drip.next();
        drip.take(Bytes::new(), true);
        assert_eq!(drip.due(now), Due::Now);
        assert!(drip.next().is_last && drip.take_acted().is_empty());
    }

    #[test]
    fn a_length_that_was_announced_is_kept_also_after_a_release() {
        let cuts = smallvec![(RULE, (4, CutEnd::Complete)), (Source { hit: 1, fault: 0 }, (6, CutEnd::Complete))];
        let mut drip = Drip::new(BodyCourse { cuts, ..BodyCourse::default() });
        assert_eq!(drip.shorter(Some(10)), Some(4));
        drip.forget(|_| true);
        drip.take(Bytes::from_static(b"0123456789"), true);
        let piece = drip.next();
        assert_eq!((&piece.bytes[..], piece.is_last, piece.cut), (&b"0123"[..], false, Some((RULE, CutEnd::Complete))));
    }
}
