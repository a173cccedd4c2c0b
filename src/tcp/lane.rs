//! One direction of a connection: from a socket, through the stages that act on it, to the other socket.
//!
//! Without stages bytes go from the thread's own buffer straight to the other socket, and a lane that is idle owns no
//! memory but itself. With stages every read becomes an item of its own size.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::counters::Moved;
use crate::clock::{self, Instant};
use crate::faults::CloseHow;
use crate::faults::toxics::{Given, Item, Rest, Stage};

/// Read at once: large enough for bulk, small enough to stay in the cache.
const READ: usize = 64 * 1024;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into());
}

/// Who put a stage into a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// A toxic of the proxy, by its id.
    Toxic(u64),
    /// A fault of a hit of a plan.
    Rule {
        plan: usize,
        hit: usize,
        fault: usize,
        /// A fault may be several stages.
        part: usize,
    },
}

/// A stage in its place.
pub(super) struct Slot {
    pub(super) owner: Owner,
    pub(super) revision: u64,
    pub(super) stage: Box<dyn Stage>,
    /// It has been given something, or has ended the connection.
    pub(super) acted: bool,
}

/// How far a lane came.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Turn {
    /// Until a socket is ready, or until this time.
    Waits(Option<Instant>),
    /// Its end has been passed on, or nobody is left to pass anything to.
    Done,
    /// A stage ends the connection: what has not been sent by now never is.
    Ends(CloseHow),
}

/// One direction.
#[derive(Default)]
pub(super) struct Lane {
    pub(super) slots: Vec<Slot>,
    /// What has come through all stages and is not written yet.
    out: VecDeque<Item>,
    /// The sender's end was read.
    has_ended: bool,
    /// The end was passed on, or the receiver is gone.
    is_done: bool,
    /// A stage ends the connection once `out` is written.
    ends: Option<CloseHow>,
    /// Since the last time it was asked.
    moved: Moved,
}

impl Lane {
    /// Moves what can be moved now.
    ///
    /// # Errors
    /// When the sender's side broke. A receiver that broke is `Done`: the sender may still be listening.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, from: &mut TcpStream, to: &mut TcpStream) -> io::Result<Turn> {
        loop {
            if self.is_done {
                return Ok(Turn::Done);
            }
            let now = if self.slots.is_empty() { None } else { Some(clock::now()) };
            if let Some(how) = now.and_then(|now| self.ends_by_now(now)) {
                return Ok(Turn::Ends(how));
            }
            let is_written = self.write(cx, to);
            if let Some(how) = self.ends {
                return Ok(if is_written { Turn::Ends(how) } else { Turn::Waits(self.deadline()) });
            }
            let mut next = None;
            if let Some(now) = now {
                let (moved, due) = self.pump(now, is_written);
                if moved {
                    continue;
                }
                next = due;
            } else if !is_written {
                return Ok(Turn::Waits(None));
            }
            if self.has_ended || self.is_done || !self.has_room() {
                if self.is_done {
                    continue;
                }
                return Ok(Turn::Waits(next));
            }
            if self.read(cx, from, to)?.is_pending() {
                return Ok(Turn::Waits(next));
            }
        }
    }

    /// Bytes moved since the last call.
    pub(super) fn take_moved(&mut self) -> Moved {
        std::mem::take(&mut self.moved)
    }

    /// Nothing is on its way.
    pub(super) fn is_empty(&self) -> bool {
        self.out.is_empty() && self.slots.is_empty()
    }

    /// Takes a stage out. What it held goes to the stage behind it; `Some` if the connection cannot go on.
    pub(super) fn remove(&mut self, at: usize) -> Option<CloseHow> {
        let mut slot = self.slots.remove(at);
        let closes = slot.stage.closes_when_removed();
        for item in slot.stage.leave().items {
            match self.slots.get_mut(at) {
                Some(behind) => behind.stage.take(item),
                None => self.out.push_back(item),
            }
        }
        closes
    }

    /// What the stage at this place leaves to its successor.
    pub(super) fn leave(&mut self, at: usize) -> Rest {
        self.slots.get_mut(at).map(|slot| slot.stage.leave()).unwrap_or_default()
    }

    fn ends_by_now(&mut self, now: Instant) -> Option<CloseHow> {
        let due = |slot: &&mut Slot| slot.stage.ends().is_some_and(|(at, _)| at <= now);
        let slot = self.slots.iter_mut().find(due)?;
        slot.acted = true;
        slot.stage.ends().map(|(_, how)| how)
    }

    /// When the first stage ends the connection.
    fn deadline(&self) -> Option<Instant> {
        self.slots.iter().filter_map(|slot| slot.stage.ends()).map(|(at, _)| at).min()
    }

    fn has_room(&self) -> bool {
        match self.slots.first() {
            Some(first) => first.stage.has_room(),
            None => self.out.is_empty(),
        }
    }

    /// Moves items on from stage to stage, the last one first. Whether any moved, and when to ask again if none did.
    fn pump(&mut self, now: Instant, is_written: bool) -> (bool, Option<Instant>) {
        let mut next = self.deadline();
        let mut moved = false;
        for at in (0..self.slots.len()).rev() {
            loop {
                let has_room = match self.slots.get(at + 1) {
                    Some(behind) => behind.stage.has_room(),
                    None => is_written && self.out.is_empty() && self.ends.is_none(),
                };
                if !has_room {
                    break;
                }
                match self.slots[at].stage.give(now) {
                    Given::Nothing => break,
                    Given::At(due) => {
                        next = Some(next.map_or(due, |next| next.min(due)));
                        break;
                    }
                    Given::Item(item) => {
                        moved = true;
                        self.enter(at + 1, item);
                    }
                    Given::Close(how) => {
                        moved = true;
                        self.slots[at].acted = true;
                        self.end_behind(at, how);
                        return (moved, None);
                    }
                }
            }
        }
        (moved, next)
    }

    /// The connection ends here: what is beyond this stage is still sent, as fast as it goes.
    fn end_behind(&mut self, at: usize, how: CloseHow) {
        while self.slots.len() > at + 1 {
            self.remove(at + 1);
        }
        self.ends = Some(how);
        self.has_ended = true;
    }

    /// Gives an item to the stage at this place, or to the way out.
    fn enter(&mut self, at: usize, item: Item) {
        match self.slots.get_mut(at) {
            Some(slot) => {
                slot.acted = true;
                slot.stage.take(item);
            }
            None => self.out.push_back(item),
        }
    }

    /// Reads once. Ready when it is worth while to go on.
    fn read(&mut self, cx: &mut Context<'_>, from: &mut TcpStream, to: &mut TcpStream) -> io::Result<Poll<()>> {
        BUFFER.with_borrow_mut(|buffer| {
            let mut buffer = ReadBuf::new(buffer);
            match Pin::new(from).poll_read(cx, &mut buffer) {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(read) => read?,
            }
            let data = buffer.filled();
            self.moved.received += data.len() as u64;
            if data.is_empty() {
                self.has_ended = true;
                self.enter(0, Item::End { arrived: clock::now() });
            } else if self.slots.is_empty() {
                self.forward(cx, data, to);
            } else {
                self.enter(0, Item::Data { bytes: Bytes::copy_from_slice(data), arrived: clock::now() });
            }
            Ok(Poll::Ready(()))
        })
    }

    /// Straight on; what the socket does not take is kept.
    fn forward(&mut self, cx: &mut Context<'_>, data: &[u8], to: &mut TcpStream) {
        match Pin::new(to).poll_write(cx, data) {
            Poll::Ready(Ok(sent)) => {
                self.moved.sent += sent as u64;
                if sent < data.len() {
                    self.keep(&data[sent..]);
                }
            }
            Poll::Ready(Err(_)) => self.give_up(),
            Poll::Pending => self.keep(data),
        }
    }

    fn keep(&mut self, data: &[u8]) {
        self.out.push_back(Item::Data { bytes: Bytes::copy_from_slice(data), arrived: clock::now() });
    }

    /// Writes what waits; true when nothing does any more.
    fn write(&mut self, cx: &mut Context<'_>, to: &mut TcpStream) -> bool {
        while let Some(first) = self.out.front_mut() {
            let written = match first {
                Item::Data { bytes, .. } => Pin::new(&mut *to).poll_write(cx, bytes),
                Item::End { .. } => Pin::new(&mut *to).poll_shutdown(cx).map_ok(|()| 0),
            };
            match (written, first) {
                (Poll::Pending, _) => return false,
                (Poll::Ready(Ok(sent)), Item::Data { bytes, .. }) => {
                    self.moved.sent += sent as u64;
                    bytes.advance(sent);
                    if bytes.is_empty() {
                        self.out.pop_front();
                    }
                }
                (Poll::Ready(Ok(_)), Item::End { .. }) => {
                    self.is_done = true;
                    self.out.clear();
                }
                (Poll::Ready(Err(_)), _) => self.give_up(),
            }
        }
        if self.out.capacity() > 64 {
            self.out = VecDeque::new(); // a connection that once was slow need not keep its pile
        }
        true
    }

    /// The receiver is gone: nothing of this direction matters any more.
    fn give_up(&mut self) {
        self.is_done = true;
        self.out.clear();
        self.slots.clear();
    }
}
