//! `reset_peer`: the connection is reset when it is used.

use std::sync::Arc;
use std::time::Duration;

use super::amount::{self, Unit};
use super::{CloseHow, Given, Item, Kind, Rest, Site, Stage, Toxic};
use crate::clock::Instant;
use crate::diagnostics::Reader;

pub(super) const KIND: Kind = Kind {
    name: "reset_peer",
    is_toxiproxys: true,
    summary: "RST to both sides, `timeout` after the first data (or the end); also on connections already open",
    numbers: &[("timeout", Unit::Milliseconds)],
    others: &[],
    example: "timeout = 200\n",
    compile,
};

fn compile(reader: &mut Reader<'_>) -> Option<Arc<dyn Toxic>> {
    Some(Arc::new(ResetPeer { timeout: amount::time(reader, "timeout", Unit::Milliseconds) }))
}

#[derive(Debug)]
struct ResetPeer {
    timeout: Duration,
}

impl Toxic for ResetPeer {
    fn stage(&self, site: Site) -> Option<Box<dyn Stage>> {
        let since = site.since();
        let mut armed = Armed { timeout: self.timeout, first: None, since };
        site.rest.items.into_iter().for_each(|item| armed.take(item));
        Some(Box::new(armed))
    }
}

struct Armed {
    timeout: Duration,
    /// The item that set it off, and when.
    first: Option<(Instant, Item)>,
    since: Instant,
}

impl Stage for Armed {
    fn has_room(&self) -> bool {
        self.first.is_none()
    }

    fn take(&mut self, item: Item) {
        if self.first.is_none() {
            let (Item::Data { arrived, .. } | Item::End { arrived }) = item;
            self.first = Some((arrived, item));
        }
    }

    fn give(&mut self, _: Instant) -> Given {
        Given::Nothing
    }

    fn ends(&self) -> Option<(Instant, CloseHow)> {
        self.first.as_ref().map(|(arrived, _)| (*arrived + self.timeout, CloseHow::Reset))
    }

    fn leave(&mut self) -> Rest {
        let items = self.first.take().map(|(_, item)| item).into_iter().collect();
        Rest { items, since: Some(self.since), ..Rest::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Bench, MS};
    use super::*;

    #[test]
    fn the_first_bytes_set_it_off() {
        let mut bench = Bench::new("type = \"reset_peer\"\nattributes = { timeout = 50 }");
        assert_eq!(bench.stage.ends(), None, "an idle connection stands");
        bench.at(20).data("x");
        assert_eq!(bench.stage.ends(), Some((bench.start + MS * 70, CloseHow::Reset)));
        assert_eq!(bench.stage.leave().items.len(), 1, "removed in time, nothing is lost");
    }
}
