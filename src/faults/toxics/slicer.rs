//! `slicer`: many small pieces instead of few large ones.

use std::sync::Arc;
use std::time::Duration;

use super::amount::{self, Unit};
use super::buffer::Buffer;
use super::{Given, Item, Kind, Rest, Site, Stage, Toxic};
use crate::clock::Instant;
use crate::diagnostics::Reader;
use crate::dice::Dice;

pub(super) const KIND: Kind = Kind {
    name: "slicer",
    is_toxiproxys: true,
    summary: "cuts data into pieces of `average_size` +/- `size_variation`, `delay` after each",
    numbers: &[("average_size", Unit::Bytes), ("size_variation", Unit::Bytes), ("delay", Unit::Microseconds)],
    others: &[],
    example: "average_size = 64\nsize_variation = 16\ndelay = \"10us\"\n",
    compile,
};

fn compile(reader: &mut Reader<'_>) -> Option<Arc<dyn Toxic>> {
    let average = amount::count(reader, "average_size", Unit::Bytes).max(1);
    let variation = amount::count(reader, "size_variation", Unit::Bytes).min(average - 1);
    let delay = amount::time(reader, "delay", Unit::Microseconds);
    Some(Arc::new(Slicer { average, variation, delay }))
}

#[derive(Debug, Clone, Copy)]
struct Slicer {
    /// At least 1.
    average: u64,
    /// Below `average`.
    variation: u64,
    delay: Duration,
}

impl Slicer {
    /// The size of the `n`-th piece: even between average - variation and average + variation.
    fn size(&self, dice: Dice, n: u64) -> usize {
        let spread = (2 * self.variation + 1) as f64;
        let size = self.average - self.variation + (dice.uniform(n) * spread) as u64;
        usize::try_from(size).unwrap_or(usize::MAX)
    }
}

impl Toxic for Slicer {
    fn stage(&self, site: Site) -> Option<Box<dyn Stage>> {
        let since = site.since();
        let slices =
            Slices { slicer: *self, dice: site.dice, n: 0, next: site.now, buffer: Buffer::of(site.rest.items), since };
        Some(Box::new(slices))
    }
}

struct Slices {
    slicer: Slicer,
    dice: Dice,
    n: u64,
    /// Nothing leaves before.
    next: Instant,
    buffer: Buffer,
    since: Instant,
}

impl Stage for Slices {
    fn has_room(&self) -> bool {
        self.buffer.is_empty()
    }

    fn take(&mut self, item: Item) {
        self.buffer.push(item);
    }

    fn give(&mut self, now: Instant) -> Given {
        if self.buffer.is_empty() {
            return Given::Nothing;
        }
        if self.next > now {
            return Given::At(self.next);
        }
        let Some(item) = self.buffer.pop_bytes(self.slicer.size(self.dice, self.n)) else { return Given::Nothing };
        self.n += 1;
        // Counted from when it was due, so that many short waits do not add up their lateness.
        let lag = now.saturating_duration_since(self.next);
        let from = if lag < self.slicer.delay { self.next } else { now };
        self.next = from + self.slicer.delay;
        Given::Item(item)
    }

    fn leave(&mut self) -> Rest {
        Rest { items: self.buffer.take_all(), since: Some(self.since), ..Rest::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Bench;

    #[test]
    fn pieces_have_the_size_and_the_distance_that_was_asked_for() {
        let mut bench =
            Bench::new("type = \"slicer\"\nattributes = { average_size = 10, size_variation = 3, delay = 2000 }");
        let text = "0123456789".repeat(20);
        bench.data(&text);
        bench.end();
        let out = bench.drain();
        let pieces = &out[..out.len() - 2];
        assert!(pieces.iter().all(|(_, piece)| (7..=13).contains(&piece.len())), "{pieces:?}");
        assert!(pieces.iter().any(|(_, piece)| piece.len() != 10));
        assert_eq!(out.iter().filter(|(_, piece)| *piece != "END").map(|(_, piece)| *piece).collect::<String>(), text);
        assert!(out.windows(2).all(|pair| pair[1].0 - pair[0].0 == 2));
    }

    #[test]
    fn nothing_given_is_single_bytes() {
        let mut bench = Bench::new("type = \"slicer\"");
        bench.data("abc");
        assert_eq!(bench.drain(), [(0, "a"), (0, "b"), (0, "c")]);
    }
}
