//! `slow_close`: only the end comes late.

use std::sync::Arc;
use std::time::Duration;

use super::amount::{self, Unit};
use super::buffer::Buffer;
use super::{Given, Item, Kind, Rest, Site, Stage, Toxic};
use crate::clock::Instant;
use crate::diagnostics::Reader;

pub(super) const KIND: Kind = Kind {
    name: "slow_close",
    is_toxiproxys: true,
    summary: "delays only the end of the connection, by `delay`",
    numbers: &[("delay", Unit::Milliseconds)],
    others: &[],
    example: "delay = 1000\n",
    compile,
};

fn compile(reader: &mut Reader<'_>) -> Option<Arc<dyn Toxic>> {
    Some(Arc::new(SlowClose { delay: amount::time(reader, "delay", Unit::Milliseconds) }))
}

#[derive(Debug)]
struct SlowClose {
    delay: Duration,
}

impl Toxic for SlowClose {
    fn stage(&self, site: Site) -> Option<Box<dyn Stage>> {
        let since = site.since();
        Some(Box::new(Late { delay: self.delay, buffer: Buffer::of(site.rest.items), since }))
    }
}

struct Late {
    delay: Duration,
    buffer: Buffer,
    since: Instant,
}

impl Stage for Late {
    fn has_room(&self) -> bool {
        self.buffer.is_empty()
    }

    fn take(&mut self, item: Item) {
        self.buffer.push(item);
    }

    fn give(&mut self, now: Instant) -> Given {
        if let Some(Item::End { arrived }) = self.buffer.front()
            && *arrived + self.delay > now
        {
            return Given::At(*arrived + self.delay);
        }
        self.buffer.pop().map_or(Given::Nothing, Given::Item)
    }

    fn leave(&mut self) -> Rest {
        Rest { items: self.buffer.take_all(), since: Some(self.since), ..Rest::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Bench;

    #[test]
    fn bytes_pass_at_once_and_the_end_comes_late() {
        let mut bench = Bench::new("type = \"slow_close\"\nattributes = { delay = 300 }");
        bench.data("x");
        bench.at(5).end();
        assert_eq!(bench.drain(), [(5, "x"), (305, "END")]);
    }
}
