//! One TCP proxy: accept on every shard, orders for what is open, and the way to stop.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::chain::Toxics;
use super::connection::{Common, serve};
use super::counters::{Bytes, Counters};
use super::dial::Upstreams;
use super::orders::{Ending, Orders};
use crate::clock;
use crate::config::ProxyConfig;
use crate::rules::{Ceilings, Concern, Store};
use crate::shards::{self, Shards};
use crate::telemetry::events::Observer;

/// After an accept that failed for want of descriptors, so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How often it is looked whether a rule that rests has begun to act.
const ROUSE_EVERY: Duration = Duration::from_millis(20);

/// What a proxy is started with, apart from its toxics. Two equal values need no restart between them.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// The name: what rules refer to, and the metric label.
    pub name: String,
    /// Where it listens; port 0 asks for any free one.
    pub listen: SocketAddr,
    /// Where connections go, `host:port`, in turn; at least one.
    pub upstreams: Vec<String>,
    /// Until a connection to the upstream stands.
    pub connect_timeout: Duration,
    /// Connections beyond so many are reset.
    pub max_connections: Option<NonZeroU32>,
    /// How many threads serve it.
    pub shards: NonZeroUsize,
}

impl Spec {
    /// Of a `[[proxy]]` with `protocol = "tcp"`.
    pub fn of(config: &ProxyConfig) -> Self {
        Self {
            name: config.name.clone(),
            listen: config.listen,
            upstreams: config.upstreams.iter().map(crate::config::Upstream::authority).collect(),
            connect_timeout: config.timeouts.connect,
            max_connections: config.tcp.max_connections,
            shards: config.shards,
        }
    }
}

/// What every TCP proxy of a process shares.
#[derive(Clone)]
pub struct Around {
    /// The threads.
    pub shards: Arc<Shards>,
    /// The rules, and the off latch.
    pub rules: Arc<Store>,
    /// Whoever listens to the data path.
    pub observer: Arc<dyn Observer>,
    /// The root of the toxics' chance.
    pub seed: u64,
    /// Toxiproxy's behaviour where ours is another one.
    pub strict: bool,
    /// `[safety]`: holds for toxics that come over the API.
    pub ceilings: Ceilings,
}

/// A running TCP proxy. Dropping it stops it at once.
pub struct Proxy {
    common: Arc<Common>,
    address: SocketAddr,
    stop: watch::Sender<bool>,
    accepting: Vec<JoinHandle<()>>,
    open: Draining,
}

/// The connections of a proxy that accepts no more. Dropping it closes them at once.
pub struct Draining {
    tasks: TaskTracker,
    common: Arc<Common>,
    orders: Arc<watch::Sender<Orders>>,
    /// Ends the herald.
    _heard: DropGuard,
    /// Their threads run for as long as they do.
    _shards: Arc<Shards>,
}

impl Proxy {
    /// Binds the listener and starts to accept. The upstream is contacted for each connection, not before.
    ///
    /// # Errors
    /// When the address cannot be bound: taken by somebody else, or not allowed.
    pub fn start(spec: Spec, toxics: Toxics, around: &Around) -> io::Result<Self> {
        let count = spec.shards.get().min(around.shards.count());
        let (address, listeners) = shards::bind(spec.listen, count)?;
        let first = Orders { toxics: Arc::new(toxics), off: around.rules.is_off(), ..Orders::default() };
        let (orders, subscribed) = watch::channel(first);
        let orders = Arc::new(orders);
        let common = Arc::new(Common {
            name: spec.name.as_str().into(),
            upstreams: Upstreams::new(spec.upstreams.clone(), spec.connect_timeout),
            orders: subscribed,
            rules: around.rules.clone(),
            observer: around.observer.clone(),
            counters: Counters::new(count),
            accepted: AtomicU64::new(0),
            open: AtomicU64::new(0),
            seed: around.seed,
            strict: around.strict,
            spec,
        });
        let (stop, stopped) = watch::channel(false);
        let tasks = TaskTracker::new();
        let heard = CancellationToken::new();
        around.shards.spawn(0, herald(common.clone(), orders.clone(), heard.clone()));
        let accepting = listeners.into_iter().enumerate().map(|(shard, listener)| {
            let (common, tasks, stopped) = (common.clone(), tasks.clone(), stopped.clone());
            around.shards.spawn(shard, Accepting { common, shard, tasks, stopped }.run(listener))
        });
        let accepting = accepting.collect();
        let _heard = heard.drop_guard();
        let open = Draining { tasks, common: common.clone(), orders, _heard, _shards: around.shards.clone() };
        Ok(Self { common, address, stop, accepting, open })
    }

    /// What it was started with.
    pub fn spec(&self) -> &Spec {
        &self.common.spec
    }

    /// Where it listens; the real port if any was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Bytes moved so far, those of open connections included.
    pub fn bytes(&self) -> Bytes {
        self.common.counters.total()
    }

    /// Other toxics from now on, also on connections that are open.
    pub fn set_toxics(&self, toxics: Toxics) {
        self.open.orders.send_modify(|orders| {
            orders.toxics = Arc::new(toxics);
            orders.change += 1;
        });
    }

    /// Stops accepting; when this returns the address is free. Connections go on.
    pub async fn close(self) -> Draining {
        self.stop.send_replace(true);
        for accepting in self.accepting {
            let _ = accepting.await;
        }
        self.open
    }

    /// Stops accepting, lets connections end within `limit`, and closes what is left: how many had to be cut.
    pub async fn stop(self, limit: Duration) -> usize {
        self.close().await.wait(limit).await
    }
}

impl Draining {
    /// Connections on which nothing moves end after a second, the others may go on for `limit`: how many had to be cut.
    pub async fn wait(self, limit: Duration) -> usize {
        self.tasks.close();
        self.orders.send_modify(|orders| orders.ending = Ending::WhenIdle);
        tokio::select! {
            () = self.tasks.wait() => {}
            () = clock::sleep(limit) => {}
        }
        let left = self.common.open.load(Relaxed);
        self.orders.send_modify(|orders| orders.ending = Ending::Now);
        self.tasks.wait().await;
        usize::try_from(left).unwrap_or(usize::MAX)
    }

    /// Closes all connections and waits until they are.
    pub async fn cut(self) {
        self.wait(Duration::ZERO).await;
    }
}

impl Drop for Draining {
    fn drop(&mut self) {
        self.orders.send_modify(|orders| orders.ending = Ending::Now);
    }
}

/// Tells the connections of changes in the rules that concern them, for as long as the proxy accepts or has any.
async fn herald(common: Arc<Common>, orders: Arc<watch::Sender<Orders>>, over: CancellationToken) {
    let mut changes = common.rules.changes();
    let mut before = (0, Concern::default());
    loop {
        changes.mark_unchanged();
        let off = common.rules.is_off();
        let set = common.rules.load().clone();
        let now = (set.generation, set.concern(&common.name));
        let is_concerned = before.1 != Concern::default() || now.1 != Concern::default();
        orders.send_if_modified(|orders| {
            let has_news = orders.off != off || (is_concerned && before != now);
            orders.off = off;
            orders.rules += u64::from(has_news);
            has_news
        });
        drop(set);
        before = now;
        // The store tells when a rule ends its time, but not when it begins to act.
        let rouse = async {
            match now.1.resting {
                0 => std::future::pending().await,
                _ => clock::sleep(ROUSE_EVERY).await,
            }
        };
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = rouse => {}
            () = over.cancelled() => return,
        }
    }
}

async fn told_to_stop(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stop| *stop).await;
}

/// The accept loop of one shard.
struct Accepting {
    common: Arc<Common>,
    shard: usize,
    tasks: TaskTracker,
    stopped: watch::Receiver<bool>,
}

impl Accepting {
    async fn run(mut self, listener: StdListener) {
        let listener = match TcpListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => {
                return tracing::error!(proxy = &*self.common.name, %error, "the listener cannot be used");
            }
        };
        loop {
            let accepted = tokio::select! {
                biased;
                () = told_to_stop(&mut self.stopped) => return self.accept_rest(listener),
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((socket, _)) => self.serve(socket),
                Err(error) => {
                    tracing::warn!(proxy = &*self.common.name, %error, "a connection could not be accepted");
                    clock::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Whoever has connected before the end is served, or closed with a FIN instead of a RST.
    fn accept_rest(&self, listener: TcpListener) {
        let Ok(listener) = listener.into_std() else { return };
        while let Ok((socket, _)) = listener.accept() {
            let _ = socket.set_nonblocking(true);
            if let Ok(socket) = TcpStream::from_std(socket) {
                self.serve(socket);
            }
        }
    }

    fn serve(&self, socket: TcpStream) {
        self.tasks.spawn(serve(self.common.clone(), self.shard, socket));
    }
}
