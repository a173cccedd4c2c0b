//! Which address a request goes to: selection and name resolution.
//!
//! Selection is pingora-load-balancing's round robin over every address of every upstream; names are resolved
//! again every [`RESOLVE_EVERY`], and a name that stops resolving keeps its last addresses.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use pingora::Result as PingoraResult;
use pingora_load_balancing::discovery::ServiceDiscovery;
use pingora_load_balancing::selection::RoundRobin;
use pingora_load_balancing::{Backend, Backends, LoadBalancer};

use crate::config::{Scheme, Timeouts, Upstream as Address};

/// How often names are looked up again.
pub(super) const RESOLVE_EVERY: Duration = Duration::from_secs(10);
/// Addresses looked at for one that is not to be left out.
const LOOKED_AT: usize = 64;

/// The upstream of one proxy, shared by all shards.
pub(super) struct Upstream {
    balancer: LoadBalancer<RoundRobin>,
    /// The address, if there is but one: the usual case needs no turn to be taken.
    only: ArcSwapOption<SocketAddr>,
    scheme: Scheme,
    timeouts: Timeouts,
    /// What a request that names no host is for.
    authority: String,
}

impl Upstream {
    pub(super) fn new(addresses: Vec<Address>, timeouts: Timeouts) -> Self {
        let scheme = addresses.first().map_or(Scheme::Http, |a| a.scheme);
        let authority = addresses.first().map(Address::authority).unwrap_or_default();
        let discovery = Names { addresses, known: Mutex::default() };
        let balancer = LoadBalancer::from_backends(Backends::new(Box::new(discovery)));
        Self { balancer, only: ArcSwapOption::empty(), scheme, timeouts, authority }
    }

    /// Looks all names up again.
    pub(super) async fn resolve(&self) {
        if let Err(error) = self.balancer.update().await {
            tracing::warn!(%error, "upstream addresses could not be resolved");
        }
        let all = self.balancer.backends().get_backend();
        let only = all.first().filter(|_| all.len() == 1).and_then(|backend| backend.addr.as_inet());
        self.only.store(only.copied().map(Arc::new));
    }

    /// The next address in turn that is not to be left out; `None` if there is none.
    pub(super) fn select(&self, left_out: &[SocketAddr]) -> Option<SocketAddr> {
        if let Some(only) = &*self.only.load() {
            return (!left_out.contains(only)).then_some(**only);
        }
        let accepted = |backend: &Backend, ready: bool| {
            ready && backend.addr.as_inet().is_some_and(|address| !left_out.contains(address))
        };
        self.balancer.select_with(b"", LOOKED_AT, accepted)?.addr.as_inet().copied()
    }

    pub(super) fn timeouts(&self) -> &Timeouts {
        &self.timeouts
    }

    /// Whether the upstream speaks HTTP/2.
    pub(super) fn is_h2(&self) -> bool {
        self.scheme == Scheme::H2c
    }

    /// `host:port` of the first address, as configured.
    pub(super) fn authority(&self) -> &str {
        &self.authority
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
