//! What a run happens on: its own proxies, the sidecars it attaches to, its exporter.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use super::Settings;
use super::attach::Sidecars;
use crate::admin::tend;
use crate::cli::{Failure, output};
use crate::clock;
use crate::config::{Protocol, ProxyConfig};
use crate::experiment::injector::{Injector, Several};
use crate::experiment::local::Local;
use crate::experiment::spec::Experiment;
use crate::load::Target;
use crate::proxy::{Proxy, Shards, Surroundings};
use crate::results::AmplificationSource;
use crate::rules::{Ceilings, Store};
use crate::tcp;
use crate::telemetry::Metrics;
use crate::telemetry::exporter::{Ready, serve_metrics};

/// How long requests under way may take to end when the run is over.
const DRAIN: Duration = Duration::from_secs(2);

/// Everything that was started for a run. Dropping it stops it.
pub(super) struct Stage {
    injector: Several,
    proxies: Vec<Proxy>,
    tcp: Vec<tcp::Proxy>,
    metrics: Arc<Metrics>,
    seen_by: AmplificationSource,
    exporter: Option<tokio::task::JoinHandle<()>>,
    linger: Option<Duration>,
    /// Ends times of schedules while the run goes on.
    _tending: AbortOnDropHandle<()>,
}

impl Stage {
    /// Starts the experiment's own proxies and exporter, and prepares what it attaches to.
    pub(super) async fn set(experiment: &Experiment, target: &Target, settings: &Settings) -> Result<Self, Failure> {
        // First: a sidecar that is not there ends it before anything was started.
        let sidecars = Sidecars::find(experiment, target, settings.lease).await?;
        let (store, metrics) = (Store::new(experiment.seed), Metrics::new());
        metrics.watch_rules(store.clone());
        let own: Vec<_> = experiment.own_proxies().cloned().collect();
        let shards = own.iter().map(|config| config.shards.get()).max().unwrap_or(0);
        let (mut proxies, mut tcp) = (Vec::new(), Vec::new());
        if !own.is_empty() {
            let shards = Arc::new(Shards::start(shards).context("the proxy's threads cannot be started")?);
            let around = Surroundings { shards, rules: store.clone(), observer: metrics.clone() };
            let (over_tcp, own): (Vec<_>, Vec<_>) = own.into_iter().partition(|own| own.protocol == Protocol::Tcp);
            for config in over_tcp {
                tcp.push(start_tcp(&config, &around, experiment.seed)?);
            }
            for config in own {
                let (name, listen) = (config.name.clone(), config.listen);
                let proxy = Proxy::start(config, &around)
                    .await
                    .map_err(|error| anyhow!("proxy \"{name}\": cannot listen on {listen}: {error}"))?;
                output::note(format_args!("proxy {name} listens on {}", proxy.address()));
                proxies.push(proxy);
            }
        }
        let mut addresses = proxies.iter().map(Proxy::address).chain(tcp.iter().map(tcp::Proxy::address));
        let in_front = sidecars.in_front || addresses.any(|address| leads_to(target, address));
        let injector = injectors(experiment, &store, &metrics, sidecars);
        let seen_by = if in_front { AmplificationSource::Driver } else { AmplificationSource::Proxy };
        let address = settings.exporter.metrics.or(experiment.metrics);
        let exporter_task = match address {
            Some(address) => Some(export(address, metrics.clone()).await?),
            None => None,
        };
        let (exporter, linger) = (exporter_task, settings.exporter.linger);
        let _tending = AbortOnDropHandle::new(tokio::spawn(tend(store)));
        Ok(Self { injector, proxies, tcp, metrics, seen_by, exporter, linger, _tending })
    }

    pub(super) fn injector(&mut self) -> &mut dyn Injector {
        &mut self.injector
    }

    pub(super) fn metrics(&self) -> Arc<Metrics> {
        self.metrics.clone()
    }

    pub(super) fn seen_by(&self) -> AmplificationSource {
        self.seen_by
    }

    /// Takes everything down; the exporter last, after it was scraped twice more or the linger is over.
    pub(super) async fn strike(self) {
        for proxy in self.proxies {
            proxy.stop(DRAIN).await;
        }
        for proxy in self.tcp {
            proxy.stop(DRAIN).await;
        }
        if let (Some(exporter), Some(linger)) = (self.exporter, self.linger) {
            let scraped = self.metrics.scrapes() + 2;
            let over = clock::now() + linger;
            while self.metrics.scrapes() < scraped && clock::now() < over {
                clock::sleep(Duration::from_millis(50)).await;
            }
            exporter.abort();
        }
    }
}

/// Starts a TCP proxy of the run, with the toxics that were written beside it.
fn start_tcp(config: &ProxyConfig, around: &Surroundings, seed: u64) -> Result<tcp::Proxy, Failure> {
    let around = tcp::Around {
        shards: around.shards.clone(),
        rules: around.rules.clone(),
        observer: around.observer.clone(),
        seed,
        strict: false,
        ceilings: Ceilings::default(),
    };
    let (name, listen) = (&config.name, config.listen);
    let proxy = tcp::Proxy::start(tcp::Spec::of(config), tcp::Toxics::new(config.tcp.toxics.clone()), &around)
        .map_err(|error| anyhow!("proxy \"{name}\": cannot listen on {listen}: {error}"))?;
    output::note(format_args!("proxy {name} listens on {}", proxy.address()));
    Ok(proxy)
}

/// The run's own proxies as one injector, and one for each sidecar.
fn injectors(experiment: &Experiment, store: &Arc<Store>, metrics: &Arc<Metrics>, sidecars: Sidecars) -> Several {
    let mut all = sidecars.injectors;
    let own: Vec<String> = experiment.own_proxies().map(|proxy| proxy.name.clone()).collect();
    if !own.is_empty() {
        let metrics = metrics.clone();
        let received = move || own.iter().map(|name| metrics.received(name)).sum();
        all.push(Box::new(Local::new(store.clone(), &experiment.name, experiment.rules.clone(), received)));
    }
    Several(all)
}

/// Whether load for the target arrives at this listener.
fn leads_to(target: &Target, listener: SocketAddr) -> bool {
    let meets = |a: IpAddr, b: IpAddr| a == b || (b.is_unspecified() && a.is_loopback());
    target.addresses().iter().any(|t| t.port() == listener.port() && meets(t.ip(), listener.ip()))
}

async fn export(address: SocketAddr, metrics: Arc<Metrics>) -> Result<tokio::task::JoinHandle<()>, Failure> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("metrics: cannot listen on {address}"))?;
    let address = listener.local_addr().context("a listener without an address")?;
    output::note(format_args!("metrics on http://{address}/metrics"));
    let ready = Ready::default();
    ready.set(true);
    Ok(tokio::spawn(serve_metrics(listener, metrics, ready, std::future::pending())))
}
