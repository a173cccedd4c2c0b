//! Which address a request goes to: selection and name resolution.
//!
//! Selection is pingora-load-balancing's round robin over every address of every upstream; names are resolved
//! again every [`RESOLVE_EVERY`], and a name that stops resolving keeps its last addresses.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use pingora::Result as PingoraResult;
use pingora_load_balancing::discovery::ServiceDiscovery;
use pingora_load_balancing::selection::RoundRobin;
use pingora_load_balancing::{Backend, Backends, LoadBalancer};
use rustls::pki_types::ServerName;

use super::headers::H2Target;
use crate::config::{Scheme, Timeouts, Upstream as Address};
use crate::tls::ClientTls;

/// How often names are looked up again.
pub(super) const RESOLVE_EVERY: Duration = Duration::from_secs(10);
/// The same, while there is no address at all: a pod may be there before its service is.
pub(super) const RESOLVE_SOON: Duration = Duration::from_secs(1);
/// Addresses looked at for one that is not to be left out.
const LOOKED_AT: usize = 64;

/// The upstream of one proxy, shared by all shards.
pub(super) struct Upstream {
    balancer: LoadBalancer<RoundRobin>,
    /// The address, if there is but one: the usual case needs no turn to be taken.
    only: ArcSwapOption<Target>,
    scheme: Scheme,
    timeouts: Timeouts,
    /// What a request that names no host is for.
    authority: String,
    tls: ArcSwapOption<ClientTls>,
    /// Counts how often `tls` was replaced: connections of another age are not used again.
    age: AtomicU64,
    /// What was last wrong with its TLS, so that it is not logged for every request.
    complaint: Mutex<Option<String>>,
}

/// Where a connection goes.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) address: SocketAddr,
    /// The host that was looked up; only with TLS, which asks for it.
    pub(super) host: Option<ServerName<'static>>,
}

impl Upstream {
    pub(super) fn new(addresses: Vec<Address>, timeouts: Timeouts, tls: Option<ClientTls>) -> Self {
        Self::resolved_by(Box::new(System), addresses, timeouts, tls)
    }

    fn resolved_by(
        resolver: Box<dyn Resolve>,
        addresses: Vec<Address>,
        timeouts: Timeouts,
        tls: Option<ClientTls>,
    ) -> Self {
        let scheme = addresses.first().map_or(Scheme::Http, |a| a.scheme);
        let authority = addresses.first().map(Address::authority).unwrap_or_default();
        let discovery = Names { addresses, resolver, known: Mutex::default() };
        let balancer = LoadBalancer::from_backends(Backends::new(Box::new(discovery)));
        let tls = ArcSwapOption::from(tls.map(Arc::new));
        let only = ArcSwapOption::empty();
        Self { balancer, only, scheme, timeouts, authority, tls, age: AtomicU64::new(0), complaint: Mutex::default() }
    }

    /// Replaces what is asked of it and shown to it. Requests under way go on; connections that are idle, or become
    /// it, are not used again.
    pub(super) fn renew(&self, tls: Option<ClientTls>) {
        self.tls.store(tls.map(Arc::new));
        self.age.fetch_add(1, Relaxed);
    }

    /// What is asked of it and shown to it, if it is spoken to over TLS.
    pub(super) fn tls(&self) -> Option<Arc<ClientTls>> {
        self.tls.load_full()
    }

    /// How often [`renew`](Self::renew) was called.
    pub(super) fn age(&self) -> u64 {
        self.age.load(Relaxed)
    }

    /// Logs what is wrong with its TLS, once until it changes or is right.
    pub(super) fn complain(&self, address: SocketAddr, complaint: Option<String>) {
        let mut last = self.complaint.lock().unwrap_or_else(PoisonError::into_inner);
        if *last != complaint {
            if let Some(complaint) = &complaint {
                tracing::warn!(upstream = %address, error = complaint, "no TLS with the upstream");
            }
            *last = complaint;
        }
    }

    /// Looks all names up again.
    pub(super) async fn resolve(&self) {
        if let Err(error) = self.balancer.update().await {
            tracing::warn!(%error, "the upstream's addresses could not be taken over");
        }
        let all = self.balancer.backends().get_backend();
        let only = all.first().filter(|_| all.len() == 1).and_then(target);
        self.only.store(only.map(Arc::new));
    }

    /// Whether there is any address.
    pub(super) fn is_known(&self) -> bool {
        !self.balancer.backends().get_backend().is_empty()
    }

    /// The next address in turn that is not to be left out; `None` if there is none.
    pub(super) fn select(&self, left_out: &[SocketAddr]) -> Option<Target> {
        if let Some(only) = &*self.only.load() {
            return (!left_out.contains(&only.address)).then(|| Target::clone(only));
        }
        let accepted = |backend: &Backend, ready: bool| {
            ready && backend.addr.as_inet().is_some_and(|address| !left_out.contains(address))
        };
        let backend = self.balancer.select_with(b"", LOOKED_AT, accepted)?;
        target(&backend)
    }

    pub(super) fn timeouts(&self) -> &Timeouts {
        &self.timeouts
    }

    /// What is spoken to it, and over what.
    pub(super) fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// What HTTP/2 says of where a request goes, for a client that is spoken to over TLS or not.
    pub(super) fn h2_target(&self, client_is_secure: bool) -> H2Target<'_> {
        let is_secure = self.scheme == Scheme::Https;
        let scheme = if is_secure { "https" } else { "http" };
        H2Target { scheme, authority: &self.authority, is_other_scheme: is_secure != client_is_secure }
    }
}

fn target(backend: &Backend) -> Option<Target> {
    Some(Target { address: *backend.addr.as_inet()?, host: backend.ext.get().cloned() })
}

/// What is behind a name, asked of the system's resolver.
#[async_trait]
trait Resolve: Send + Sync {
    async fn look_up(&self, name: &str) -> io::Result<Vec<SocketAddr>>;
}

struct System;

#[async_trait]
impl Resolve for System {
    async fn look_up(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        tokio::net::lookup_host(name).await.map(Iterator::collect)
    }
}

/// Looks the upstreams' names up. A name that stops resolving keeps its last addresses.
struct Names {
    addresses: Vec<Address>,
    resolver: Box<dyn Resolve>,
    known: Mutex<HashMap<String, Known>>,
}

/// What is known of a name.
#[derive(Debug, Default)]
struct Known {
    found: Vec<SocketAddr>,
    /// It did not resolve when it was last asked for.
    failing: bool,
}

/// What somebody should hear about a look-up: only what is not as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum News {
    None,
    /// It resolved before, or was never asked for.
    Failed,
    /// It did not resolve before.
    Resolved,
    /// To other addresses than before.
    Moved,
}

impl Known {
    fn learn(&mut self, found: Vec<SocketAddr>) -> News {
        if found.is_empty() {
            return if std::mem::replace(&mut self.failing, true) { News::None } else { News::Failed };
        }
        let failed = std::mem::take(&mut self.failing);
        let before = std::mem::replace(&mut self.found, found);
        match () {
            () if failed => News::Resolved,
            () if before.is_empty() || before == self.found => News::None,
            () => News::Moved,
        }
    }
}

impl Names {
    async fn look_up(&self, name: &str) -> Vec<SocketAddr> {
        let looked_up = self.resolver.look_up(name).await.and_then(|mut found| {
            found.sort_unstable(); // resolvers shuffle
            if found.is_empty() { Err(io::Error::other("there is no address behind it")) } else { Ok(found) }
        });
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.entry(name.to_owned()).or_default();
        match (known.learn(looked_up.as_ref().cloned().unwrap_or_default()), looked_up) {
            (News::Failed, Err(error)) => {
                let kept = known.found.len();
                tracing::warn!(upstream = name, %error, kept, "the upstream's name does not resolve; asking again");
            }
            (News::Resolved, _) => tracing::info!(upstream = name, to = ?known.found, "the upstream's name resolves"),
            (News::Moved, _) => tracing::info!(upstream = name, to = ?known.found, "the upstream has moved"),
            _ => {}
        }
        known.found.clone()
    }
}

#[async_trait]
impl ServiceDiscovery for Names {
    async fn discover(&self) -> PingoraResult<(BTreeSet<Backend>, HashMap<u64, bool>)> {
        let mut backends = BTreeSet::new();
        for address in &self.addresses {
            for found in self.look_up(&address.authority()).await {
                let mut backend = Backend::new(&found.to_string())?;
                if let (Scheme::Https, Ok(host)) = (address.scheme, ServerName::try_from(address.host.clone())) {
                    backend.ext.insert(host);
                }
                backends.insert(backend);
            }
        }
        Ok((backends, HashMap::new()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one answer after the other; the last one for ever.
    struct Script(Mutex<Vec<&'static [&'static str]>>);

    #[async_trait]
    impl Resolve for Script {
        async fn look_up(&self, _: &str) -> io::Result<Vec<SocketAddr>> {
            let mut answers = self.0.lock().unwrap();
            let answer = if answers.len() > 1 { answers.remove(0) } else { answers[0] };
            if answer.is_empty() {
                return Err(io::ErrorKind::NotFound.into());
            }
            Ok(answer.iter().map(|address| address.parse().unwrap()).collect())
        }
    }

    #[tokio::test]
    async fn a_name_is_looked_up_again_and_keeps_its_last_addresses_when_it_stops_resolving() {
        let script = Script(Mutex::new(vec![&[], &["10.0.0.1:80"], &["10.0.0.2:80"], &[]]));
        let address = Address { scheme: Scheme::Http, host: "shop".to_owned(), port: 80 };
        let upstream = Upstream::resolved_by(Box::new(script), vec![address], Timeouts::default(), None);
        let mut seen = Vec::new();
        for _ in 0..4 {
            upstream.resolve().await;
            seen.push(upstream.select(&[]).map(|target| target.address.to_string()));
        }
        assert_eq!(seen, [None, Some("10.0.0.1:80".to_owned()), Some("10.0.0.2:80".to_owned()), seen[2].clone()]);
    }

    #[test]
    fn only_what_is_not_as_it_was_is_news() {
        let one: Vec<SocketAddr> = vec!["10.0.0.1:80".parse().unwrap()];
        let other: Vec<SocketAddr> = vec!["10.0.0.2:80".parse().unwrap()];
        let mut known = Known::default();
        let told = [&one, &one, &vec![], &vec![], &one, &other, &vec![]].map(|found| known.learn(found.clone()));
        use News::{Failed, Moved, None, Resolved};
        assert_eq!(told, [None, None, Failed, None, Resolved, Moved, Failed]);
        assert_eq!(Known::default().learn(Vec::new()), Failed);
    }
}
