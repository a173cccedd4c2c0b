//! One shard's connections to one upstream: dialled, lent for a request, kept for the next.
//!
//! HTTP/1 connections are kept here and not in pingora's pool: ours asks a connection whether it still stands when
//! it is taken, instead of spawning a task to watch it whenever it is put back (worth 0.03 of nginx), and dials onto
//! [`Control`]. HTTP/2 is pingora's, with its streams, windows and GOAWAYs.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pingora::connectors::ConnectorOptions;
use pingora::connectors::http::Connector;
use pingora::protocols::http::client::HttpSession;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error as PingoraError, ErrorType};
use smallvec::SmallVec;
use tokio::net::TcpStream;

use super::link::{self, Link, Parts};
use super::upstream::Upstream;
use super::wire::Control;
use crate::clock::{self, Instant};
use crate::telemetry::events::Trouble;

/// Idle connections kept for one address.
const KEPT: usize = 1024;
/// How often idle connections are looked through for those that have stood too long or were closed.
pub(super) const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// Requests that share one HTTP/2 connection.
const H2_STREAMS: usize = 100;
/// HTTP/2 windows: what an upstream may send ahead of a slow client, for a stream and for a connection.
const H2_WINDOWS: (u32, u32) = (1 << 20, 8 << 20);

/// Which connection a request may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// An idle one, or a new one.
    Any,
    /// An idle one that certainly stood a moment ago, or a new one: the request must not be sent twice.
    Certain,
    /// A new one.
    Fresh,
}

/// One shard's connections to one upstream.
pub(super) struct Pool {
    upstream: Arc<Upstream>,
    /// Few addresses: looking through them is quicker than hashing.
    idle: Mutex<Vec<(SocketAddr, Vec<Idle>)>>,
    h2: Option<Connector>,
    peers: Mutex<HashMap<SocketAddr, Arc<HttpPeer>>>,
    /// Makes the next dial of HTTP/2 a fresh one: a group key that no pooled connection has.
    fresh: AtomicU64,
}

/// A connection that waits for a request.
struct Idle {
    control: Arc<Control>,
    since: Instant,
}

impl Pool {
    pub(super) fn new(upstream: Arc<Upstream>) -> Self {
        let h2 = upstream.is_h2().then(|| Connector::new(Some(ConnectorOptions::new(KEPT))));
        Self { upstream, idle: Mutex::default(), h2, peers: Mutex::default(), fresh: AtomicU64::new(1) }
    }

    pub(super) fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// Takes a connection; an address that refuses makes room for the next one in turn.
    ///
    /// # Errors
    /// What was wrong with the last address tried.
    pub(super) async fn take(&self, wanted: Wanted) -> Result<Link, Trouble> {
        let mut refused = SmallVec::<[SocketAddr; 2]>::new();
        let mut trouble = Trouble::UpstreamUnresolved;
        while let Some(address) = self.upstream.select(&refused) {
            match self.take_from(address, wanted).await {
                Ok(link) => return Ok(link),
                Err(Trouble::UpstreamRefused) => {
                    trouble = Trouble::UpstreamRefused;
                    refused.push(address);
                }
                Err(trouble) => return Err(trouble),
            }
        }
        Err(trouble)
    }

    async fn take_from(&self, address: SocketAddr, wanted: Wanted) -> Result<Link, Trouble> {
        if self.h2.is_none()
            && wanted != Wanted::Fresh
            && let Some(control) = self.take_idle(address, wanted == Wanted::Certain)
        {
            return Ok(Link::h1(control, address, true));
        }
        tokio::select! {
            // Boxed, as whatever is seldom and large: every request's future would be as large.
            dialled = Box::pin(self.dial(address, wanted)) => dialled,
            () = clock::sleep(self.upstream.timeouts().connect) => Err(Trouble::UpstreamConnectTimeout),
        }
    }

    async fn dial(&self, address: SocketAddr, wanted: Wanted) -> Result<Link, Trouble> {
        let Some(connector) = &self.h2 else {
            let socket = TcpStream::connect(address).await.map_err(|_| Trouble::UpstreamRefused)?;
            return Ok(Link::h1(Control::new(socket), address, false));
        };
        let peer = match wanted {
            Wanted::Fresh => self.lonely_peer(address),
            _ => self.peer(address),
        };
        // pingora's futures are large; boxed, they do not weigh on every HTTP/1 request.
        match Box::pin(connector.get_http_session(&*peer)).await {
            Ok((session, reused)) => Ok(Link::h2(session, peer, reused)),
            // A pooled connection that breaks before it takes a stream has not seen the request.
            Err(error) if wanted != Wanted::Fresh && !is_dial_error(&error) => {
                let peer = self.lonely_peer(address);
                let dialled = Box::pin(connector.get_http_session(&*peer)).await;
                let (session, reused) = dialled.map_err(|e| dial_trouble(&e))?;
                Ok(Link::h2(session, peer, reused))
            }
            Err(error) => Err(dial_trouble(&error)),
        }
    }

    /// Puts a connection back after an exchange; `clean` if both messages were complete.
    pub(super) async fn put_back(&self, link: Link, clean: bool) {
        match link.into_parts() {
            Some(Parts::H1(mut session, control, address)) if clean => {
                session.respect_keepalive();
                if session.reuse().await.is_some() && !control.is_holding() {
                    self.keep(control, address);
                }
            }
            // A stream that is given up is reset when it is dropped; its connection goes on.
            Some(Parts::H2(session, peer)) => Box::pin(self.release_h2(*session, &peer)).await,
            _ => {}
        }
    }

    async fn release_h2(&self, session: HttpSession, peer: &HttpPeer) {
        if let Some(connector) = &self.h2 {
            Box::pin(connector.release_http_session(session, peer, Some(self.upstream.timeouts().idle))).await;
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<(SocketAddr, Vec<Idle>)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection that was used last, so that the surplus grows old and goes.
    fn take_idle(&self, address: SocketAddr, certainly: bool) -> Option<Arc<Control>> {
        let mut idle = self.idle();
        let (_, kept) = idle.iter_mut().find(|(kept_for, _)| *kept_for == address)?;
        let limit = self.upstream.timeouts().idle;
        while let Some(Idle { control, since }) = kept.pop() {
            if since.elapsed() < limit && control.is_quiet(certainly) {
                return Some(control);
            }
        }
        None
    }

    fn keep(&self, control: Arc<Control>, address: SocketAddr) {
        let mut idle = self.idle();
        let one = Idle { control, since: clock::now() };
        match idle.iter_mut().find(|(kept_for, _)| *kept_for == address) {
            Some((_, kept)) if kept.len() < KEPT => kept.push(one),
            Some(_) => {}
            None => idle.push((address, vec![one])),
        }
    }

    /// Closes what has been idle for too long or was closed by the upstream.
    pub(super) fn sweep(&self) {
        let limit = self.upstream.timeouts().idle;
        self.idle().retain_mut(|(_, kept)| {
            kept.retain(|idle| idle.since.elapsed() < limit && idle.control.is_quiet(false));
            !kept.is_empty()
        });
    }

    /// The peer of an address, built once: it is a large struct.
    fn peer(&self, address: SocketAddr) -> Arc<HttpPeer> {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        peers.entry(address).or_insert_with(|| Arc::new(h2_peer(address, 0))).clone()
    }

    fn lonely_peer(&self, address: SocketAddr) -> Arc<HttpPeer> {
        Arc::new(h2_peer(address, self.fresh.fetch_add(1, Relaxed)))
    }
}

fn h2_peer(address: SocketAddr, group: u64) -> HttpPeer {
    let mut peer = HttpPeer::new(address, false, String::new());
    peer.group_key = group;
    peer.options.max_h2_streams = H2_STREAMS;
    peer.options.h2_stream_window_size = Some(H2_WINDOWS.0);
    peer.options.h2_connection_window_size = Some(H2_WINDOWS.1);
    peer.options.set_http_version(2, 2);
    peer
}

/// The dial itself failed, rather than a connection that stood before.
fn is_dial_error(error: &PingoraError) -> bool {
    matches!(
        error.etype(),
        ErrorType::ConnectTimedout
            | ErrorType::ConnectRefused
            | ErrorType::ConnectNoRoute
            | ErrorType::ConnectError
            | ErrorType::SocketError
            | ErrorType::HandshakeError
    )
}

/// What a failed dial of HTTP/2 is called.
fn dial_trouble(error: &PingoraError) -> Trouble {
    match error.etype() {
        ErrorType::ConnectTimedout => Trouble::UpstreamConnectTimeout,
        ErrorType::HandshakeError => Trouble::UpstreamReset,
        _ if is_dial_error(error) => Trouble::UpstreamRefused,
        _ => link::trouble(error),
    }
}
