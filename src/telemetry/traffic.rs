//! What the data path counts: every thread for itself, so that no two shards write to the same cache line. A scrape
//! adds the threads up.
//!
//! An event finds its thread's cells through two hash lookups; nothing is locked, no label is put together. A lock
//! is taken only when a thread meets a proxy, a route or a status for the first time. Cells outlive their thread,
//! because a counter must not fall.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use indexmap::IndexMap;
use prometheus::proto::MetricFamily;

use super::events::{ConnectionEvent, ExchangeEvent, ExchangeOutcome, HandshakeFailure, Trouble};
use super::family::Family;
use super::tally::{Count, Tallied, Tally};
use crate::names::metrics as names;

/// Everything that was counted on the data path, by all threads.
pub(super) struct Traffic {
    id: u64,
    cells: Arc<Mutex<Cells>>,
}

/// The cells of all threads; several may have the same labels.
#[derive(Default)]
struct Cells {
    proxies: Vec<Arc<ProxyCells>>,
    routes: Vec<Arc<RouteCells>>,
    codes: Vec<Arc<CodeCell>>,
}

struct ProxyCells {
    proxy: Arc<str>,
    received: Count,
    connections: AtomicI64,
    bytes_in: Count,
    bytes_out: Count,
    troubles: [Count; Trouble::ALL.len()],
    /// Connections of a TCP proxy that have ended.
    ended: [Count; ExchangeOutcome::ALL.len()],
    handshakes: [Count; HandshakeFailure::ALL.len()],
}

struct RouteCells {
    proxy: Arc<str>,
    route: Arc<str>,
    duration: Tally,
    upstream: Tally,
    injected: Tally,
}

struct CodeCell {
    route: Arc<RouteCells>,
    code: Option<u16>,
    outcome: ExchangeOutcome,
    count: Count,
}

thread_local! {
    /// This thread's way to its cells, for each [`Traffic`] it has served; there is one in a process, and many in a test.
    static MINE: RefCell<Vec<Mine>> = const { RefCell::new(Vec::new()) };
}

struct Mine {
    id: u64,
    shared: Weak<Mutex<Cells>>,
    proxies: ByName<MyProxy>,
}

struct MyProxy {
    cells: Arc<ProxyCells>,
    routes: ByName<MyRoute>,
}

struct MyRoute {
    cells: Arc<RouteCells>,
    codes: Vec<Arc<CodeCell>>,
}

impl Traffic {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self { id: NEXT.fetch_add(1, Relaxed), cells: Arc::default() }
    }

    pub(super) fn exchange(&self, event: &ExchangeEvent<'_>) {
        self.on(event.proxy, |proxy| {
            proxy.cells.bytes_in.add(event.bytes.0);
            proxy.cells.bytes_out.add(event.bytes.1);
            if let Some(trouble) = event.trouble {
                proxy.cells.troubles[trouble_index(trouble)].add(1);
            }
            let route = proxy.route(event.route, &self.cells);
            route.cells.duration.observe(event.duration);
            if let Some(upstream) = event.upstream {
                route.cells.upstream.observe(upstream);
            }
            if !event.injected.is_zero() {
                route.cells.injected.observe(event.injected);
            }
            route.code(event.status, event.outcome, &self.cells).count.add(1);
        });
    }

    pub(super) fn received(&self, proxy: &str) {
        self.on(proxy, |mine| mine.cells.received.add(1));
    }

    pub(super) fn connections(&self, proxy: &str, change: i64) {
        self.on(proxy, |mine| {
            mine.cells.connections.fetch_add(change, Relaxed);
        });
    }

    pub(super) fn moved(&self, proxy: &str, received: u64, sent: u64) {
        self.on(proxy, |mine| {
            mine.cells.bytes_in.add(received);
            mine.cells.bytes_out.add(sent);
        });
    }

    pub(super) fn connection_ended(&self, event: &ConnectionEvent<'_>) {
        self.on(event.proxy, |mine| {
            if let Some(trouble) = event.trouble {
                mine.cells.troubles[trouble_index(trouble)].add(1);
            }
            mine.cells.ended[outcome_index(event.outcome)].add(1);
        });
    }

    pub(super) fn handshake_failed(&self, proxy: &str, failure: HandshakeFailure) {
        let index = HandshakeFailure::ALL.iter().position(|f| *f == failure).unwrap_or_default();
        self.on(proxy, |mine| mine.cells.handshakes[index].add(1));
    }

    /// How many requests of a proxy have been read since the process started.
    pub(super) fn total_received(&self, proxy: &str) -> u64 {
        lock(&self.cells).proxies.iter().filter(|cells| &*cells.proxy == proxy).map(|cells| cells.received.get()).sum()
    }

    fn on(&self, proxy: &str, act: impl Fn(&mut MyProxy)) {
        let counted = MINE.try_with(|mine| {
            let mut all = mine.borrow_mut();
            let at = all.iter().position(|mine| mine.id == self.id).unwrap_or_else(|| {
                all.retain(|mine| mine.shared.strong_count() > 0);
                all.push(Mine { id: self.id, shared: Arc::downgrade(&self.cells), proxies: ByName::default() });
                all.len() - 1
            });
            act(all[at].proxies.find(proxy, || MyProxy::new(proxy, &self.cells)));
        });
        if counted.is_err() {
            // The thread is ending and its own cells are gone: a connection that closes now still counts.
            act(&mut MyProxy::new(proxy, &self.cells));
        }
    }

    /// The families of all that was counted.
    pub(super) fn collect(&self) -> Vec<MetricFamily> {
        let cells = lock(&self.cells);
        let mut families = proxy_families(&cells.proxies);
        families.extend(route_families(&cells.routes));
        families.push(code_family(&cells.codes));
        families.into_iter().filter_map(Family::finish).collect()
    }
}

impl MyProxy {
    fn new(proxy: &str, shared: &Mutex<Cells>) -> Self {
        let cells = Arc::new(ProxyCells {
            proxy: proxy.into(),
            received: Count::default(),
            connections: AtomicI64::new(0),
            bytes_in: Count::default(),
            bytes_out: Count::default(),
            troubles: Default::default(),
            ended: Default::default(),
            handshakes: Default::default(),
        });
        lock(shared).proxies.push(cells.clone());
        Self { cells, routes: ByName::default() }
    }

    fn route(&mut self, route: &str, shared: &Mutex<Cells>) -> &mut MyRoute {
        self.routes.find(route, || {
            let cells = Arc::new(RouteCells {
                proxy: self.cells.proxy.clone(),
                route: route.into(),
                duration: Tally::default(),
                upstream: Tally::default(),
                injected: Tally::default(),
            });
            lock(shared).routes.push(cells.clone());
            MyRoute { cells, codes: Vec::new() }
        })
    }
}

impl MyRoute {
    /// A handful of statuses a route: a scan beats hashing.
    fn code(&mut self, code: Option<u16>, outcome: ExchangeOutcome, shared: &Mutex<Cells>) -> &CodeCell {
        let at = self.codes.iter().position(|cell| cell.code == code && cell.outcome == outcome).unwrap_or_else(|| {
            let cell = Arc::new(CodeCell { route: self.cells.clone(), code, outcome, count: Count::default() });
            lock(shared).codes.push(cell.clone());
            self.codes.push(cell);
            self.codes.len() - 1
        });
        &self.codes[at]
    }
}

fn trouble_index(trouble: Trouble) -> usize {
    Trouble::ALL.iter().position(|t| *t == trouble).unwrap_or_default()
}

fn outcome_index(outcome: ExchangeOutcome) -> usize {
    ExchangeOutcome::ALL.iter().position(|o| *o == outcome).unwrap_or_default()
}

/// A thread that panicked while it held the lock had only pushed to a list: what is there is good.
fn lock(cells: &Mutex<Cells>) -> MutexGuard<'_, Cells> {
    cells.lock().unwrap_or_else(PoisonError::into_inner)
}

fn proxy_families(cells: &[Arc<ProxyCells>]) -> Vec<Family> {
    #[derive(Default)]
    struct Sum {
        received: u64,
        connections: i64,
        bytes_in: u64,
        bytes_out: u64,
        troubles: [u64; Trouble::ALL.len()],
        ended: [u64; ExchangeOutcome::ALL.len()],
        handshakes: [u64; HandshakeFailure::ALL.len()],
    }
    let mut sums = BTreeMap::<&str, Sum>::new();
    for cells in cells {
        let sum = sums.entry(&cells.proxy).or_default();
        sum.received += cells.received.get();
        sum.connections += cells.connections.load(Relaxed);
        sum.bytes_in += cells.bytes_in.get();
        sum.bytes_out += cells.bytes_out.get();
        for (sum, count) in sum.troubles.iter_mut().zip(&cells.troubles) {
            *sum += count.get();
        }
        for (sum, count) in sum.ended.iter_mut().zip(&cells.ended) {
            *sum += count.get();
        }
        for (sum, count) in sum.handshakes.iter_mut().zip(&cells.handshakes) {
            *sum += count.get();
        }
    }
    let mut received = Family::new(&names::REQUESTS_RECEIVED);
    let mut connections = Family::new(&names::CONNECTIONS_OPEN);
    let mut ended = Family::new(&names::TCP_CONNECTIONS);
    let mut bytes_in = Family::new(&names::RECEIVED_BYTES);
    let mut bytes_out = Family::new(&names::SENT_BYTES);
    let mut troubles = Family::new(&names::PROXY_ERRORS);
    let mut handshakes = Family::new(&names::HANDSHAKE_FAILURES);
    for (proxy, sum) in sums {
        received.add_event_count(&[proxy], sum.received);
        connections.add(&[proxy], sum.connections as f64);
        bytes_in.add_event_count(&[proxy], sum.bytes_in);
        bytes_out.add_event_count(&[proxy], sum.bytes_out);
        for (trouble, count) in Trouble::ALL.iter().zip(sum.troubles) {
            troubles.add_event_count(&[proxy, trouble.name()], count);
        }
        for (outcome, count) in ExchangeOutcome::ALL.iter().zip(sum.ended) {
            ended.add_event_count(&[proxy, outcome.name()], count);
        }
        for (failure, count) in HandshakeFailure::ALL.iter().zip(sum.handshakes) {
            handshakes.add_event_count(&[proxy, failure.name()], count);
        }
    }
    vec![received, connections, ended, bytes_in, bytes_out, troubles, handshakes]
}

fn route_families(cells: &[Arc<RouteCells>]) -> Vec<Family> {
    let mut sums = BTreeMap::<(&str, &str), [Tallied; 3]>::new();
    for cells in cells {
        let sum = sums.entry((&cells.proxy, &cells.route)).or_default();
        for (sum, tally) in sum.iter_mut().zip([&cells.duration, &cells.upstream, &cells.injected]) {
            sum.add(tally);
        }
    }
    let metrics = [&names::REQUEST_DURATION, &names::UPSTREAM_DURATION, &names::INJECTED_DELAY];
    let mut families = metrics.map(Family::new);
    for ((proxy, route), sum) in &sums {
        for (family, tallied) in families.iter_mut().zip(sum) {
            family.add_tallied(&[proxy, route], tallied);
        }
    }
    families.into()
}

fn code_family(cells: &[Arc<CodeCell>]) -> Family {
    let mut sums = BTreeMap::<(&str, &str, Option<u16>, &str), u64>::new();
    for cell in cells {
        let key = (&*cell.route.proxy, &*cell.route.route, cell.code, cell.outcome.name());
        *sums.entry(key).or_default() += cell.count.get();
    }
    let mut family = Family::new(&names::REQUESTS);
    for ((proxy, route, code, outcome), count) in sums {
        let code = code.map_or_else(|| names::NO_CODE.to_owned(), |code| code.to_string());
        family.add_event_count(&[proxy, route, &code, outcome], count);
    }
    family
}

/// A map from short names that come from the configuration, not from strangers: FNV is faster than SipHash here.
struct ByName<T>(IndexMap<Box<str>, T, BuildHasherDefault<Fnv>>);

impl<T> Default for ByName<T> {
    fn default() -> Self {
        Self(IndexMap::default())
    }
}

impl<T> ByName<T> {
    fn find(&mut self, name: &str, make: impl FnOnce() -> T) -> &mut T {
        let at = self.0.get_index_of(name).unwrap_or_else(|| self.0.insert_full(name.into(), make()).0);
        &mut self.0[at]
    }
}

/// FNV-1a.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xCBF2_9CE4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0000_0100_0000_01B3));
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
