//! `connections`: no more than so many at once.

use std::sync::Arc;

use super::amount::{self, Unit};
use super::{CloseHow, Kind, OnAccept, Refusal, Toxic};
use crate::diagnostics::Reader;
use crate::dice::Dice;

pub(super) const KIND: Kind = Kind {
    name: "connections",
    is_toxiproxys: false,
    summary: "resets connections beyond `most` that are open at once",
    numbers: &[("most", Unit::Count)],
    others: &[],
    example: "most = 100\n",
    compile,
};

#[derive(Debug)]
struct Connections {
    most: u64,
}

fn compile(reader: &mut Reader<'_>) -> Option<Arc<dyn Toxic>> {
    Some(Arc::new(Connections { most: amount::count(reader, "most", Unit::Count) }))
}

impl Toxic for Connections {
    fn on_accept(&self, open: u64, _: Dice) -> OnAccept {
        let refusal = (open > self.most).then_some(Refusal::Close(CloseHow::Reset));
        OnAccept { refusal, ..OnAccept::default() }
    }
}
