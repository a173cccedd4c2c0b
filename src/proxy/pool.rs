//! One shard's connections to one upstream: dialled, lent for a request, kept for the next.
//!
//! Both protocols are kept here and not in pingora's pools: ours ask a connection whether it still stands when it is
//! taken, instead of spawning a task to watch it whenever it is put back (worth 0.03 of nginx), and dial onto
//! [`Control`], over TLS or not. An HTTP/1 connection is lent to one request at a time, an HTTP/2 one to many; its
//! streams, windows and GOAWAYs are pingora's.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pingora::connectors::http::v2::{ConnectionRef, H2HandshakeSettings, handshake};
use pingora::protocols::http::v2::client::Http2Session;
use pingora::{Error as PingoraError, ErrorType};
use smallvec::SmallVec;

use super::dial::{Undialled, dial};
use super::link::{self, Link, Origin, Parts};
use super::upstream::{Target, Upstream};
use super::wire::Control;
use crate::clock::{self, Instant};
use crate::config::Scheme;
use crate::telemetry::events::Trouble;
use crate::tls::{Offer, Spoken};

/// Idle HTTP/1 connections kept for one address.
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
    kept: Mutex<Kept>,
}

/// What is there to be lent.
#[derive(Default)]
struct Kept {
    /// Few addresses: looking through them is quicker than hashing.
    h1: Vec<(SocketAddr, Vec<Idle>)>,
    h2: HashMap<SocketAddr, Vec<Shared>>,
    /// Addresses that turned a protocol down when it was offered alone, or preferred the other one.
    not_h1: HashSet<SocketAddr>,
    not_h2: HashSet<SocketAddr>,
}

/// An HTTP/1 connection that waits for a request.
struct Idle {
    control: Arc<Control>,
    since: Instant,
    age: u64,
}

/// An HTTP/2 connection, with requests on it or without.
struct Shared {
    connection: ConnectionRef,
    /// When a request was last begun or ended on it.
    used: Instant,
    age: u64,
}

impl Pool {
    pub(super) fn new(upstream: Arc<Upstream>) -> Self {
        Self { upstream, kept: Mutex::default() }
    }

    pub(super) fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a connection for a request of a client that speaks HTTP/2 or not; an address that cannot be had makes
    /// room for the next one in turn.
    ///
    /// # Errors
    /// What was wrong with the last address tried.
    pub(super) async fn take(&self, wanted: Wanted, client_is_h2: bool) -> Result<Link, Trouble> {
        let mut refused = SmallVec::<[SocketAddr; 2]>::new();
        let mut trouble = Trouble::UpstreamUnresolved;
        while let Some(target) = self.upstream.select(&refused) {
            match self.take_from(&target, wanted, client_is_h2).await {
                Ok(link) => return Ok(link),
                Err(refusal @ (Trouble::UpstreamRefused | Trouble::UpstreamTls)) => {
                    trouble = refusal;
                    refused.push(target.address);
                }
                Err(trouble) => return Err(trouble),
            }
        }
        Err(trouble)
    }

    async fn take_from(&self, target: &Target, wanted: Wanted, client_is_h2: bool) -> Result<Link, Trouble> {
        let offer = self.offer(target.address, client_is_h2);
        let origin = Origin { address: target.address, reused: true, age: self.upstream.age() };
        if wanted != Wanted::Fresh {
            if offer != Offer::Http1
                && let Some(session) = self.take_stream(target.address).await
            {
                return Ok(Link::h2(session, origin));
            }
            if offer == Offer::Http1
                && let Some(control) = self.take_idle(target.address, wanted == Wanted::Certain)
            {
                return Ok(Link::h1(control, origin));
            }
        }
        tokio::select! {
            // Boxed, as whatever is seldom and large: every request's future would be as large.
            dialled = Box::pin(self.dial(target, offer, client_is_h2)) => dialled,
            () = clock::sleep(self.upstream.timeouts().connect) => Err(Trouble::UpstreamConnectTimeout),
        }
    }

    /// What to speak with this address. Where both are possible it is what the client speaks, as if there were no
    /// proxy; what an address has turned down is not offered to it again.
    fn offer(&self, address: SocketAddr, client_is_h2: bool) -> Offer {
        match self.upstream.scheme() {
            Scheme::Http | Scheme::Tcp => return Offer::Http1,
            Scheme::H2c => return Offer::Http2,
            Scheme::Https => {}
        }
        let may = |spoken| self.upstream.tls().is_none_or(|tls| tls.alpn().has(spoken));
        let kept = self.kept();
        match (may(Spoken::Http1), may(Spoken::Http2)) {
            (true, false) => Offer::Http1,
            (false, _) => Offer::Http2,
            _ if client_is_h2 && kept.not_h2.contains(&address) => Offer::Http1,
            _ if client_is_h2 => Offer::Either,
            _ if kept.not_h1.contains(&address) => Offer::Http2,
            _ => Offer::Http1,
        }
    }

    async fn dial(&self, target: &Target, offer: Offer, client_is_h2: bool) -> Result<Link, Trouble> {
        let origin = Origin { address: target.address, reused: false, age: self.upstream.age() };
        let dialled = match dial(&self.upstream, target, offer).await {
            Err(Undialled::OtherProtocol) => {
                self.learn(target.address, offer);
                match self.offer(target.address, client_is_h2) {
                    other if other != offer => dial(&self.upstream, target, other).await,
                    _ => Err(Undialled::OtherProtocol), // the other one may not be spoken
                }
            }
            dialled => dialled,
        };
        let (control, spoken) = dialled.map_err(|undialled| match undialled {
            Undialled::Trouble(trouble) => trouble,
            Undialled::OtherProtocol => {
                self.upstream.complain(target.address, Some("it does not speak the protocol that is asked for".into()));
                Trouble::UpstreamTls
            }
        })?;
        if spoken == Spoken::Http1 {
            if offer == Offer::Either {
                self.kept().not_h2.insert(target.address);
            }
            return Ok(Link::h1(control, origin));
        }
        let session = self.share(control, origin).await?;
        Ok(Link::h2(session, origin))
    }

    /// An address has turned down what was offered to it alone.
    fn learn(&self, address: SocketAddr, offered: Offer) {
        let kept = &mut *self.kept();
        let (turned_down, other) = match offered {
            Offer::Http1 => (&mut kept.not_h1, &mut kept.not_h2),
            _ => (&mut kept.not_h2, &mut kept.not_h1),
        };
        turned_down.insert(address);
        other.remove(&address); // it may have changed its mind
    }

    /// Begins HTTP/2 on a new connection, keeps it for others, and takes its first stream.
    async fn share(&self, control: Arc<Control>, origin: Origin) -> Result<Http2Session, Trouble> {
        let mut settings = H2HandshakeSettings::new();
        settings.max_streams = H2_STREAMS;
        settings.stream_window_size = Some(H2_WINDOWS.0);
        settings.connection_window_size = Some(H2_WINDOWS.1);
        let connection = handshake(control.wire(), settings).await.map_err(|error| begin_trouble(&error))?;
        let session = connection.spawn_stream().await.map_err(|error| begin_trouble(&error))?;
        let session = session.ok_or(Trouble::UpstreamReset)?; // it said goodbye at once
        let shared = Shared { connection, used: clock::now(), age: origin.age };
        self.kept().h2.entry(origin.address).or_default().push(shared);
        Ok(session)
    }

    /// A stream on a connection that has room for one.
    async fn take_stream(&self, address: SocketAddr) -> Option<Http2Session> {
        loop {
            let connection = self.roomy(address)?;
            match connection.spawn_stream().await {
                Ok(Some(session)) => return Some(session),
                // It broke, or says goodbye, and has not seen the request.
                Err(_) => connection.mark_shutdown(),
                Ok(None) if connection.is_shutting_down() => {}
                Ok(None) => return None, // others were faster
            }
        }
    }

    /// The first connection that has room, so that the surplus grows old and goes.
    fn roomy(&self, address: SocketAddr) -> Option<ConnectionRef> {
        let age = self.upstream.age();
        let mut kept = self.kept();
        let shared = kept.h2.get_mut(&address)?;
        let roomy = shared
            .iter_mut()
            .find(|s| s.age == age && !s.connection.is_closed() && s.connection.more_streams_allowed())?;
        roomy.used = clock::now();
        Some(roomy.connection.clone())
    }

    /// Puts a connection back after an exchange; `clean` if both messages were complete.
    pub(super) async fn put_back(&self, link: Link, clean: bool) {
        match link.into_parts() {
            Some(Parts::H1(mut session, control, origin)) if clean => {
                session.respect_keepalive();
                if session.reuse().await.is_some() && !control.is_holding() {
                    self.keep(control, origin);
                }
            }
            // A stream that is given up is reset when it is dropped; its connection goes on.
            Some(Parts::H2(session, origin)) => {
                let id = session.conn.id();
                drop(session);
                let mut kept = self.kept();
                let shared = kept.h2.get_mut(&origin.address).into_iter().flatten();
                for shared in shared.filter(|shared| shared.connection.id() == id) {
                    shared.used = clock::now();
                }
            }
            _ => {}
        }
    }

    /// The connection that was used last, so that the surplus grows old and goes.
    fn take_idle(&self, address: SocketAddr, certainly: bool) -> Option<Arc<Control>> {
        let now_age = self.upstream.age();
        let mut kept = self.kept();
        let (_, kept) = kept.h1.iter_mut().find(|(kept_for, _)| *kept_for == address)?;
        let limit = self.upstream.timeouts().idle;
        while let Some(Idle { control, since, age }) = kept.pop() {
            if age == now_age && since.elapsed() < limit && control.is_quiet(certainly) {
                return Some(control);
            }
        }
        None
    }

    fn keep(&self, control: Arc<Control>, origin: Origin) {
        let mut kept = self.kept();
        let one = Idle { control, since: clock::now(), age: origin.age };
        match kept.h1.iter_mut().find(|(kept_for, _)| *kept_for == origin.address) {
            Some((_, kept)) if kept.len() < KEPT => kept.push(one),
            Some(_) => {}
            None => kept.h1.push((origin.address, vec![one])),
        }
    }

    /// Closes what has been idle for too long, was closed by the upstream or belongs to settings that were replaced.
    pub(super) fn sweep(&self) {
        let (limit, now_age) = (self.upstream.timeouts().idle, self.upstream.age());
        let kept = &mut *self.kept();
        kept.h1.retain_mut(|(_, kept)| {
            kept.retain(|idle| idle.age == now_age && idle.since.elapsed() < limit && idle.control.is_quiet(false));
            !kept.is_empty()
        });
        kept.not_h2.retain(|address| kept.h1.iter().any(|(kept_for, _)| kept_for == address)); // asked again in time
        kept.h2.retain(|_, kept| {
            // Without its last reference a connection says goodbye when its streams have ended.
            kept.retain(|Shared { connection, used, age }| {
                let is_over = connection.is_closed() || connection.is_shutting_down() || *age != now_age;
                let is_idle = connection.is_idle() && used.elapsed() >= limit;
                !(is_over || is_idle)
            });
            !kept.is_empty()
        });
    }
}

/// What a connection that does not get to its first HTTP/2 stream is called.
fn begin_trouble(error: &PingoraError) -> Trouble {
    match error.etype() {
        ErrorType::HandshakeError => Trouble::UpstreamReset,
        _ => link::trouble(error),
    }
}
