//! `timeout`: bytes vanish, then the connection closes.

use std::sync::Arc;
use std::time::Duration;

use super::amount::{self, Unit};
use super::{CloseHow, Given, Item, Kind, Rest, Site, Stage, Toxic};
use crate::clock::Instant;
use crate::diagnostics::Reader;

pub(super) const KIND: Kind = Kind {
    name: "timeout",
    is_toxiproxys: true,
    summary: "drops all data and closes after `timeout` without any; 0 never closes until it is removed",
    numbers: &[("timeout", Unit::Milliseconds)],
    others: &[],
    example: "timeout = 5000\n",
    compile,
};

fn compile(reader: &mut Reader<'_>) -> Option<Arc<dyn Toxic>> {
    let timeout = amount::time(reader, "timeout", Unit::Milliseconds);
    Some(Arc::new(Timeout { timeout: Some(timeout).filter(|timeout| !timeout.is_zero()) }))
}

#[derive(Debug)]
struct Timeout {
    timeout: Option<Duration>,
}

impl Toxic for Timeout {
    fn stage(&self, site: Site) -> Option<Box<dyn Stage>> {
        let since = site.since();
        let mut drain = Drain { timeout: self.timeout, quiet_since: site.now, end: None, since };
        site.rest.items.into_iter().for_each(|item| drain.take(item));
        Some(Box::new(drain))
    }
}

struct Drain {
    timeout: Option<Duration>,
    quiet_since: Instant,
    end: Option<Item>,
    since: Instant,
}

impl Stage for Drain {
    fn has_room(&self) -> bool {
        true
    }

    fn take(&mut self, item: Item) {
        match item {
            Item::Data { arrived, .. } => self.quiet_since = self.quiet_since.max(arrived),
            end @ Item::End { .. } => self.end = Some(end),
        }
    }

    fn give(&mut self, _: Instant) -> Given {
        self.end.take().map_or(Given::Nothing, Given::Item)
    }

    fn ends(&self) -> Option<(Instant, CloseHow)> {
        self.timeout.map(|timeout| (self.quiet_since + timeout, CloseHow::Close))
    }

    fn closes_when_removed(&self) -> Option<CloseHow> {
        Some(CloseHow::Close)
    }

    fn leave(&mut self) -> Rest {
        Rest { items: self.end.take().into_iter().collect(), since: Some(self.since), ..Rest::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Bench, MS};
    use super::*;

    #[test]
    fn bytes_vanish_and_silence_closes() {
        let mut bench = Bench::new("type = \"timeout\"\nattributes = { timeout = 100 }");
        assert_eq!(bench.stage.ends(), Some((bench.start + MS * 100, CloseHow::Close)));
        bench.at(60).data("x");
        assert_eq!(bench.stage.ends(), Some((bench.start + MS * 160, CloseHow::Close)), "data starts the time anew");
        bench.end();
        assert_eq!(bench.drain(), [(60, "END")]);
        assert_eq!(bench.stage.closes_when_removed(), Some(CloseHow::Close));
    }

    #[test]
    fn zero_never_closes() {
        let bench = Bench::new("type = \"timeout\"");
        assert_eq!(bench.stage.ends(), None);
    }
}
