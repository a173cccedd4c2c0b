//! `cut`: the end after a time, whatever flows; `down`'s and `refuse`'s kind of end for those that are open.

use std::sync::Arc;
use std::time::Duration;

use super::super::choice::choice;
use super::amount::{self, Unit};
use super::buffer::Buffer;
use super::{CloseHow, Given, Item, Kind, Rest, Site, Stage, Toxic};
use crate::clock::Instant;
use crate::diagnostics::Reader;

pub(super) const KIND: Kind = Kind {
    name: "cut",
    is_toxiproxys: false,
    summary: "ends the connection `after` it opened (or the toxic was added), also while data flows; \
              `how` = close | reset",
    numbers: &[("after", Unit::Milliseconds)],
    others: &["how"],
    example: "after = \"30s\"\nhow = \"reset\"\n",
    compile,
};

fn compile(reader: &mut Reader<'_>) -> Option<Arc<dyn Toxic>> {
    let after = amount::time(reader, "after", Unit::Milliseconds);
    let how = choice(reader, "how", &[("close", CloseHow::Close), ("reset", CloseHow::Reset)], CloseHow::Close);
    Some(Arc::new(Cut { after, how }))
}

/// The toxic.
#[derive(Debug, Clone, Copy)]
pub(in crate::faults) struct Cut {
    pub(in crate::faults) after: Duration,
    pub(in crate::faults) how: CloseHow,
}

impl Toxic for Cut {
    fn stage(&self, site: Site) -> Option<Box<dyn Stage>> {
        let since = site.since();
        Some(Box::new(Fuse { ends: (since + self.after, self.how), buffer: Buffer::of(site.rest.items), since }))
    }
}

struct Fuse {
    ends: (Instant, CloseHow),
    buffer: Buffer,
    since: Instant,
}

impl Stage for Fuse {
    fn has_room(&self) -> bool {
        self.buffer.is_empty()
    }

    fn take(&mut self, item: Item) {
        self.buffer.push(item);
    }

    fn give(&mut self, _: Instant) -> Given {
        self.buffer.pop().map_or(Given::Nothing, Given::Item)
    }

    fn ends(&self) -> Option<(Instant, CloseHow)> {
        Some(self.ends)
    }

    fn leave(&mut self) -> Rest {
        Rest { items: self.buffer.take_all(), since: Some(self.since), ..Rest::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Bench, MS};
    use super::*;

    #[test]
    fn the_time_counts_from_the_beginning_whatever_flows_or_changes() {
        let mut bench = Bench::new("type = \"cut\"\nattributes = { after = 100 }");
        bench.at(50).data("x");
        assert_eq!(bench.drain(), [(50, "x")]);
        bench.at(70).change("type = \"cut\"\nattributes = { after = 80, how = \"reset\" }");
        assert_eq!(bench.stage.ends(), Some((bench.start + MS * 80, CloseHow::Reset)));
    }
}
