//! The state behind all routes.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::SystemTime;

use super::access::Access;
use super::book::Book;
use super::latch::Latch;
use crate::client::wire;
use crate::config::Token;
use crate::rules::{Ceilings, Store};
use crate::telemetry::Metrics;

/// What the API is made of.
pub struct Setup {
    /// The rules.
    pub store: Arc<Store>,
    /// What the proxies have counted, and how the rule files were last read.
    pub metrics: Arc<Metrics>,
    /// The off latch.
    pub latch: Arc<Latch>,
    /// `[safety]`: holds for the layers that come in over the API.
    pub ceilings: Ceilings,
    /// Where the API listens, with the real port.
    pub listen: SocketAddr,
    /// Asked for, if set.
    pub token: Option<Token>,
    /// Names of this host that requests may call it by, beside `localhost`.
    pub names: Vec<String>,
}

/// The admin API of one instance. Shared by its routes and by the sweeper.
pub struct Api {
    pub(super) store: Arc<Store>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) latch: Arc<Latch>,
    pub(super) ceilings: Ceilings,
    pub(super) access: Access,
    pub(super) instance: wire::Instance,
    proxies: RwLock<Vec<wire::Proxy>>,
    runs: Mutex<Book>,
    /// Counts the changes of layer `api`; held while it is changed, so that two writers cannot both be right.
    revision: Mutex<u64>,
}

impl Api {
    /// An API that knows no proxy yet; see [`Api::set_proxies`].
    pub fn new(setup: Setup) -> Arc<Self> {
        let Setup { store, metrics, latch, ceilings, listen, token, names } = setup;
        let instance = wire::Instance {
            id: format!("{:016x}", rand::random::<u64>()),
            started_at: humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        Arc::new(Self {
            store,
            metrics,
            latch,
            ceilings,
            access: Access { listen, token, names },
            instance,
            proxies: RwLock::default(),
            runs: Mutex::default(),
            revision: Mutex::new(0),
        })
    }

    /// Says which proxies are running; call it again whenever that changes.
    pub fn set_proxies(&self, proxies: Vec<wire::Proxy>) {
        *self.proxies.write().unwrap_or_else(PoisonError::into_inner) = proxies;
    }

    /// Which instance this is.
    pub fn instance(&self) -> &wire::Instance {
        &self.instance
    }

    pub(super) fn proxies(&self) -> Vec<wire::Proxy> {
        self.proxies.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn runs(&self) -> MutexGuard<'_, Book> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn revision(&self) -> MutexGuard<'_, u64> {
        self.revision.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
