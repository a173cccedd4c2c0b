//! `accept_delay`: the upstream is contacted late, so that a server's greeting comes late.

use std::sync::Arc;
use std::time::Duration;

use super::amount::{self, Unit};
use super::{Kind, OnAccept, Toxic};
use crate::diagnostics::Reader;
use crate::dice::Dice;

pub(super) const KIND: Kind = Kind {
    name: "accept_delay",
    is_toxiproxys: false,
    summary: "new connections wait for `delay` before the upstream is contacted",
    numbers: &[("delay", Unit::Milliseconds)],
    others: &[],
    example: "delay = \"1s\"\n",
    compile,
};

#[derive(Debug)]
struct AcceptDelay {
    delay: Duration,
}

fn compile(reader: &mut Reader<'_>) -> Option<Arc<dyn Toxic>> {
    Some(Arc::new(AcceptDelay { delay: amount::time(reader, "delay", Unit::Milliseconds) }))
}

impl Toxic for AcceptDelay {
    fn on_accept(&self, _: u64, _: Dice) -> OnAccept {
        OnAccept { delay: self.delay, refusal: None }
    }
}
