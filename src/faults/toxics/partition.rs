//! `partition`: the line is cut, and nobody knows. What was under way arrives when it is whole again, as
//! retransmissions make it.

use std::sync::Arc;

use super::buffer::Buffer;
use super::{Given, Item, Kind, OnAccept, Refusal, Rest, Site, Stage, Toxic};
use crate::clock::Instant;
use crate::diagnostics::Reader;
use crate::dice::Dice;

pub(super) const KIND: Kind = Kind {
    name: "partition",
    is_toxiproxys: false,
    summary: "nothing passes, not even the end, and new connections are not answered; when it is removed everything \
              arrives",
    numbers: &[],
    others: &[],
    example: "",
    compile,
};

#[derive(Debug)]
struct Partition;

fn compile(_: &mut Reader<'_>) -> Option<Arc<dyn Toxic>> {
    Some(Arc::new(Partition))
}

impl Toxic for Partition {
    fn stage(&self, site: Site) -> Option<Box<dyn Stage>> {
        let since = site.since();
        Some(Box::new(Severed { buffer: Buffer::of(site.rest.items), since }))
    }

    fn on_accept(&self, _: u64, _: Dice) -> OnAccept {
        OnAccept { refusal: Some(Refusal::Silence), ..OnAccept::default() }
    }
}

struct Severed {
    buffer: Buffer,
    since: Instant,
}

impl Stage for Severed {
    fn has_room(&self) -> bool {
        self.buffer.has_room()
    }

    fn take(&mut self, item: Item) {
        self.buffer.push(item);
    }

    fn give(&mut self, _: Instant) -> Given {
        Given::Nothing
    }

    fn leave(&mut self) -> Rest {
        Rest { items: self.buffer.take_all(), since: Some(self.since), ..Rest::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Bench;

    #[test]
    fn what_was_sent_meanwhile_is_there_when_it_is_over() {
        let mut bench = Bench::new("type = \"partition\"");
        bench.data("x");
        bench.end();
        assert_eq!(bench.drain(), []);
        assert_eq!(bench.stage.leave().items.len(), 2);
        assert_eq!(bench.stage.closes_when_removed(), None);
    }
}
