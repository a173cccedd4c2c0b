//! A connection with its upstream: two lanes, driven as one state machine.
//!
//! It is polled when a socket is ready, when a stage is due, or when orders have changed; whatever can be moved by then is
//! moved in one go. An idle one holds two sockets, two empty lanes and a place in the queue for orders.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;

use super::counters::Moved;
use super::lane::{Lane, Turn};
use super::orders::{Ending, Orders};
use super::suffering::Suffering;
use crate::clock::{self, Instant, Sleep};
use crate::faults::CloseHow;

/// While a proxy drains, a connection on which nothing has moved for so long is over.
const IDLE: Duration = Duration::from_secs(1);

/// Hears of moved bytes: those of the upstream's lane, then those of the client's.
pub(super) type Tell<'a> = &'a mut (dyn FnMut(Moved, Moved) + Send);

/// How a link ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parting {
    /// Both sides have said goodbye.
    Goodbye,
    /// One of them broke off, so the other is reset, too.
    Broken,
    /// A stage, or the removal of one, ended it so.
    Injected(CloseHow),
    /// The proxy was stopped.
    Stopped,
}

type Changed = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Two sockets and what lies between them.
pub(super) struct Link {
    client: TcpStream,
    upstream: TcpStream,
    up: Lane,
    down: Lane,
    suffering: Suffering,
    orders: watch::Receiver<Orders>,
    changed: Changed,
    timer: Option<Sleep>,
    ending: Ending,
    last_moved: Instant,
    /// Whether one side's end leaves the other side open.
    half_close: bool,
}

impl Link {
    pub(super) fn new(
        sockets: (TcpStream, TcpStream),
        suffering: Suffering,
        orders: watch::Receiver<Orders>,
        half_close: bool,
    ) -> Self {
        let changed = on_change(orders.clone());
        let mut link = Self {
            client: sockets.0,
            upstream: sockets.1,
            up: Lane::default(),
            down: Lane::default(),
            suffering,
            orders,
            changed,
            timer: None,
            ending: Ending::Stay,
            last_moved: clock::now(),
            half_close,
        };
        // What the connection was told at the door acts on its first byte.
        let _ = link.obey();
        link
    }

    /// Moves bytes until it is over; both sockets, to be closed as the parting says.
    pub(super) async fn run(mut self, tell: Tell<'_>) -> (Parting, TcpStream, TcpStream) {
        let parting = poll_fn(|cx| self.poll(cx, tell)).await;
        if matches!(parting, Parting::Goodbye | Parting::Broken) {
            self.suffering.departed();
        }
        (parting, self.client, self.upstream)
    }

    fn poll(&mut self, cx: &mut Context<'_>, tell: &mut (dyn FnMut(Moved, Moved) + Send)) -> Poll<Parting> {
        loop {
            if let Some(parting) = self.listen(cx) {
                return Poll::Ready(parting);
            }
            let up = self.up.poll(cx, &mut self.client, &mut self.upstream);
            let down = self.down.poll(cx, &mut self.upstream, &mut self.client);
            self.account(tell);
            let parting = match (up, down) {
                (Err(_), _) | (_, Err(_)) => Some(Parting::Broken),
                (Ok(Turn::Ends(how)), _) | (_, Ok(Turn::Ends(how))) => Some(Parting::Injected(how)),
                (Ok(Turn::Done), Ok(Turn::Done)) => Some(Parting::Goodbye),
                (Ok(Turn::Done), _) | (_, Ok(Turn::Done)) if !self.half_close => Some(Parting::Goodbye),
                (Ok(_), Ok(_)) if self.is_over() => Some(Parting::Stopped),
                (Ok(up), Ok(down)) => {
                    if self.sleep(cx, earliest(up, down)).is_ready() {
                        continue;
                    }
                    None
                }
            };
            return parting.map_or(Poll::Pending, Poll::Ready);
        }
    }

    /// Obeys orders, if there are new ones. Asked at every turn: a wake-up that brings nothing new uses up its place in
    /// the queue.
    fn listen(&mut self, cx: &mut Context<'_>) -> Option<Parting> {
        while self.changed.as_mut().poll(cx).is_ready() {
            if let Some(parting) = self.obey() {
                return Some(parting);
            }
            self.changed = on_change(self.orders.clone());
        }
        None
    }

    fn obey(&mut self) -> Option<Parting> {
        let is_alone = self.orders.has_changed().is_err();
        let orders = self.orders.borrow_and_update().clone();
        self.ending = orders.ending;
        if is_alone || orders.ending == Ending::Now {
            return Some(Parting::Stopped);
        }
        self.suffering.apply(&orders, &mut self.up, &mut self.down, clock::now()).map(Parting::Injected)
    }

    /// Tells what has moved.
    fn account(&mut self, tell: &mut (dyn FnMut(Moved, Moved) + Send)) {
        let (up, down) = (self.up.take_moved(), self.down.take_moved());
        if up != Moved::default() || down != Moved::default() {
            self.last_moved = clock::now();
            tell(up, down);
        }
        self.suffering.book([&mut self.up, &mut self.down]);
    }

    /// The proxy drains, and nothing has moved for long enough.
    fn is_over(&self) -> bool {
        self.over_at().is_some_and(|at| at <= clock::now())
    }

    fn over_at(&self) -> Option<Instant> {
        let is_idle = self.ending == Ending::WhenIdle && self.up.is_empty() && self.down.is_empty();
        is_idle.then(|| self.last_moved + IDLE)
    }

    /// Waits for the earliest of what is due. Ready when something is.
    fn sleep(&mut self, cx: &mut Context<'_>, next: Option<Instant>) -> Poll<()> {
        let next = self.over_at().into_iter().chain(next).min();
        let Some(next) = next else {
            self.timer = None;
            return Poll::Pending;
        };
        let timer = match &mut self.timer {
            Some(timer) if timer.deadline() == next => timer,
            timer => timer.insert(clock::sleep_until(next)),
        };
        Pin::new(timer).poll(cx)
    }
}

fn on_change(mut orders: watch::Receiver<Orders>) -> Changed {
    Box::pin(async move {
        let _ = orders.changed().await;
    })
}

fn earliest(a: Turn, b: Turn) -> Option<Instant> {
    let due = |turn| if let Turn::Waits(due) = turn { due } else { None };
    match (due(a), due(b)) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
