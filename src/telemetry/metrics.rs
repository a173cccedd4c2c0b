//! Everything that is exported, in one object for each process.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::MetricFamily;
use prometheus::{Encoder, TextEncoder};

use super::events::{ConnectionEvent, ExchangeEvent, HandshakeFailure, Observer};
use super::family::Family;
use super::load::LoadMetrics;
use super::reloads::Reloads;
use super::rules::{self, RuleMetrics};
use super::run::RunMetrics;
use super::traffic::Traffic;
use crate::names::metrics as names;
use crate::rules::Store;

/// The metrics of one process: the data path's observer, and what load drivers and runners write into.
pub struct Metrics {
    traffic: Traffic,
    load: Arc<LoadMetrics>,
    run: Arc<RunMetrics>,
    reloads: Arc<Reloads>,
    rules: OnceLock<RuleMetrics>,
    latch_persisted: Mutex<Option<bool>>,
    scrapes: AtomicU64,
    process: ProcessCollector,
}

impl Metrics {
    /// Metrics at zero, sharing nothing with any other.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            traffic: Traffic::new(),
            load: Arc::default(),
            run: Arc::default(),
            reloads: Arc::default(),
            rules: OnceLock::new(),
            latch_persisted: Mutex::new(None),
            scrapes: AtomicU64::new(0),
            process: ProcessCollector::for_self(),
        })
    }

    /// Exports what the rules of this store do from now on. The first store counts; a process has one.
    pub fn watch_rules(&self, store: Arc<Store>) {
        let _ = self.rules.set(RuleMetrics::new(store));
    }

    /// Says whether the off latch would survive a restart.
    pub fn kill_switch_persisted(&self, persisted: bool) {
        *self.latch_persisted.lock().unwrap_or_else(PoisonError::into_inner) = Some(persisted);
    }

    fn latch(&self) -> Option<MetricFamily> {
        let persisted = *self.latch_persisted.lock().unwrap_or_else(PoisonError::into_inner);
        Family::of(&names::KILL_SWITCH_PERSISTED, persisted.map(f64::from)).finish()
    }

    /// What a load driver writes into.
    pub fn load(&self) -> Arc<LoadMetrics> {
        self.load.clone()
    }

    /// What an experiment runner writes into.
    pub fn run(&self) -> Arc<RunMetrics> {
        self.run.clone()
    }

    /// What whoever reads the rule files writes into.
    pub fn reloads(&self) -> Arc<Reloads> {
        self.reloads.clone()
    }

    /// `U`: how many requests of this proxy have been read since the process started, ended or not.
    pub fn received(&self, proxy: &str) -> u64 {
        self.traffic.total_received(proxy)
    }

    /// How often [`Metrics::text`] was asked for.
    pub fn scrapes(&self) -> u64 {
        self.scrapes.load(Relaxed)
    }

    /// All metrics in the text format 0.0.4, families in the order of their names.
    pub fn text(&self) -> Vec<u8> {
        self.scrapes.fetch_add(1, Relaxed);
        let mut build = Family::new(&names::BUILD_INFO);
        build.add(&[env!("CARGO_PKG_VERSION")], 1.0);
        let mut families: Vec<_> = build.finish().into_iter().collect();
        families.extend(self.traffic.collect());
        families.extend(self.rules.get().into_iter().flat_map(RuleMetrics::collect));
        families.extend(self.latch());
        families.extend(rules::of_reloads(&self.reloads));
        families.extend(self.load.collect());
        families.extend(self.run.collect());
        families.extend(self.process.collect());
        families.sort_by(|a, b| a.name().cmp(b.name()));
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&families, &mut text) {
            // Only a family without a name or without series is refused, and none of ours is.
            tracing::error!(%error, "the metrics cannot be written as text");
        }
        text
    }
}

impl Observer for Metrics {
    fn exchange(&self, event: &ExchangeEvent<'_>) {
        self.traffic.exchange(event);
    }

    fn request_received(&self, proxy: &str) {
        self.traffic.received(proxy);
    }

    fn connections(&self, proxy: &str, change: i64) {
        self.traffic.connections(proxy, change);
    }

    fn moved(&self, proxy: &str, received: u64, sent: u64) {
        self.traffic.moved(proxy, received, sent);
    }

    fn connection_ended(&self, event: &ConnectionEvent<'_>) {
        self.traffic.connection_ended(event);
    }

    fn handshake_failed(&self, proxy: &str, failure: HandshakeFailure) {
        self.traffic.handshake_failed(proxy, failure);
    }
}
