//! Which address a request goes to: selection and name resolution.
//!
//! Selection is pingora-load-balancing's round robin over every address of every upstream; names are resolved
//! again every [`RESOLVE_EVERY`], and a name that stops resolving keeps its last addresses.

use std::collections::{BTreeSet, HashMap};
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
        let scheme = addresses.first().map_or(Scheme::Http, |a| a.scheme);
        let authority = addresses.first().map(Address::authority).unwrap_or_default();
        let discovery = Names { addresses, known: Mutex::default() };
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
            tracing::warn!(%error, "upstream addresses could not be resolved");
        }
        let all = self.balancer.backends().get_backend();
        let only = all.first().filter(|_| all.len() == 1).and_then(target);
        self.only.store(only.map(Arc::new));
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
