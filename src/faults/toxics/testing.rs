//! A stage on a clock that the test moves.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::diagnostics::{Node, Reader};

pub(super) const MS: Duration = Duration::from_millis(1);

pub(super) fn read(toml: &str) -> Result<ToxicSpec, String> {
    let node = Node::from_toml("b.toml", toml).unwrap();
    let problems = RefCell::default();
    let spec = read_toxic(Reader::new("b.toml", &node, "", &problems), "proxy \"p\"");
    let problems = problems.into_inner();
    assert_eq!(problems.is_empty(), spec.is_some(), "a toxic or a reason why not: {problems}");
    spec.ok_or_else(|| problems.to_string())
}

fn toxic(toml: &str) -> Arc<dyn Toxic> {
    read(toml).unwrap_or_else(|problems| panic!("{problems}")).toxic
}

/// One stage, and milliseconds since the start as the time.
pub(super) struct Bench {
    pub(super) stage: Box<dyn Stage>,
    pub(super) start: Instant,
    pub(super) now: Instant,
    texts: Vec<&'static str>,
}

impl Bench {
    pub(super) fn new(toml: &str) -> Self {
        let now = Instant::now();
        let site = Site { dice: Dice::new(1, 2, 3), now, rest: Rest::default() };
        Self { stage: toxic(toml).stage(site).unwrap(), start: now, now, texts: Vec::new() }
    }

    pub(super) fn at(&mut self, ms: u64) -> &mut Self {
        self.now = self.start + MS * u32::try_from(ms).unwrap();
        self
    }

    pub(super) fn data(&mut self, text: &str) {
        let text: &'static str = Box::leak(text.to_owned().into_boxed_str());
        self.texts.push(text);
        self.stage.take(Item::Data { bytes: Bytes::from_static(text.as_bytes()), arrived: self.now });
    }

    pub(super) fn end(&mut self) {
        self.stage.take(Item::End { arrived: self.now });
    }

    pub(super) fn change(&mut self, toml: &str) {
        let site = Site { dice: Dice::new(1, 2, 3), now: self.now, rest: self.stage.leave() };
        self.stage = toxic(toml).stage(site).unwrap();
    }

    /// Everything that comes out, with the millisecond at which it does, going ahead in time as asked.
    pub(super) fn drain(&mut self) -> Vec<(u64, &'static str)> {
        let mut out = Vec::new();
        loop {
            let ms = (self.now - self.start).as_micros().div_ceil(1000) as u64;
            match self.stage.give(self.now) {
                Given::Item(Item::Data { bytes, .. }) => {
                    let text = String::from_utf8(bytes.to_vec()).unwrap();
                    out.push((ms, &*Box::leak(text.into_boxed_str())));
                }
                Given::Item(Item::End { .. }) => out.push((ms, "END")),
                Given::At(due) => {
                    assert!(due > self.now, "a stage never asks for the past");
                    self.now = due;
                }
                Given::Nothing => return out,
                Given::Close(how) => {
                    out.push((ms, if how == CloseHow::Close { "CLOSE" } else { "RESET" }));
                    return out;
                }
            }
        }
    }

    /// All bytes that come out.
    pub(super) fn bytes(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        loop {
            match self.stage.give(self.now) {
                Given::Item(Item::Data { bytes, .. }) => out.extend_from_slice(&bytes),
                Given::At(due) => self.now = due,
                _ => return out,
            }
        }
    }
}
