//! The TCP proxies of a process, by name: what Toxiproxy's API and the configuration change.
//!
//! One change at a time: whoever changes holds the lock until the listener is bound or free again, so that no two
//! requests meet half way.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{Mutex, Notify};

use super::api::HttpProxies;
use super::chain::{Installed, Toxics};
use super::counters::Bytes;
use super::listener::{Around, Proxy, Spec};
use crate::faults::toxics::ToxicSpec;

/// How long connections may go on after their proxy was taken away by a reload.
const RELOAD_DRAIN: Duration = Duration::from_secs(10);
/// Until an upstream of a proxy that came over the API is given up.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What can be wrong with a change.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// No proxy of this name.
    #[error("proxy not found")]
    NoProxy,
    /// No toxic of this name.
    #[error("toxic not found")]
    NoToxic,
    /// The name is taken.
    #[error("proxy already exists")]
    ProxyExists,
    /// The name is taken, in either direction.
    #[error("toxic already exists")]
    ToxicExists,
    /// The listener could not be bound.
    #[error("listen tcp {address}: bind: {}", plain(.source))]
    Bind {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

/// The kernel's words without its number.
fn plain(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => "address already in use".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        std::io::ErrorKind::AddrNotAvailable => "cannot assign requested address".to_owned(),
        _ => error.to_string(),
    }
}

/// A proxy as the API shows it.
#[derive(Debug, Clone)]
pub struct Shown {
    /// The name.
    pub name: String,
    /// Where it listens, or would if it were enabled.
    pub listen: SocketAddr,
    /// Its upstreams, joined by a comma if there are several.
    pub upstream: String,
    /// Whether it listens.
    pub enabled: bool,
    /// In the API's order.
    pub toxics: Vec<Arc<Installed>>,
}

/// What a new proxy is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// What it is started with.
    pub spec: Spec,
    /// Whether it listens.
    pub enabled: bool,
    /// Its toxics from the first connection on.
    pub toxics: Vec<ToxicSpec>,
    /// The sides that it connects, for partitions.
    pub groups: Vec<String>,
}

/// What a proxy is changed to; absent values stay.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Change {
    /// Where it listens.
    pub listen: Option<SocketAddr>,
    /// Where connections go.
    pub upstream: Option<String>,
    /// Whether it listens.
    pub enabled: Option<bool>,
}

struct Entry {
    spec: Spec,
    groups: Vec<String>,
    toxics: Toxics,
    running: Option<Proxy>,
    /// What the configuration said; `None` if it came over the API.
    written: Option<Wanted>,
    /// Bytes of earlier listeners of this proxy: counters do not fall.
    before: Bytes,
}

/// All TCP proxies of a process.
pub struct Registry {
    around: Around,
    entries: Mutex<BTreeMap<String, Entry>>,
    /// HTTP proxies that run beside them.
    pub(super) http: Mutex<HttpProxies>,
    changed: Notify,
}

impl Registry {
    /// Without any proxy.
    pub fn new(around: Around) -> Arc<Self> {
        Arc::new(Self { around, entries: Mutex::default(), http: Mutex::default(), changed: Notify::new() })
    }

    /// What its proxies are started with.
    pub fn around(&self) -> &Around {
        &self.around
    }

    /// Says which HTTP proxies run beside them: name, listener, upstream. Their toxics are rules.
    pub async fn set_http(&self, running: impl IntoIterator<Item = (String, String, String)>) {
        self.http.lock().await.set(running, &self.around.rules);
    }

    /// A spec of a proxy that comes over the API.
    pub fn spec(&self, name: String, listen: SocketAddr, upstream: String) -> Spec {
        let shards = NonZeroUsize::new(self.around.shards.count()).unwrap_or(NonZeroUsize::MIN);
        let connect_timeout = CONNECT_TIMEOUT;
        Spec { name, listen, upstreams: vec![upstream], connect_timeout, max_connections: None, shards }
    }

    /// Resolves when a proxy has come, gone or moved since the last time; for one listener.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// All proxies, by name.
    pub async fn list(&self) -> Vec<Shown> {
        self.entries.lock().await.values().map(Entry::shown).collect()
    }

    /// One proxy.
    ///
    /// # Errors
    /// When there is none of this name.
    pub async fn get(&self, name: &str) -> Result<Shown, Refusal> {
        self.entries.lock().await.get(name).map(Entry::shown).ok_or(Refusal::NoProxy)
    }

    /// The bytes of every proxy, by name.
    pub async fn bytes(&self) -> Vec<(Shown, Bytes)> {
        self.entries.lock().await.values().map(|entry| (entry.shown(), entry.bytes())).collect()
    }

    /// Adds a proxy with its toxics: its first connection meets them.
    ///
    /// # Errors
    /// When the name is taken or the address cannot be bound.
    pub async fn create(&self, wanted: Wanted) -> Result<Shown, Refusal> {
        let mut entries = self.entries.lock().await;
        if entries.contains_key(&wanted.spec.name) {
            return Err(Refusal::ProxyExists);
        }
        self.insert(&mut entries, wanted)
    }

    fn insert(&self, entries: &mut BTreeMap<String, Entry>, wanted: Wanted) -> Result<Shown, Refusal> {
        let Wanted { spec, enabled, toxics, groups } = wanted;
        let name = spec.name.clone();
        let mut entry =
            Entry { spec, groups, toxics: Toxics::new(toxics), running: None, written: None, before: Bytes::default() };
        if enabled {
            entry.start(&self.around)?;
        }
        let shown = entry.shown();
        entries.insert(name, entry);
        self.changed.notify_one();
        Ok(shown)
    }

    /// As the API's populate: an absent proxy is created; one with the same listener and upstream is left alone, whether
    /// it is enabled or not; any other is replaced by a new one.
    ///
    /// # Errors
    /// When the address cannot be bound; then the old proxy stays, stopped.
    pub async fn populate(&self, wanted: Wanted) -> Result<Shown, Refusal> {
        let mut entries = self.entries.lock().await;
        if let Some(entry) = entries.get_mut(&wanted.spec.name) {
            let same = entry.spec.upstreams == wanted.spec.upstreams
                && wanted.spec.listen.port() != 0
                && entry.address() == wanted.spec.listen;
            if same {
                return Ok(entry.shown());
            }
            entry.stop().await;
        }
        self.insert(&mut entries, wanted)
    }

    /// Changes a proxy. Another listener or upstream closes its connections and starts it anew; its toxics stay.
    ///
    /// # Errors
    /// When there is none of this name, or the address cannot be bound; then it is stopped.
    pub async fn update(&self, name: &str, change: Change) -> Result<Shown, Refusal> {
        let mut entries = self.entries.lock().await;
        let entry = entries.get_mut(name).ok_or(Refusal::NoProxy)?;
        let enabled = change.enabled.unwrap_or(entry.running.is_some());
        let listen = change.listen.unwrap_or_else(|| entry.address());
        let upstreams = change.upstream.map_or_else(|| entry.spec.upstreams.clone(), |upstream| vec![upstream]);
        if listen != entry.address() || upstreams != entry.spec.upstreams {
            entry.stop().await;
            entry.spec.listen = listen;
            entry.spec.upstreams = upstreams;
        }
        match (enabled, entry.running.is_some()) {
            (true, false) => entry.start(&self.around)?,
            (false, true) => entry.stop().await,
            _ => {}
        }
        self.changed.notify_one();
        Ok(entry.shown())
    }

    /// Removes a proxy and closes its connections.
    ///
    /// # Errors
    /// When there is none of this name.
    pub async fn delete(&self, name: &str) -> Result<(), Refusal> {
        let mut entries = self.entries.lock().await;
        let mut entry = entries.remove(name).ok_or(Refusal::NoProxy)?;
        entry.stop().await;
        self.changed.notify_one();
        Ok(())
    }

    /// Enables every proxy and removes all toxics.
    ///
    /// # Errors
    /// The first address that cannot be bound; what came before it has been reset.
    pub async fn reset(&self) -> Result<(), Refusal> {
        for entry in self.entries.lock().await.values_mut() {
            if entry.running.is_none() {
                entry.start(&self.around)?;
            }
            entry.set(Toxics::default());
        }
        Ok(())
    }

    /// Adds a toxic to the end of its direction.
    ///
    /// # Errors
    /// When there is no such proxy, or its name is taken.
    pub async fn add_toxic(&self, proxy: &str, spec: ToxicSpec) -> Result<Arc<Installed>, Refusal> {
        let mut entries = self.entries.lock().await;
        let entry = entries.get_mut(proxy).ok_or(Refusal::NoProxy)?;
        if entry.toxics.get(&spec.name).is_some() {
            return Err(Refusal::ToxicExists);
        }
        let name = spec.name.clone();
        entry.set(entry.toxics.with(spec));
        entry.toxics.get(&name).cloned().ok_or(Refusal::NoToxic)
    }

    /// Changes attributes and toxicity of a toxic: `change` is given it as it is, and its refusal changes nothing.
    ///
    /// # Errors
    /// When there is no such proxy or toxic, or what `change` says.
    pub async fn change_toxic<E: From<Refusal>>(
        &self,
        proxy: &str,
        toxic: &str,
        change: impl FnOnce(&ToxicSpec) -> Result<ToxicSpec, E>,
    ) -> Result<Arc<Installed>, E> {
        let mut entries = self.entries.lock().await;
        let entry = entries.get_mut(proxy).ok_or(Refusal::NoProxy)?;
        let current = entry.toxics.get(toxic).ok_or(Refusal::NoToxic)?;
        let spec = change(&current.spec)?;
        entry.set(entry.toxics.changed(spec));
        Ok(entry.toxics.get(toxic).cloned().ok_or(Refusal::NoToxic)?)
    }

    /// Removes a toxic.
    ///
    /// # Errors
    /// When there is no such proxy or toxic.
    pub async fn remove_toxic(&self, proxy: &str, toxic: &str) -> Result<(), Refusal> {
        let mut entries = self.entries.lock().await;
        let entry = entries.get_mut(proxy).ok_or(Refusal::NoProxy)?;
        entry.toxics.get(toxic).ok_or(Refusal::NoToxic)?;
        entry.set(entry.toxics.without(toxic));
        Ok(())
    }

    /// Changes the toxics of several proxies in one step, told their name and groups: no other change gets in between.
    pub async fn change_toxics(&self, mut change: impl FnMut(&str, &[String], &Toxics) -> Option<Toxics>) {
        for (name, entry) in self.entries.lock().await.iter_mut() {
            if let Some(toxics) = change(name, &entry.groups, &entry.toxics) {
                entry.set(toxics);
            }
        }
    }

    /// Makes the proxies of the configuration these; what came over the API stays, and so does what did not change.
    /// Every proxy that could not be started, and why.
    pub async fn reconcile(&self, written: Vec<Wanted>) -> Vec<(String, Refusal)> {
        let mut entries = self.entries.lock().await;
        let is_leaving = |entry: &Entry| entry.written.as_ref().is_some_and(|old| !written.contains(old));
        let leaving: Vec<String> =
            entries.iter().filter(|(_, entry)| is_leaving(entry)).map(|(name, _)| name.clone()).collect();
        for name in leaving {
            let Some(mut entry) = entries.remove(&name) else { continue };
            if let Some(proxy) = entry.running.take() {
                tracing::info!(proxy = name, "stopped by a reload");
                let draining = proxy.close().await;
                tokio::spawn(draining.wait(RELOAD_DRAIN));
            }
        }
        let mut failures = Vec::new();
        for wanted in written {
            let name = wanted.spec.name.clone();
            if entries.get(&name).is_some_and(|entry| entry.written.is_some()) {
                continue;
            }
            if entries.contains_key(&name) {
                failures.push((name, Refusal::ProxyExists));
                continue;
            }
            match self.insert(&mut entries, wanted.clone()) {
                Ok(_) => {
                    if let Some(entry) = entries.get_mut(&name) {
                        entry.written = Some(wanted);
                    }
                }
                Err(refusal) => failures.push((name, refusal)),
            }
        }
        failures
    }

    /// Stops all proxies; connections may end within `limit`. How many had to be cut.
    pub async fn drain(&self, limit: Duration) -> usize {
        let entries = std::mem::take(&mut *self.entries.lock().await);
        let stopping = entries.into_values().filter_map(|entry| entry.running).map(|proxy| proxy.stop(limit));
        join_all(stopping).await.into_iter().sum()
    }
}

impl Entry {
    fn shown(&self) -> Shown {
        Shown {
            name: self.spec.name.clone(),
            listen: self.address(),
            upstream: self.spec.upstreams.join(","),
            enabled: self.running.is_some(),
            toxics: self.toxics.iter().cloned().collect(),
        }
    }

    /// The real one while it listens; afterwards the one it had, so that it comes back where it was.
    fn address(&self) -> SocketAddr {
        self.running.as_ref().map_or(self.spec.listen, Proxy::address)
    }

    fn start(&mut self, around: &Around) -> Result<(), Refusal> {
        let address = self.spec.listen;
        let started = Proxy::start(self.spec.clone(), self.toxics.clone(), around);
        let proxy = started.map_err(|source| Refusal::Bind { address, source })?;
        self.spec.listen = proxy.address();
        self.running = Some(proxy);
        Ok(())
    }

    async fn stop(&mut self) {
        if let Some(proxy) = self.running.take() {
            self.before = sum(self.before, proxy.bytes());
            // The address is free from here on; a client that lingers over its goodbye holds nobody up.
            tokio::spawn(proxy.close().await.cut());
        }
    }

    fn set(&mut self, toxics: Toxics) {
        if let Some(proxy) = &self.running {
            proxy.set_toxics(toxics.clone());
        }
        self.toxics = toxics;
    }

    fn bytes(&self) -> Bytes {
        sum(self.before, self.running.as_ref().map(Proxy::bytes).unwrap_or_default())
    }
}

fn sum(a: Bytes, b: Bytes) -> Bytes {
    let add =
        |a: super::Moved, b: super::Moved| super::Moved { received: a.received + b.received, sent: a.sent + b.sent };
    Bytes { upstream: add(a.upstream, b.upstream), downstream: add(a.downstream, b.downstream) }
}
