//! The life of one connection of a TCP proxy, top to bottom.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::counters::{Counters, Moved};
use super::dial::Upstreams;
use super::farewell;
use super::link::{Link, Parting};
use super::listener::Spec;
use super::orders::{Ending, Orders};
use super::suffering::{Identity, Suffering};
use crate::clock::{self, Instant};
use crate::faults::CloseHow;
use crate::faults::toxics::Refusal;
use crate::rules::Store;
use crate::telemetry::events::{ConnectionEvent, ExchangeOutcome, Observer, Trouble};

/// What all connections of a proxy share.
pub(super) struct Common {
    pub(super) spec: Spec,
    pub(super) name: Arc<str>,
    pub(super) upstreams: Upstreams,
    pub(super) orders: watch::Receiver<Orders>,
    pub(super) rules: Arc<Store>,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) counters: Counters,
    /// Accepted so far.
    pub(super) accepted: AtomicU64,
    /// Open now.
    pub(super) open: AtomicU64,
    pub(super) seed: u64,
    pub(super) strict: bool,
}

/// How a connection ended, for those who count.
struct Ended {
    outcome: ExchangeOutcome,
    trouble: Option<Trouble>,
}

impl Ended {
    fn new(outcome: ExchangeOutcome) -> Self {
        Self { outcome, trouble: None }
    }
}

/// What comes of waiting at the door.
enum Door {
    /// The upstream is contacted.
    Pass,
    /// The connection is closed so.
    Shut(CloseHow, ExchangeOutcome),
    /// The client has left.
    Left,
}

/// Serves a connection from its accept to its end.
pub(super) async fn serve(common: Arc<Common>, shard: usize, client: TcpStream) {
    let open = Open::new(common.clone());
    let started = clock::now();
    let mut bytes = (0, 0);
    let ended = live(&common, shard, client, open.now, &mut bytes).await;
    let duration = clock::now() - started;
    let (proxy, Ended { outcome, trouble }) = (&*common.name, ended);
    common.observer.connection_ended(&ConnectionEvent { proxy, outcome, trouble, duration, bytes });
}

async fn live(common: &Arc<Common>, shard: usize, client: TcpStream, open: u64, bytes: &mut (u64, u64)) -> Ended {
    let _ = client.set_nodelay(true);
    let mut orders = common.orders.clone();
    // Toxics and rules may delay or refuse it; a proxy that is full does.
    let number = common.accepted.fetch_add(1, Relaxed);
    let identity = Identity { proxy: common.name.clone(), number, seed: common.seed, strict: common.strict };
    let mut suffering = Suffering::new(identity, common.rules.clone());
    let is_full = common.spec.max_connections.is_some_and(|most| open > u64::from(most.get()));
    let door = if is_full {
        Door::Shut(CloseHow::Reset, ExchangeOutcome::Injected)
    } else {
        at_door(&client, &mut suffering, &mut orders, open).await
    };
    match door {
        Door::Pass => {}
        Door::Left => return Ended::new(ExchangeOutcome::ClientGone),
        Door::Shut(how, outcome) => {
            farewell::end(client, how).await;
            return Ended::new(outcome);
        }
    }
    // In this task, so that accepting goes on meanwhile.
    let dialled = tokio::select! {
        biased;
        dialled = common.upstreams.dial() => dialled,
        () = told_to_end(&mut orders) => return Ended::new(ExchangeOutcome::Forwarded),
    };
    let upstream = match dialled {
        Ok(upstream) => upstream,
        Err(trouble) => {
            tracing::debug!(proxy = &*common.name, reason = trouble.name(), "no connection to the upstream");
            // The client would have been refused, so it does not get a polite end.
            farewell::end(client, CloseHow::Reset).await;
            return Ended { outcome: ExchangeOutcome::UpstreamError, trouble: Some(trouble) };
        }
    };
    let mut tell = |up: Moved, down: Moved| {
        common.counters.of(shard).add(up, down);
        common.observer.moved(&common.name, up.received, down.sent);
        *bytes = (bytes.0 + up.received, bytes.1 + down.sent);
    };
    let link = Link::new((client, upstream), suffering, orders, !common.strict);
    let (parting, client, upstream) = Box::pin(link.run(&mut tell)).await;
    part(parting, client, upstream).await
}

/// Closes both sides as the parting says.
async fn part(parting: Parting, client: TcpStream, upstream: TcpStream) -> Ended {
    let (how, outcome) = match parting {
        Parting::Goodbye => return Ended::new(ExchangeOutcome::Forwarded),
        Parting::Broken => (CloseHow::Reset, ExchangeOutcome::Forwarded),
        Parting::Stopped => (CloseHow::Close, ExchangeOutcome::Forwarded),
        Parting::Injected(how) => (how, ExchangeOutcome::Injected),
    };
    tokio::join!(farewell::end(client, how), farewell::end(upstream, how));
    Ended::new(outcome)
}

/// Waits as long as toxics and rules ask for, and looks again whenever they change.
async fn at_door(
    client: &TcpStream,
    suffering: &mut Suffering,
    orders: &mut watch::Receiver<Orders>,
    open: u64,
) -> Door {
    let since: Instant = clock::now();
    loop {
        let now = orders.borrow_and_update().clone();
        if now.ending != Ending::Stay {
            return Door::Shut(CloseHow::Close, ExchangeOutcome::Forwarded);
        }
        let asked = suffering.at_door(&now, open);
        let is_gone = match asked.refusal {
            Some(Refusal::Close(how)) => return Door::Shut(how, ExchangeOutcome::Injected),
            Some(Refusal::Silence) => tokio::select! {
                () = gone(client) => true,
                changed = orders.changed() => changed.is_err(),
            },
            None if clock::now() >= since + asked.delay => return Door::Pass,
            None => tokio::select! {
                () = clock::sleep_until(since + asked.delay) => false,
                changed = orders.changed() => changed.is_err(),
            },
        };
        if is_gone {
            return Door::Left;
        }
    }
}

/// Waits until the client leaves, without reading what it sends: it may be heard yet.
async fn gone(client: &TcpStream) {
    let _ = client.ready(Interest::PRIORITY).await;
}

async fn told_to_end(orders: &mut watch::Receiver<Orders>) {
    let _ = orders.wait_for(|orders| orders.ending == Ending::Now).await;
}

/// Counts a connection for as long as it is open.
struct Open {
    common: Arc<Common>,
    /// With this one.
    now: u64,
}

impl Open {
    fn new(common: Arc<Common>) -> Self {
        common.observer.connections(&common.name, 1);
        let now = common.open.fetch_add(1, Relaxed) + 1;
        Self { common, now }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.common.open.fetch_sub(1, Relaxed);
        self.common.observer.connections(&self.common.name, -1);
    }
}
