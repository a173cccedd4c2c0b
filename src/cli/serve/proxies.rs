//! The proxies of a configuration, kept in step with it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use futures_util::future::join_all;

use crate::admin::{Api, describe};
use crate::cli::{Failure, output};
use crate::client::wire;
use crate::config::{Config, Protocol, ProxyConfig};
use crate::proxy::{Proxy, Surroundings};
use crate::tcp::registry::{Shown, Wanted};
use crate::tcp::{Registry, Spec};

/// The running proxies by name.
pub(super) struct Proxies {
    around: Surroundings,
    drain: Duration,
    running: BTreeMap<String, Proxy>,
    tcp: Arc<Registry>,
    /// The last reconciliation left none out.
    complete: bool,
    api: Option<Arc<Api>>,
}

impl Proxies {
    /// Starts every proxy of the configuration and prints where it listens.
    pub(super) async fn start(config: &Config, around: Surroundings, tcp: Arc<Registry>) -> Result<Self, Failure> {
        let (drain, running) = (config.drain.limit, BTreeMap::new());
        let mut proxies = Self { around, drain, running, tcp, complete: true, api: None };
        for proxy in config.proxies.iter().filter(|proxy| proxy.protocol == Protocol::Http) {
            proxies.add(proxy.clone()).await?;
        }
        if let Some(failure) = proxies.reconcile_tcp(&config.proxies).await.into_iter().next() {
            return Err(anyhow!(failure).into());
        }
        Ok(proxies)
    }

    /// Whether every proxy of the configuration listens.
    pub(super) fn all_listen(&self) -> bool {
        self.complete
    }

    /// Keeps the API told of what is running.
    pub(super) async fn tell(&mut self, api: Arc<Api>) {
        self.api = Some(api);
        self.publish().await;
    }

    /// Makes the running proxies those of the configuration. What did not change is not touched; what cannot be
    /// started is reported and left out.
    pub(super) async fn reconcile(&mut self, configs: &[ProxyConfig]) -> Vec<String> {
        for config in configs {
            if let Some(proxy) = self.running.get_mut(&config.name)
                && proxy.config() != config
                && proxy.renew(config)
            {
                tracing::info!(proxy = config.name, "certificates and settings of TLS replaced");
            }
        }
        let unchanged = |proxy: &Proxy| configs.iter().any(|config| config == proxy.config());
        let leaving: Vec<String> =
            self.running.iter().filter(|(_, proxy)| !unchanged(proxy)).map(|(name, _)| name.clone()).collect();
        let stopping: Vec<Proxy> = leaving.iter().filter_map(|name| self.running.remove(name)).collect();
        for proxy in &stopping {
            tracing::info!(proxy = proxy.config().name, "stopped by a reload");
        }
        // Their listeners close at once; requests under way end beside the new ones.
        let limit = self.drain;
        for proxy in stopping {
            tokio::spawn(proxy.close().await.wait(limit));
        }
        // Listeners that leave go first, so that an address can pass from one protocol to the other.
        let mut failures = self.reconcile_tcp(configs).await;
        for config in configs.iter().filter(|config| config.protocol == Protocol::Http) {
            if !self.running.contains_key(&config.name)
                && let Err(failure) = self.add(config.clone()).await
            {
                failures.push(failure.to_string());
            }
        }
        self.publish().await;
        self.complete = failures.is_empty();
        failures
    }

    /// Lets requests under way end, within the limit, and closes everything.
    pub(super) async fn drain(&mut self) {
        let limit = self.drain;
        let stopping = std::mem::take(&mut self.running).into_values().map(|proxy| proxy.stop(limit));
        let (http, tcp) = tokio::join!(join_all(stopping), self.tcp.drain(limit));
        let cut: usize = http.into_iter().sum::<usize>() + tcp;
        if cut > 0 {
            tracing::warn!(connections = cut, "still busy after the drain limit and closed");
        }
    }

    async fn add(&mut self, config: ProxyConfig) -> Result<(), Failure> {
        let (name, listen) = (config.name.clone(), config.listen);
        let scheme = if config.tls.is_some() { "https" } else { "http" };
        let upstreams: Vec<String> = config.upstreams.iter().map(ToString::to_string).collect();
        let proxy = Proxy::start(config, &self.around)
            .await
            .map_err(|error| anyhow!("proxy \"{name}\": cannot listen on {listen}: {error}"))?;
        output::print(format_args!("proxy    {scheme}://{} -> {}  ({name})", proxy.address(), upstreams.join(", ")))?;
        self.running.insert(name, proxy);
        Ok(())
    }

    /// The TCP proxies: what could not be started, in words.
    async fn reconcile_tcp(&self, configs: &[ProxyConfig]) -> Vec<String> {
        let before = names(&self.tcp.list().await);
        let written = configs.iter().filter(|config| config.protocol == Protocol::Tcp).map(wanted).collect();
        let failures = self.tcp.reconcile(written).await;
        for shown in self.tcp.list().await {
            if before.contains(&shown.name) {
                continue;
            }
            let off = if shown.enabled { "" } else { ", not enabled" };
            let line = format!("proxy    tcp://{} -> {}  ({}{off})", shown.listen, shown.upstream, shown.name);
            if let Err(error) = output::print(line) {
                tracing::warn!(%error, "an address cannot be shown");
            }
        }
        let in_words = |(name, refusal)| format!("proxy \"{name}\": cannot be started: {refusal}");
        failures.into_iter().map(in_words).collect()
    }

    /// Resolves when Toxiproxy's API has added, moved or removed a proxy.
    pub(super) async fn changed(&self) {
        self.tcp.changed().await;
    }

    /// Tells both APIs what is running.
    pub(super) async fn publish(&self) {
        let http = self.running.values().map(|proxy| {
            let upstreams: Vec<String> = proxy.config().upstreams.iter().map(|up| up.authority()).collect();
            (proxy.config().name.clone(), proxy.address().to_string(), upstreams.join(","))
        });
        self.tcp.set_http(http.collect::<Vec<_>>()).await;
        let Some(api) = &self.api else { return };
        let tcp = self.tcp.list().await.into_iter().map(|shown| wire::Proxy {
            name: shown.name,
            protocol: "tcp".to_owned(),
            listen: shown.listen.to_string(),
            upstreams: shown.upstream.split(',').map(|upstream| format!("tcp://{upstream}")).collect(),
        });
        api.set_proxies(self.running.values().map(describe).chain(tcp).collect());
    }
}

fn names(all: &[Shown]) -> Vec<String> {
    all.iter().map(|shown| shown.name.clone()).collect()
}

/// What a `[[proxy]]` with `protocol = "tcp"` asks for.
fn wanted(config: &ProxyConfig) -> Wanted {
    let tcp = &config.tcp;
    let (toxics, groups) = (tcp.toxics.clone(), tcp.groups.clone());
    Wanted { spec: Spec::of(config), enabled: tcp.enabled, toxics, groups }
}
