//! One proxy: accept on every shard, and the way to stop without losing a request.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::Connection;
use super::gateway::Gateway;
use super::listen;
use super::pool::{Pool, SWEEP_EVERY};
use super::refuse;
use super::router::Router;
use super::shard::Shards;
use super::upstream::{RESOLVE_EVERY, RESOLVE_SOON, Upstream};
use super::wire::Control;
use crate::clock;
use crate::config::ProxyConfig;
use crate::rules::Store;
use crate::telemetry::events::{Observer, Trouble};
use crate::tls::ServerTls;

/// After an accept that failed for want of descriptors, so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How many clients are told at once that they are one too many.
const TURNED_AWAY: usize = 256;

/// What every proxy of a process shares.
#[derive(Clone)]
pub struct Surroundings {
    /// The threads.
    pub shards: Arc<Shards>,
    /// The rules.
    pub rules: Arc<Store>,
    /// Whoever listens to the data path.
    pub observer: Arc<dyn Observer>,
}

/// A running proxy. Dropping it stops it at once; [`Proxy::stop`] drains it first.
pub struct Proxy {
    config: Arc<ProxyConfig>,
    address: SocketAddr,
    tls: Arc<ArcSwapOption<ServerTls>>,
    upstream: Arc<Upstream>,
    stop: watch::Sender<bool>,
    accepting: Vec<JoinHandle<()>>,
    open: Draining,
}

/// The connections of a proxy that accepts no more. Dropping it closes them at once.
pub struct Draining {
    running: Running,
    /// Their threads run for as long as they do.
    _shards: Arc<Shards>,
}

/// Everything of one proxy that still runs.
#[derive(Clone)]
struct Running {
    /// Connections, and the requests on them.
    tasks: TaskTracker,
    connections: Arc<AtomicUsize>,
    /// Clients that are being told that they are one too many.
    turning_away: Arc<Semaphore>,
    /// Ends it all at once.
    cut: CancellationToken,
}

impl Default for Running {
    fn default() -> Self {
        Self {
            tasks: TaskTracker::default(),
            connections: Arc::default(),
            turning_away: Arc::new(Semaphore::new(TURNED_AWAY)),
            cut: CancellationToken::default(),
        }
    }
}

impl Proxy {
    /// Binds the listener, resolves the upstream once and starts to accept.
    ///
    /// # Errors
    /// When the address cannot be bound: taken by somebody else, or not allowed.
    pub async fn start(config: ProxyConfig, around: &Surroundings) -> io::Result<Self> {
        let config = Arc::new(config);
        let count = config.shards.get().min(around.shards.count());
        let (address, listeners) = listen::bind(config.listen, count)?;
        let tls = Arc::new(ArcSwapOption::from(config.tls.clone().map(Arc::new)));
        let upstream = Arc::new(Upstream::new(config.upstreams.clone(), config.timeouts, config.upstream_tls.clone()));
        upstream.resolve().await;
        let router = Arc::new(Router::new(&config.routes));
        let (stop, stopped) = watch::channel(false);
        let running = Running::default();
        let mut accepting = Vec::new();
        around.shards.spawn(0, resolve(upstream.clone(), stopped.clone()));
        for (shard, listener) in listeners.into_iter().enumerate() {
            let gateway = Arc::new(Gateway::new(
                config.clone(),
                tls.clone(),
                router.clone(),
                around.rules.clone(),
                around.observer.clone(),
                Pool::new(upstream.clone()),
            ));
            around.shards.spawn(shard, sweep(gateway.clone(), stopped.clone()));
            let open = Accepting { gateway, running: running.clone(), stopped: stopped.clone() };
            accepting.push(around.shards.spawn(shard, open.run(listener)));
        }
        let open = Draining { running, _shards: around.shards.clone() };
        Ok(Self { config, address, tls, upstream, stop, accepting, open })
    }

    /// What it was started with, certificates as they were last replaced.
    pub fn config(&self) -> &ProxyConfig {
        &self.config
    }

    /// Takes over other certificates and settings of TLS, if that is all in which this configuration differs; else
    /// nothing is done and the answer is false. Connections under way go on as they are.
    pub fn renew(&mut self, config: &ProxyConfig) -> bool {
        if !self.config.differs_only_in_tls(config) {
            return false;
        }
        if config.tls != self.config.tls {
            self.tls.store(config.tls.clone().map(Arc::new));
        }
        if config.upstream_tls != self.config.upstream_tls {
            self.upstream.renew(config.upstream_tls.clone());
        }
        self.config = Arc::new(config.clone());
        true
    }

    /// Where it listens; the real port if the configuration asked for any.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops accepting; when this returns the address is free. Idle connections close at once.
    pub async fn close(self) -> Draining {
        self.stop.send_replace(true);
        for accepting in self.accepting {
            let _ = accepting.await;
        }
        self.open
    }

    /// Stops accepting, lets requests under way end within `limit`, then closes what is left. Idle connections
    /// close at once. Gives the number of connections that had to be cut.
    pub async fn stop(self, limit: Duration) -> usize {
        self.close().await.wait(limit).await
    }
}

impl Draining {
    /// Lets requests under way end within `limit`, then closes what is left: the number of connections cut.
    pub async fn wait(self, limit: Duration) -> usize {
        let Running { tasks, connections, cut, .. } = &self.running;
        tasks.close();
        tokio::select! {
            () = tasks.wait() => {}
            () = clock::sleep(limit) => {}
        }
        let left = connections.load(Relaxed);
        cut.cancel();
        tasks.wait().await;
        left
    }
}

impl Drop for Draining {
    fn drop(&mut self) {
        self.running.cut.cancel();
    }
}

/// Looks the upstream's names up again, for as long as the proxy runs.
async fn resolve(upstream: Arc<Upstream>, mut stopped: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = told_to_stop(&mut stopped) => return,
            () = clock::sleep(if upstream.is_known() { RESOLVE_EVERY } else { RESOLVE_SOON }) => upstream.resolve().await,
        }
    }
}

/// Closes idle connections to the upstream whose time is over, for as long as the proxy runs.
async fn sweep(gateway: Arc<Gateway>, mut stopped: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = told_to_stop(&mut stopped) => return,
            () = clock::sleep(SWEEP_EVERY) => gateway.pool().sweep(),
        }
    }
}

async fn told_to_stop(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stop| *stop).await;
}

/// The accept loop of one shard.
struct Accepting {
    gateway: Arc<Gateway>,
    running: Running,
    stopped: watch::Receiver<bool>,
}

impl Accepting {
    async fn run(mut self, listener: StdListener) {
        let name = self.gateway.name().to_owned();
        let listener = match TcpListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => return tracing::error!(proxy = name, %error, "the listener cannot be used"),
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
                    tracing::warn!(proxy = name, %error, "a connection could not be accepted");
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
        let Some(open) = Open::new(self.gateway.clone(), self.running.connections.clone()) else {
            return self.turn_away(socket);
        };
        let (gateway, cut, stopped) = (self.gateway.clone(), self.running.cut.clone(), self.stopped.clone());
        let requests = self.running.tasks.token();
        self.running.tasks.spawn(async move {
            let _open = open;
            tokio::select! {
                () = Connection::serve(gateway, socket, requests, stopped) => {}
                () = cut.cancelled() => {}
            }
        });
    }
}

impl Accepting {
    /// Tells a client that is one too many so; when many are being told, the next ones are closed without a word.
    fn turn_away(&self, socket: TcpStream) {
        let gateway = self.gateway.clone();
        // A handshake would cost more than what it would tell.
        let is_secure = gateway.tls().is_some();
        let turn = self.running.turning_away.clone().try_acquire_owned().ok().filter(|_| !is_secure);
        let Some(turn) = turn else {
            return refuse::tell(&gateway, None, Trouble::TooManyConnections, None);
        };
        let cut = self.running.cut.clone();
        self.running.tasks.spawn(async move {
            let _turn = turn;
            let control = Control::new(socket);
            cut.run_until_cancelled(refuse::turn_away(&gateway, &control)).await;
        });
    }
}

/// Counts a connection for as long as it is open.
struct Open {
    gateway: Arc<Gateway>,
    count: Arc<AtomicUsize>,
}

impl Open {
    /// `None` if there are as many already as the proxy may have.
    fn new(gateway: Arc<Gateway>, count: Arc<AtomicUsize>) -> Option<Self> {
        if count.fetch_add(1, Relaxed) >= gateway.limits().connections {
            count.fetch_sub(1, Relaxed);
            return None;
        }
        gateway.observer().connections(gateway.name(), 1);
        Some(Self { gateway, count })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Relaxed);
        self.gateway.observer().connections(self.gateway.name(), -1);
    }
}
