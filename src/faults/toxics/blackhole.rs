//! `blackhole`: a connection that nobody ever answers.

use std::sync::Arc;

use super::{Kind, OnAccept, Refusal, Toxic};
use crate::diagnostics::Reader;
use crate::dice::Dice;

pub(super) const KIND: Kind = Kind {
    name: "blackhole",
    is_toxiproxys: false,
    summary: "new connections stand and are never answered; the upstream is not contacted",
    numbers: &[],
    others: &[],
    example: "",
    compile,
};

#[derive(Debug)]
struct Blackhole;

fn compile(_: &mut Reader<'_>) -> Option<Arc<dyn Toxic>> {
    Some(Arc::new(Blackhole))
}

impl Toxic for Blackhole {
    fn on_accept(&self, _: u64, _: Dice) -> OnAccept {
        OnAccept { refusal: Some(Refusal::Silence), ..OnAccept::default() }
    }
}
