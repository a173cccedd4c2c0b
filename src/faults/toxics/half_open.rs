//! `half_open`: the other side is gone, and nobody said so.

use std::sync::Arc;

use super::{CloseHow, Given, Item, Kind, Rest, Site, Stage, Toxic};
use crate::clock::Instant;
use crate::diagnostics::Reader;

pub(super) const KIND: Kind = Kind {
    name: "half_open",
    is_toxiproxys: false,
    summary: "nothing arrives any more, not even the end, as from a peer whose machine is gone; RST when it is removed",
    numbers: &[],
    others: &[],
    example: "",
    compile,
};

#[derive(Debug)]
struct HalfOpen;

fn compile(_: &mut Reader<'_>) -> Option<Arc<dyn Toxic>> {
    Some(Arc::new(HalfOpen))
}

impl Toxic for HalfOpen {
    fn stage(&self, site: Site) -> Option<Box<dyn Stage>> {
        Some(Box::new(Gone { since: site.since() }))
    }
}

struct Gone {
    since: Instant,
}

impl Stage for Gone {
    fn has_room(&self) -> bool {
        true
    }

    fn take(&mut self, _: Item) {}

    fn give(&mut self, _: Instant) -> Given {
        Given::Nothing
    }

    fn closes_when_removed(&self) -> Option<CloseHow> {
        Some(CloseHow::Reset)
    }

    fn leave(&mut self) -> Rest {
        Rest { since: Some(self.since), ..Rest::default() }
    }
}
