//! `latency`: everything arrives later, in its order, as on a longer line.

use std::sync::Arc;
use std::time::Duration;

use super::super::distribution::Distribution;
use super::amount::{self, Unit};
use super::queue::Queue;
use super::{Given, Item, Kind, Rest, Site, Stage, Toxic};
use crate::clock::Instant;
use crate::diagnostics::Reader;
use crate::dice::Dice;

pub(super) const KIND: Kind = Kind {
    name: "latency",
    is_toxiproxys: true,
    summary: "delays by `latency` +/- `jitter`, counted from arrival, order kept; or `delay`, any distribution of \
              rules, with `max`",
    numbers: &[("latency", Unit::Milliseconds), ("jitter", Unit::Milliseconds)],
    others: &["delay", "max"],
    example: "latency = \"100ms\"\njitter = 20\n",
    compile,
};

fn compile(reader: &mut Reader<'_>) -> Option<Arc<dyn Toxic>> {
    let base = amount::number(reader, "latency", Unit::Milliseconds) / 1e3;
    let jitter = amount::number(reader, "jitter", Unit::Milliseconds).max(0.0) / 1e3;
    let max: Option<Duration> = reader.optional("max");
    if !reader.has("delay") {
        return Some(Arc::new(Latency(Delay::Jittered { base, jitter, max })));
    }
    if base != 0.0 || jitter != 0.0 {
        reader.reject("delay", "stands beside latency or jitter", Some("give one of the two"));
    }
    let distribution = Distribution::read(reader, "delay")?;
    Some(Arc::new(Latency::drawn(distribution, max)))
}

/// The toxic.
#[derive(Debug, Clone)]
pub(in crate::faults) struct Latency(Delay);

#[derive(Debug, Clone)]
enum Delay {
    /// In seconds; below zero is none.
    Jittered {
        base: f64,
        jitter: f64,
        max: Option<Duration>,
    },
    Drawn {
        distribution: Distribution,
        max: Option<Duration>,
    },
}

impl Latency {
    pub(in crate::faults) fn drawn(distribution: Distribution, max: Option<Duration>) -> Self {
        Self(Delay::Drawn { distribution, max })
    }

    fn delay(&self, dice: Dice, n: u64) -> Duration {
        let u = dice.uniform(n);
        let (delay, max) = match &self.0 {
            Delay::Jittered { base, jitter, max } => (amount::seconds(base + jitter * (2.0 * u - 1.0)), max),
            Delay::Drawn { distribution, max } => (distribution.quantile(u), max),
        };
        max.map_or(delay, |max| delay.min(max))
    }
}

impl Toxic for Latency {
    fn stage(&self, site: Site) -> Option<Box<dyn Stage>> {
        let since = site.since();
        let mut line = Line {
            toxic: self.clone(),
            dice: site.dice,
            drawn: 0,
            queue: Queue::default(),
            passed: site.rest.passed,
            since,
        };
        // What was under way goes on as the new attributes say, counted from its arrival.
        site.rest.items.into_iter().for_each(|item| line.take(item));
        Some(Box::new(line))
    }
}

/// Items on their way, each with the time at which it is through.
struct Line {
    toxic: Latency,
    dice: Dice,
    drawn: u64,
    queue: Queue,
    passed: u64,
    since: Instant,
}

impl Stage for Line {
    fn has_room(&self) -> bool {
        self.queue.has_room()
    }

    fn take(&mut self, item: Item) {
        let due = match &item {
            Item::Data { arrived, .. } => {
                let delay = self.toxic.delay(self.dice, self.drawn);
                self.drawn += 1;
                *arrived + delay
            }
            // An end closes the line behind the last bytes.
            Item::End { arrived } => *arrived,
        };
        self.queue.put(due, item);
    }

    fn give(&mut self, now: Instant) -> Given {
        self.queue.give(now)
    }

    fn leave(&mut self) -> Rest {
        Rest { items: self.queue.take_all(), passed: self.passed, since: Some(self.since) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::buffer::LIMIT;
    use super::super::testing::Bench;
    use super::*;

    #[test]
    fn every_piece_is_late_by_the_same_and_many_are_under_way_at_once() {
        let mut bench = Bench::new("type = \"latency\"\nattributes = { latency = 100 }");
        for n in 0..5u64 {
            bench.at(n * 10).data("x");
        }
        bench.at(60).end();
        assert_eq!(bench.drain(), [(100, "x"), (110, "x"), (120, "x"), (130, "x"), (140, "x"), (140, "END")]);
    }

    #[test]
    fn jitter_stays_within_its_bounds_and_never_reorders() {
        let mut bench = Bench::new("type = \"latency\"\nattributes = { latency = \"50ms\", jitter = 20 }");
        for n in 0..200u64 {
            bench.at(n).data(&format!("{n}"));
        }
        let out = bench.at(0).drain();
        let texts: Vec<_> = out.iter().map(|(_, text)| text.parse::<u64>().unwrap()).collect();
        assert_eq!(texts, (0..200).collect::<Vec<_>>());
        for (n, (at, _)) in out.iter().enumerate() {
            let late = at - n as u64;
            assert!((30..=71).contains(&late), "{late}");
        }
        assert!(out.windows(2).any(|pair| pair[0].0 == pair[1].0), "some had to wait for their predecessor");
    }

    #[test]
    fn jitter_beyond_the_latency_is_no_delay_and_no_overflow() {
        let mut bench = Bench::new("type = \"latency\"\nattributes = { latency = 1, jitter = 1000 }");
        for _ in 0..50 {
            bench.data("x");
        }
        assert!(bench.drain()[0].0 < 1002);
    }

    #[test]
    fn all_distributions_of_rules_are_there() {
        let mut bench = Bench::new(
            "type = \"latency\"\n[attributes]\ndelay = { distribution = \"lognormal\", p50 = \"80ms\", p99 = \"900ms\" }\nmax = \"1s\"",
        );
        bench.data("x");
        assert!((1..=1000).contains(&bench.drain()[0].0));
    }

    #[test]
    fn what_is_under_way_is_bounded() {
        let mut bench = Bench::new("type = \"latency\"\nattributes = { latency = 10000 }");
        let mut taken = 0;
        while bench.stage.has_room() {
            bench.data(&"x".repeat(1000));
            taken += 1000;
        }
        assert!(taken <= LIMIT && bench.stage.give(bench.now) != Given::Nothing);
    }

    #[test]
    fn a_change_counts_for_what_is_under_way_from_its_arrival() {
        let mut bench = Bench::new("type = \"latency\"\nattributes = { latency = 1000 }");
        bench.data("x");
        bench.at(40).change("type = \"latency\"\nattributes = { latency = 50 }");
        assert_eq!(bench.drain(), [(50, "x")]);
        bench.data("y");
        let left = bench.stage.leave();
        assert_eq!((left.items.len(), left.since), (1, Some(bench.start)));
    }
}
