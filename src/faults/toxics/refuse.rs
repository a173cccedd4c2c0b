//! `refuse`: a connection is reset as soon as it was made.

use std::sync::Arc;

use super::super::choice::choice;
use super::{CloseHow, Kind, OnAccept, Refusal, Toxic};
use crate::diagnostics::Reader;
use crate::dice::Dice;

pub(super) const KIND: Kind = Kind {
    name: "refuse",
    is_toxiproxys: false,
    summary: "resets new connections right after their handshake, which is the kernel's; `how` = reset | close",
    numbers: &[],
    others: &["how"],
    example: "how = \"reset\"\n",
    compile,
};

fn compile(reader: &mut Reader<'_>) -> Option<Arc<dyn Toxic>> {
    let how = choice(reader, "how", &[("reset", CloseHow::Reset), ("close", CloseHow::Close)], CloseHow::Reset);
    Some(Arc::new(Refuse { how }))
}

/// The toxic.
#[derive(Debug, Clone, Copy)]
pub(in crate::faults) struct Refuse {
    pub(in crate::faults) how: CloseHow,
}

impl Toxic for Refuse {
    fn on_accept(&self, _: u64, _: Dice) -> OnAccept {
        OnAccept { refusal: Some(Refusal::Close(self.how)), ..OnAccept::default() }
    }
}
