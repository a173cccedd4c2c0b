//! `noop`: nothing, for clients that check that they can.

use std::sync::Arc;

use super::{Kind, Toxic};
use crate::diagnostics::Reader;

pub(super) const KIND: Kind =
    Kind { name: "noop", is_toxiproxys: true, summary: "nothing", numbers: &[], others: &[], example: "", compile };

#[derive(Debug)]
struct Noop;

impl Toxic for Noop {}

fn compile(_: &mut Reader<'_>) -> Option<Arc<dyn Toxic>> {
    Some(Arc::new(Noop))
}
