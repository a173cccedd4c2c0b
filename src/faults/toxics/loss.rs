//! `loss`: the stalls that lost packets make. A stream loses nothing, so this imitates what the receiver sees.
//!
//! The model is Gilbert's and Elliott's: a line is good or bad, and loses packets only while it is bad. A lost packet
//! comes again after a retransmission timeout, twice as long for each loss in a row (RFC 6298, section 5.5), and
//! everything behind it waits.

use std::sync::Arc;
use std::time::Duration;

use super::amount::{self, Unit};
use super::queue::Queue;
use super::{Given, Item, Kind, Rest, Site, Stage, Toxic};
use crate::clock::Instant;
use crate::diagnostics::Reader;
use crate::dice::Dice;
use crate::units::Share;

pub(super) const KIND: Kind = Kind {
    name: "loss",
    is_toxiproxys: false,
    summary: "stalls as packet loss makes them (an imitation): `enter` and `leave` are the odds, packet by packet, of \
              a bad stretch beginning and ending, `loss` those of losing a packet in it, `rto` the stall, 200 ms \
              unless given, doubling",
    numbers: &[("rto", Unit::Milliseconds)],
    others: &["enter", "leave", "loss"],
    example: "enter = 0.01\nleave = 0.3\nloss = 0.5\nrto = \"200ms\"\n",
    compile,
};

/// What fits into a packet on most paths.
const PACKET: usize = 1_460;
/// The longest stall is this many times the first one.
const MOST_DOUBLINGS: u32 = 6;
const RTO: Duration = Duration::from_millis(200);

fn compile(reader: &mut Reader<'_>) -> Option<Arc<dyn Toxic>> {
    let enter: Option<Share> = reader.required("enter", "0.01");
    let leave: Share = reader.or("leave", Share::ALL);
    let loss: Share = reader.or("loss", Share::ALL);
    let rto = amount::time(reader, "rto", Unit::Milliseconds);
    let rto = if rto.is_zero() { RTO } else { rto };
    Some(Arc::new(Loss { enter: enter?.get(), leave: leave.get(), loss: loss.get(), rto }))
}

#[derive(Debug, Clone, Copy)]
struct Loss {
    enter: f64,
    leave: f64,
    loss: f64,
    rto: Duration,
}

impl Toxic for Loss {
    fn stage(&self, site: Site) -> Option<Box<dyn Stage>> {
        let since = site.since();
        let mut line = Line { loss: *self, dice: site.dice, n: 0, is_bad: false, queue: Queue::default(), since };
        site.rest.items.into_iter().for_each(|item| line.take(item));
        Some(Box::new(line))
    }
}

struct Line {
    loss: Loss,
    dice: Dice,
    n: u64,
    is_bad: bool,
    queue: Queue,
    since: Instant,
}

impl Line {
    fn happens(&mut self, odds: f64) -> bool {
        self.n += 1;
        self.dice.happens(self.n, odds)
    }

    /// How late one packet is.
    fn packet(&mut self) -> Duration {
        let turns = if self.is_bad { self.loss.leave } else { self.loss.enter };
        if self.happens(turns) {
            self.is_bad = !self.is_bad;
        }
        let mut late = Duration::ZERO;
        let mut losses = 0;
        while self.is_bad && losses < MOST_DOUBLINGS && self.happens(self.loss.loss) {
            late += self.loss.rto * 2u32.pow(losses);
            losses += 1;
            // Time passes for the line, too: the retransmission may meet a good one.
            if self.happens(self.loss.leave) {
                self.is_bad = false;
            }
        }
        late
    }
}

impl Stage for Line {
    fn has_room(&self) -> bool {
        self.queue.has_room()
    }

    fn take(&mut self, item: Item) {
        let due = match &item {
            Item::Data { bytes, arrived } => {
                let late = (0..bytes.len().div_ceil(PACKET)).map(|_| self.packet()).sum::<Duration>();
                *arrived + late
            }
            Item::End { arrived } => *arrived,
        };
        self.queue.put(due, item);
    }

    fn give(&mut self, now: Instant) -> Given {
        self.queue.give(now)
    }

    fn leave(&mut self) -> Rest {
        Rest { items: self.queue.take_all(), since: Some(self.since), ..Rest::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Bench;

    #[test]
    fn losses_come_in_stretches_and_stall_what_follows() {
        let mut bench =
            Bench::new("type = \"loss\"\nattributes = { enter = 0.02, leave = 0.5, loss = 0.5, rto = \"100ms\" }");
        for n in 0..2_000u64 {
            bench.at(n * 10).data("x");
        }
        let out = bench.at(0).drain();
        let late = out.iter().enumerate().filter(|(n, (at, _))| *at > *n as u64 * 10).count();
        assert!((50..1_000).contains(&late), "{late} of 2,000 late");
        assert!(out.windows(2).all(|pair| pair[0].0 <= pair[1].0));
    }

    #[test]
    fn a_line_that_never_turns_bad_is_a_good_one() {
        let mut bench = Bench::new("type = \"loss\"\nattributes = { enter = 0 }");
        bench.data(&"x".repeat(100_000));
        assert_eq!(bench.drain()[0].0, 0);
    }
}
