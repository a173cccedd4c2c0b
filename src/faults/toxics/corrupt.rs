//! `corrupt`: changed bytes, none more and none less.

use std::sync::Arc;

use super::super::choice::choice;
use super::buffer::Buffer;
use super::{Given, Item, Kind, Rest, Site, Stage, Toxic};
use crate::clock::Instant;
use crate::diagnostics::Reader;
use crate::dice::Dice;
use crate::units::Share;

pub(super) const KIND: Kind = Kind {
    name: "corrupt",
    is_toxiproxys: false,
    summary: "changes a `share` of the bytes: `mode` = flip (one bit) | zero",
    numbers: &[],
    others: &["share", "mode"],
    example: "share = 0.001\nmode = \"flip\"\n",
    compile,
};

/// What becomes of a byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Flip,
    Zero,
}

fn compile(reader: &mut Reader<'_>) -> Option<Arc<dyn Toxic>> {
    let share: Share = reader.required("share", "0.001")?;
    let mode = choice(reader, "mode", &[("flip", Mode::Flip), ("zero", Mode::Zero)], Mode::Flip);
    Some(Arc::new(Corrupt { share: share.get(), mode }))
}

#[derive(Debug, Clone, Copy)]
struct Corrupt {
    share: f64,
    mode: Mode,
}

impl Toxic for Corrupt {
    fn stage(&self, site: Site) -> Option<Box<dyn Stage>> {
        let since = site.since();
        let mut noise = Noise { corrupt: *self, dice: site.dice, n: 0, clean: 0, buffer: Buffer::default(), since };
        noise.clean = noise.gap();
        site.rest.items.into_iter().for_each(|item| noise.take(item));
        Some(Box::new(noise))
    }
}

struct Noise {
    corrupt: Corrupt,
    dice: Dice,
    n: u64,
    /// Bytes that pass before the next one is hit.
    clean: u64,
    buffer: Buffer,
    since: Instant,
}

impl Noise {
    /// Bytes between two that are hit: geometric, one draw for each hit instead of one for each byte.
    fn gap(&mut self) -> u64 {
        let u = self.dice.uniform(2 * self.n);
        self.n += 1;
        if self.corrupt.share <= 0.0 { u64::MAX } else { ((1.0 - u).ln() / (-self.corrupt.share).ln_1p()) as u64 }
    }

    fn spoil(&mut self, bytes: &mut [u8]) {
        let mut at = 0;
        while self.clean < (bytes.len() - at) as u64 {
            at += self.clean as usize;
            let bit = 1 << (self.dice.bits(2 * self.n + 1) & 7);
            bytes[at] = if self.corrupt.mode == Mode::Flip { bytes[at] ^ bit } else { 0 };
            at += 1;
            self.clean = self.gap();
        }
        self.clean = self.clean.saturating_sub((bytes.len() - at) as u64);
    }
}

impl Stage for Noise {
    fn has_room(&self) -> bool {
        self.buffer.is_empty()
    }

    fn take(&mut self, item: Item) {
        let item = match item {
            Item::Data { bytes, arrived } => {
                let mut bytes = bytes.to_vec();
                self.spoil(&mut bytes);
                Item::Data { bytes: bytes.into(), arrived }
            }
            end @ Item::End { .. } => end,
        };
        self.buffer.push(item);
    }

    fn give(&mut self, _: Instant) -> Given {
        self.buffer.pop().map_or(Given::Nothing, Given::Item)
    }

    fn leave(&mut self) -> Rest {
        Rest { items: self.buffer.take_all(), since: Some(self.since), ..Rest::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Bench;

    fn changed(attributes: &str) -> usize {
        let mut bench = Bench::new(&format!("type = \"corrupt\"\nattributes = {{ {attributes} }}"));
        for _ in 0..100 {
            bench.data(&"x".repeat(1_000));
        }
        bench.bytes().iter().filter(|byte| **byte != b'x').count()
    }

    #[test]
    fn the_share_of_bytes_is_changed_and_none_is_lost() {
        assert_eq!(changed("share = 0"), 0);
        assert_eq!(changed("share = 1, mode = \"zero\""), 100_000);
        let hit = changed("share = \"1%\"");
        assert!((800..1_200).contains(&hit), "{hit} of 100,000 at 1 %");
    }
}
