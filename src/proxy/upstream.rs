//! Where requests go on to: address selection, name resolution, the pool of connections.
//!
//! Selection is pingora-load-balancing's round robin over every address of every upstream; names are resolved
//! again every [`RESOLVE_EVERY`], and a name that stops resolving keeps its last addresses.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pingora::connectors::ConnectorOptions;
use pingora::connectors::http::Connector;
use pingora::protocols::http::client::HttpSession;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error as PingoraError, ErrorType, Result as PingoraResult};
use pingora_load_balancing::discovery::ServiceDiscovery;
use pingora_load_balancing::selection::RoundRobin;
use pingora_load_balancing::{Backend, Backends, LoadBalancer};

use crate::config::{Scheme, Timeouts, Upstream as Address};
use crate::telemetry::events::Trouble;

/// How often names are looked up again.
pub(super) const RESOLVE_EVERY: Duration = Duration::from_secs(10);
/// Requests that share one HTTP/2 connection.
const H2_STREAMS: usize = 100;
/// Idle connections kept a shard.
const POOL: usize = 1024;

/// The upstream of one proxy, shared by all shards.
pub(super) struct Upstream {
    balancer: LoadBalancer<RoundRobin>,
    scheme: Scheme,
    timeouts: Timeouts,
    /// Makes the next dial a fresh one: a group key that no pooled connection has.
    fresh: AtomicU64,
}

impl Upstream {
    pub(super) fn new(addresses: Vec<Address>, timeouts: Timeouts) -> Self {
        let scheme = addresses.first().map_or(Scheme::Http, |a| a.scheme);
        let discovery = Names { addresses, known: Mutex::default() };
        let balancer = LoadBalancer::from_backends(Backends::new(Box::new(discovery)));
        Self { balancer, scheme, timeouts, fresh: AtomicU64::new(1) }
    }

    /// Looks all names up again.
    pub(super) async fn resolve(&self) {
        if let Err(error) = self.balancer.update().await {
            tracing::warn!(%error, "upstream addresses could not be resolved");
        }
    }

    /// The next address in turn.
    pub(super) fn select(&self) -> Result<SocketAddr, Trouble> {
        self.balancer
            .select(b"", 64)
            .and_then(|backend| backend.addr.as_inet().copied())
            .ok_or(Trouble::UpstreamUnresolved)
    }

    fn peer(&self, address: SocketAddr, group: u64) -> HttpPeer {
        let mut peer = HttpPeer::new(address, false, String::new());
        peer.group_key = group;
        peer.options.connection_timeout = Some(self.timeouts.connect);
        peer.options.write_timeout = Some(self.timeouts.write);
        peer.options.idle_timeout = Some(self.timeouts.idle);
        peer.options.max_h2_streams = H2_STREAMS;
        if self.scheme == Scheme::H2c {
            peer.options.set_http_version(2, 2);
        }
        peer
    }

    /// How long the upstream may be silent.
    pub(super) fn read_timeout(&self) -> Duration {
        self.timeouts.read
    }

    /// Whether the upstream speaks HTTP/2.
    pub(super) fn is_h2(&self) -> bool {
        self.scheme == Scheme::H2c
    }
}

/// One shard's connections to one upstream.
pub(super) struct Pool {
    upstream: Arc<Upstream>,
    connector: Connector,
    peers: Mutex<HashMap<SocketAddr, Arc<HttpPeer>>>,
}

/// A connection taken for one request.
pub(super) struct Taken {
    pub(super) session: HttpSession,
    /// It has served a request before, so it may turn out to be closed.
    pub(super) reused: bool,
    peer: Arc<HttpPeer>,
}

impl Pool {
    pub(super) fn new(upstream: Arc<Upstream>) -> Self {
        let connector = Connector::new(Some(ConnectorOptions::new(POOL)));
        Self { upstream, connector, peers: Mutex::default() }
    }

    pub(super) fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// The peer of an address, built once: it is a large struct.
    fn peer(&self, address: SocketAddr) -> Arc<HttpPeer> {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        peers.entry(address).or_insert_with(|| Arc::new(self.upstream.peer(address, 0))).clone()
    }

    /// Takes an idle connection, or dials; with `fresh` it always dials.
    pub(super) async fn take(&self, fresh: bool) -> Result<Taken, Trouble> {
        let address = self.upstream.select()?;
        let peer = self.peer(address);
        let taken = if fresh {
            let lonely = self.upstream.peer(address, self.upstream.fresh.fetch_add(1, Relaxed));
            self.connector.get_http_session(&lonely).await
        } else {
            self.connector.get_http_session(&*peer).await
        };
        let (session, reused) = taken.map_err(|e| connect_trouble(&e))?;
        Ok(Taken { session, reused, peer })
    }

    /// Puts a connection back for the next request.
    pub(super) async fn put_back(&self, taken: Taken) {
        let idle = taken.peer.options.idle_timeout;
        self.connector.release_http_session(taken.session, &*taken.peer, idle).await;
    }
}

/// What a failed dial is called.
fn connect_trouble(error: &PingoraError) -> Trouble {
    match error.etype() {
        ErrorType::ConnectTimedout => Trouble::UpstreamConnectTimeout,
        ErrorType::ConnectRefused | ErrorType::ConnectNoRoute | ErrorType::ConnectError | ErrorType::SocketError => {
            Trouble::UpstreamRefused
        }
        _ => exchange_trouble(error),
    }
}

/// What a failed exchange is called.
pub(super) fn exchange_trouble(error: &PingoraError) -> Trouble {
    match error.etype() {
        ErrorType::ReadTimedout | ErrorType::WriteTimedout => Trouble::UpstreamTimeout,
        ErrorType::InvalidHTTPHeader | ErrorType::H1Error | ErrorType::InvalidH2 => Trouble::UpstreamMalformed,
        _ => Trouble::UpstreamReset,
    }
}

/// Looks the upstreams' names up with the system's resolver.
struct Names {
    addresses: Vec<Address>,
    known: Mutex<HashMap<String, Vec<SocketAddr>>>,
}

#[async_trait]
impl ServiceDiscovery for Names {
    async fn discover(&self) -> PingoraResult<(BTreeSet<Backend>, HashMap<u64, bool>)> {
        let mut backends = BTreeSet::new();
        for address in &self.addresses {
            let name = address.authority();
            let found: Vec<SocketAddr> = match tokio::net::lookup_host(&name).await {
                Ok(found) => found.collect(),
                Err(error) => {
                    tracing::warn!(upstream = %name, %error, "the upstream's name does not resolve");
                    Vec::new()
                }
            };
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            if !found.is_empty() {
                known.insert(name.clone(), found);
            }
            for found in known.get(&name).into_iter().flatten() {
                backends.insert(Backend::new(&found.to_string())?);
            }
        }
        Ok((backends, HashMap::new()))
    }
}
