//! Toxics: what can happen to the bytes of a TCP connection, one pure file each.
//!
//! A [`Toxic`] is what was configured, shared by all connections. On one direction of one connection it becomes a
//! [`Stage`]: it takes items in as they arrive and says which of them may go on, and when. It never sleeps; whoever
//! drives it asks again at the time it named. Toxiproxy's toxics have its names, attributes and defaults; the others
//! go beyond it. What is asked of a connection before it has an upstream is [`Toxic::on_accept`].
//!
//! Adding a toxic: one file here, and two adjacent lines below (`mod` and its row in [`KINDS`]).

mod amount;
mod buffer;

mod accept_delay;
mod bandwidth;
mod blackhole;
mod connections;
mod corrupt;
mod cut;
mod down;
mod half_open;
mod latency;
mod limit_data;
mod loss;
mod noop;
mod partition;
mod queue;
mod refuse;
mod reset_peer;
mod silence;
mod slicer;
mod slow_close;
mod timeout;

mod compile;

use std::collections::VecDeque;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

pub use amount::Unit;
pub use compile::{ToxicSpec, attributes, compile, kind, read_toxic};

use super::{CloseHow, Side};
use crate::clock::Instant;
use crate::diagnostics::Reader;
use crate::dice::Dice;

pub(super) use bandwidth::Bandwidth;
pub(super) use cut::Cut;
pub(super) use latency::Latency;
pub(super) use limit_data::LimitData;
pub(super) use refuse::Refuse;
pub(super) use silence::Silence;

/// A direction of a connection, in Toxiproxy's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stream {
    /// From the client to the upstream.
    Upstream,
    /// From the upstream to the client.
    Downstream,
}

impl Stream {
    /// The word in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Upstream => "upstream",
            Self::Downstream => "downstream",
        }
    }

    /// The stream that a word means, whatever its case.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Upstream, Self::Downstream].into_iter().find(|stream| stream.name().eq_ignore_ascii_case(text))
    }
}

impl From<Side> for Stream {
    /// The request goes up, the response comes down.
    fn from(side: Side) -> Self {
        match side {
            Side::Request => Self::Upstream,
            Side::Response => Self::Downstream,
        }
    }
}

/// What moves in one direction.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// Bytes, and when they were read.
    Data {
        /// Never empty.
        bytes: Bytes,
        /// Read from the socket at this time.
        arrived: Instant,
    },
    /// The sender will send no more.
    End {
        /// Its FIN was read at this time.
        arrived: Instant,
    },
}

/// What a stage lets go.
#[derive(Debug, Clone, PartialEq)]
pub enum Given {
    /// This goes on now.
    Item(Item),
    /// Nothing before this time; ask again then.
    At(Instant),
    /// Nothing until more is taken in.
    Nothing,
    /// The connection ends, once what went on before has been sent.
    Close(CloseHow),
}

/// What a stage leaves behind when its toxic is removed or changed.
#[derive(Debug, Default)]
pub struct Rest {
    /// What it held, in order.
    pub items: VecDeque<Item>,
    /// Bytes that had gone on.
    pub passed: u64,
    /// When it took hold of the connection.
    pub since: Option<Instant>,
}

/// Where a stage takes hold.
#[derive(Debug)]
pub struct Site {
    /// The chance of this toxic on this direction of this connection.
    pub dice: Dice,
    /// The time.
    pub now: Instant,
    /// What the stage of the same toxic before a change left; empty at first.
    pub rest: Rest,
}

impl Site {
    /// When the toxic took hold of the connection: changes do not start it anew.
    pub fn since(&self) -> Instant {
        self.rest.since.unwrap_or(self.now)
    }
}

/// A toxic on one direction of one connection.
pub trait Stage: Send {
    /// Whether it should be given more. It takes more all the same, when a stage before it is removed.
    fn has_room(&self) -> bool;

    /// Takes the next item in.
    fn take(&mut self, item: Item);

    /// What goes on now. Asked again until it gives nothing.
    fn give(&mut self, now: Instant) -> Given;

    /// When, and how, the connection ends whatever flows; `None` if it does not.
    fn ends(&self) -> Option<(Instant, CloseHow)> {
        None
    }

    /// Whether the connection cannot go on once the toxic is gone: bytes are missing from it.
    fn closes_when_removed(&self) -> Option<CloseHow> {
        None
    }

    /// Everything that it holds. It is not used any more.
    fn leave(&mut self) -> Rest;
}

/// What is done with a connection that was just accepted.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct OnAccept {
    /// The upstream is contacted this much later.
    pub delay: Duration,
    /// It is not contacted at all.
    pub refusal: Option<Refusal>,
}

/// How a connection is refused after its handshake, which is the kernel's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Closed at once.
    Close(CloseHow),
    /// Kept, and never answered.
    Silence,
}

/// One configured toxic. Every hook has a default that does nothing.
pub trait Toxic: Send + Sync + Debug {
    /// Its state on one direction of one connection; `None` if it does nothing to the bytes. Called again, with the
    /// rest of the former stage, when the toxic's attributes change.
    fn stage(&self, site: Site) -> Option<Box<dyn Stage>> {
        let _ = site;
        None
    }

    /// Asked when a connection was accepted; `open` counts the proxy's connections, this one included.
    fn on_accept(&self, open: u64, dice: Dice) -> OnAccept {
        let _ = (open, dice);
        OnAccept::default()
    }
}

/// One row per file of this folder that can be configured by name.
pub struct Kind {
    /// Its `type`.
    pub name: &'static str,
    /// Whether Toxiproxy has it, too.
    pub is_toxiproxys: bool,
    /// One line: what it does.
    pub summary: &'static str,
    /// Attributes that are numbers, 0 unless given, in the order in which they are shown.
    pub numbers: &'static [(&'static str, Unit)],
    /// Other attributes, shown only if given.
    pub others: &'static [&'static str],
    /// Attributes, as TOML, that must compile.
    pub example: &'static str,
    /// Builds it; `None` when a problem was recorded in the reader.
    pub compile: fn(&mut Reader<'_>) -> Option<Arc<dyn Toxic>>,
}

/// Every kind of toxic there is, Toxiproxy's first.
pub static KINDS: &[Kind] = &[
    latency::KIND,
    bandwidth::KIND,
    slow_close::KIND,
    timeout::KIND,
    reset_peer::KIND,
    slicer::KIND,
    limit_data::KIND,
    noop::KIND,
    down::KIND,
    cut::KIND,
    corrupt::KIND,
    refuse::KIND,
    blackhole::KIND,
    accept_delay::KIND,
    loss::KIND,
    half_open::KIND,
    partition::KIND,
    connections::KIND,
];

/// The table of all kinds as Markdown, for the manual.
pub fn markdown_table() -> String {
    let mut table = String::from("| type | attributes | what it does |\n|---|---|---|\n");
    for kind in KINDS {
        let numbers = kind.numbers.iter().map(|(name, unit)| format!("`{name}` ({})", unit.word()));
        let attributes = numbers.chain(kind.others.iter().map(|name| format!("`{name}`"))).collect::<Vec<_>>();
        let attributes = if attributes.is_empty() { "none".to_owned() } else { attributes.join(", ") };
        table.push_str(&format!("| `{}` | {attributes} | {} |\n", kind.name, kind.summary.replace('|', "\\|")));
    }
    table
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
