//! The proxies of a configuration, kept in step with it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use futures_util::future::join_all;

use crate::admin::{Api, describe};
use crate::cli::{Failure, output};
use crate::config::{Config, ProxyConfig};
use crate::proxy::{Proxy, Surroundings};

/// The running proxies by name.
pub(super) struct Proxies {
    around: Surroundings,
    drain: Duration,
    running: BTreeMap<String, Proxy>,
    /// The last reconciliation left none out.
    complete: bool,
    api: Option<Arc<Api>>,
}

impl Proxies {
    /// Starts every proxy of the configuration and prints where it listens.
    pub(super) async fn start(config: &Config, around: Surroundings) -> Result<Self, Failure> {
        let mut proxies =
            Self { around, drain: config.drain.limit, running: BTreeMap::new(), complete: true, api: None };
        for proxy in &config.proxies {
            proxies.add(proxy.clone()).await?;
        }
        Ok(proxies)
    }

    /// Whether every proxy of the configuration listens.
    pub(super) fn all_listen(&self) -> bool {
        self.complete
    }

    /// Keeps the API told of what is running.
    pub(super) fn tell(&mut self, api: Arc<Api>) {
        self.api = Some(api);
        self.publish();
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
        let mut failures = Vec::new();
        for config in configs {
            if !self.running.contains_key(&config.name)
                && let Err(failure) = self.add(config.clone()).await
            {
                failures.push(failure.to_string());
            }
        }
        self.publish();
        self.complete = failures.is_empty();
        failures
    }

    /// Lets requests under way end, within the limit, and closes everything.
    pub(super) async fn drain(&mut self) {
        let limit = self.drain;
        let stopping = std::mem::take(&mut self.running).into_values().map(|proxy| proxy.stop(limit));
        let cut: usize = join_all(stopping).await.into_iter().sum();
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

    fn publish(&self) {
        if let Some(api) = &self.api {
            api.set_proxies(self.running.values().map(describe).collect());
        }
    }
}
