//! `limit_data`: so many bytes, then the end.

use std::sync::Arc;

use super::super::choice::choice;
use super::amount::{self, Unit};
use super::buffer::Buffer;
use super::{CloseHow, Given, Item, Kind, Rest, Site, Stage, Toxic};
use crate::clock::Instant;
use crate::diagnostics::Reader;

pub(super) const KIND: Kind = Kind {
    name: "limit_data",
    is_toxiproxys: true,
    summary: "closes after `bytes`, counted for each connection; `how` = close | reset",
    numbers: &[("bytes", Unit::Bytes)],
    others: &["how"],
    example: "bytes = \"64KiB\"\nhow = \"reset\"\n",
    compile,
};

fn compile(reader: &mut Reader<'_>) -> Option<Arc<dyn Toxic>> {
    let bytes = amount::count(reader, "bytes", Unit::Bytes);
    let how = choice(reader, "how", &[("close", CloseHow::Close), ("reset", CloseHow::Reset)], CloseHow::Close);
    Some(Arc::new(LimitData { bytes, how }))
}

/// The toxic.
#[derive(Debug, Clone, Copy)]
pub(in crate::faults) struct LimitData {
    pub(in crate::faults) bytes: u64,
    pub(in crate::faults) how: CloseHow,
}

impl Toxic for LimitData {
    fn stage(&self, site: Site) -> Option<Box<dyn Stage>> {
        let since = site.since();
        let buffer = Buffer::of(site.rest.items);
        Some(Box::new(Limited { limit: *self, passed: site.rest.passed, buffer, since }))
    }
}

struct Limited {
    limit: LimitData,
    passed: u64,
    buffer: Buffer,
    since: Instant,
}

impl Stage for Limited {
    fn has_room(&self) -> bool {
        self.buffer.is_empty()
    }

    fn take(&mut self, item: Item) {
        self.buffer.push(item);
    }

    fn give(&mut self, _: Instant) -> Given {
        let left = self.limit.bytes.saturating_sub(self.passed);
        match self.buffer.front() {
            // With a limit of 0 the first byte is one too many; else the last one that passes ends it.
            None if left == 0 && self.passed > 0 => Given::Close(self.limit.how),
            None => Given::Nothing,
            Some(Item::Data { .. }) if left == 0 => Given::Close(self.limit.how),
            Some(_) => {
                let most = usize::try_from(left).unwrap_or(usize::MAX);
                let Some(item) = self.buffer.pop_bytes(most) else { return Given::Nothing };
                if let Item::Data { bytes, .. } = &item {
                    self.passed += bytes.len() as u64;
                }
                Given::Item(item)
            }
        }
    }

    fn leave(&mut self) -> Rest {
        Rest { items: self.buffer.take_all(), passed: self.passed, since: Some(self.since) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Bench;

    #[test]
    fn exactly_the_bytes_pass() {
        let mut bench = Bench::new("type = \"limit_data\"\nattributes = { bytes = 5 }");
        bench.data("abc");
        assert_eq!(bench.drain(), [(0, "abc")]);
        bench.data("defg");
        assert_eq!(bench.drain(), [(0, "de"), (0, "CLOSE")]);
    }

    #[test]
    fn the_count_is_kept_when_the_limit_changes() {
        let mut bench = Bench::new("type = \"limit_data\"\nattributes = { bytes = 100 }");
        bench.data("abc");
        bench.drain();
        bench.change("type = \"limit_data\"\nattributes = { bytes = 4, how = \"reset\" }");
        bench.data("de");
        assert_eq!(bench.drain(), [(0, "d"), (0, "RESET")]);
    }

    #[test]
    fn a_limit_of_nothing_closes_at_the_first_byte() {
        let mut bench = Bench::new("type = \"limit_data\"");
        assert_eq!(bench.drain(), []);
        bench.data("x");
        assert_eq!(bench.drain(), [(0, "CLOSE")]);
    }
}
