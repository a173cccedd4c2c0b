//! `down`: nobody is served.

use std::sync::Arc;
use std::time::Duration;

use super::cut::Cut;
use super::{CloseHow, Kind, OnAccept, Refusal, Site, Stage, Toxic};
use crate::diagnostics::Reader;
use crate::dice::Dice;

pub(super) const KIND: Kind = Kind {
    name: "down",
    is_toxiproxys: false,
    summary: "closes the connections that are open and resets those that come; `enabled = false` of a proxy also stops \
              to listen",
    numbers: &[],
    others: &[],
    example: "",
    compile,
};

#[derive(Debug)]
struct Down;

fn compile(_: &mut Reader<'_>) -> Option<Arc<dyn Toxic>> {
    Some(Arc::new(Down))
}

impl Toxic for Down {
    fn stage(&self, site: Site) -> Option<Box<dyn Stage>> {
        Cut { after: Duration::ZERO, how: CloseHow::Close }.stage(site)
    }

    fn on_accept(&self, _: u64, _: Dice) -> OnAccept {
        OnAccept { refusal: Some(Refusal::Close(CloseHow::Reset)), ..OnAccept::default() }
    }
}
