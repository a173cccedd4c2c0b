//! `bandwidth`: an even flow at a rate.

use std::sync::Arc;
use std::time::Duration;

use super::amount::{self, Unit};
use super::buffer::Buffer;
use super::{Given, Item, Kind, Rest, Site, Stage, Toxic};
use crate::clock::Instant;
use crate::diagnostics::Reader;

pub(super) const KIND: Kind = Kind {
    name: "bandwidth",
    is_toxiproxys: true,
    summary: "an even flow at `rate`; 0 lets nothing through",
    numbers: &[("rate", Unit::KilobytesPerSecond)],
    others: &[],
    example: "rate = 64\n",
    compile,
};

/// A piece is what the rate gives in this time.
const PIECE: Duration = Duration::from_millis(10);
/// What a sender that fell behind the rate may catch up on at once.
const CREDIT: Duration = Duration::from_millis(20);

fn compile(reader: &mut Reader<'_>) -> Option<Arc<dyn Toxic>> {
    let rate = amount::number(reader, "rate", Unit::KilobytesPerSecond).max(0.0) * 1e3;
    Some(Arc::new(Bandwidth { rate, piece: None }))
}

/// The toxic.
#[derive(Debug, Clone, Copy)]
pub(in crate::faults) struct Bandwidth {
    /// Bytes a second.
    pub(in crate::faults) rate: f64,
    /// Bytes that leave together; `None`: what 10 ms give.
    pub(in crate::faults) piece: Option<u64>,
}

impl Toxic for Bandwidth {
    fn stage(&self, site: Site) -> Option<Box<dyn Stage>> {
        let since = site.since();
        let piece = self.piece.unwrap_or((self.rate * PIECE.as_secs_f64()) as u64).max(1);
        let piece = usize::try_from(piece).unwrap_or(usize::MAX);
        let buffer = Buffer::of(site.rest.items);
        Some(Box::new(Flow {
            rate: self.rate,
            piece,
            buffer,
            from: site.now,
            sent: 0,
            passed: site.rest.passed,
            since,
        }))
    }
}

/// What is due is counted from `from`, so that rounding does not add up.
struct Flow {
    rate: f64,
    piece: usize,
    buffer: Buffer,
    from: Instant,
    /// Bytes since `from`.
    sent: u64,
    passed: u64,
    since: Instant,
}

impl Flow {
    /// When so many more bytes are through.
    fn through(&self, more: usize) -> Instant {
        self.from + amount::seconds((self.sent + more as u64) as f64 / self.rate)
    }
}

impl Stage for Flow {
    fn has_room(&self) -> bool {
        self.buffer.is_empty()
    }

    fn take(&mut self, item: Item) {
        self.buffer.push(item);
    }

    fn give(&mut self, now: Instant) -> Given {
        let length = match self.buffer.front() {
            None => return Given::Nothing,
            Some(Item::Data { .. }) if self.rate <= 0.0 => return Given::Nothing,
            Some(Item::Data { bytes, .. }) => bytes.len().min(self.piece),
            Some(Item::End { .. }) => 0,
        };
        if self.rate > 0.0 {
            let earliest = now.checked_sub(CREDIT).unwrap_or(now);
            if self.through(0) < earliest {
                // The sender fell behind: an even flow begins anew.
                (self.from, self.sent) = (earliest, 0);
            }
            let due = self.through(length);
            if due > now {
                return Given::At(due);
            }
        }
        let Some(item) = self.buffer.pop_bytes(length) else { return Given::Nothing };
        self.sent += length as u64;
        self.passed += length as u64;
        Given::Item(item)
    }

    fn leave(&mut self) -> Rest {
        Rest { items: self.buffer.take_all(), passed: self.passed, since: Some(self.since) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Bench;
    use super::*;

    #[test]
    fn bytes_flow_evenly_at_the_rate() {
        let mut bench = Bench::new("type = \"bandwidth\"\nattributes = { rate = 64 }");
        bench.data(&"x".repeat(64_000));
        bench.end();
        let out = bench.drain();
        let last = out.last().unwrap();
        assert_eq!(*last, (1_000, "END"));
        assert_eq!(out.iter().filter(|(_, text)| *text != "END").map(|(_, text)| text.len()).sum::<usize>(), 64_000);
        for pair in out.windows(2) {
            assert!(pair[1].0 - pair[0].0 <= 11, "a gap from {} to {} ms", pair[0].0, pair[1].0);
        }
    }

    #[test]
    fn a_rate_of_zero_stalls_until_it_changes() {
        let mut bench = Bench::new("type = \"bandwidth\"\nattributes = { rate = 0 }");
        bench.data("x");
        assert_eq!(bench.stage.give(bench.now), Given::Nothing);
        bench.change("type = \"bandwidth\"\nattributes = { rate = \"1GB/s\" }");
        assert_eq!(bench.drain(), [(0, "x")]);
    }

    #[test]
    fn a_pause_earns_no_burst() {
        let mut bench = Bench::new("type = \"bandwidth\"\nattributes = { rate = 1 }");
        bench.at(60_000).data(&"x".repeat(1_000));
        assert!(bench.drain().last().unwrap().0 >= 60_980);
    }
}
