//! A proxy under test, and raw sockets on both sides of it.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "every test binary uses another part of it"
)]

pub mod h2;
pub mod raw;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use brownout::config::{ProxyConfig, read_proxy};
use brownout::diagnostics::{Node, Reader};
use brownout::proxy::{Proxy, Shards, Surroundings};
use brownout::rules::{Counts, Layer, RuleSpec, Store, read_rules};
use brownout::telemetry::events::{ExchangeEvent, ExchangeOutcome, Observer, Trouble};
pub use raw::{Client, Origin, field, ok};

/// Long enough for a busy machine; nothing waits this long when all is well.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A proxy in front of an origin, with a rule store to play with.
pub struct Bench {
    pub proxy: Option<Proxy>,
    pub rules: Arc<Store>,
    pub address: SocketAddr,
    pub ledger: Arc<Ledger>,
}

impl Bench {
    /// A proxy on a free port in front of this origin.
    pub fn new(origin: SocketAddr) -> Self {
        Self::with(&format!("upstream = \"http://{origin}\""))
    }

    /// A proxy in front of an origin that speaks HTTP/2.
    pub fn h2c(origin: SocketAddr) -> Self {
        Self::with(&format!("upstream = \"h2c://{origin}\""))
    }

    /// A proxy in front of this origin, with more lines in its `[[proxy]]` table.
    pub fn also(origin: SocketAddr, lines: &str) -> Self {
        Self::with(&format!("upstream = \"http://{origin}\"\n{lines}"))
    }

    /// A proxy with these lines in its `[[proxy]]` table.
    pub fn with(lines: &str) -> Self {
        let config = proxy_config(lines);
        let rules = Store::new(7);
        let ledger = Arc::new(Ledger::default());
        let around = Surroundings {
            shards: Arc::new(Shards::start(2).unwrap()),
            rules: rules.clone(),
            observer: ledger.clone(),
        };
        let proxy = apart(Proxy::start(config, &around)).unwrap();
        Self { address: proxy.address(), proxy: Some(proxy), rules, ledger }
    }

    /// Puts these `[[rule]]`s in place of the others.
    pub fn rules(&self, toml: &str) {
        self.rules.replace(&Layer::File, rules(toml));
    }

    /// Requests that suffer a fault now.
    pub fn active(&self) -> u64 {
        self.rules.total_active()
    }

    /// The counters of the only rule.
    pub fn counts(&self) -> Counts {
        let status = self.rules.status();
        assert_eq!(status.len(), 1);
        status[0].counts
    }

    /// A client's connection to the proxy.
    pub fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    /// A client's connection that has said this much.
    pub fn say(&self, bytes: impl AsRef<[u8]>) -> Client {
        let mut client = self.connect();
        client.send(bytes);
        client
    }

    /// Stops the proxy; how many connections had to be cut.
    pub fn stop(&mut self, limit: Duration) -> usize {
        self.proxy.take().map_or(0, |proxy| apart(proxy.stop(limit)))
    }
}

/// Waits for something on a runtime of its own, whether or not the test is on one.
fn apart<T: Send>(future: impl Future<Output = T> + Send) -> T {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    std::thread::scope(|scope| scope.spawn(|| runtime().block_on(future)).join().unwrap())
}

/// What must stay while a test looks at the two ends.
pub struct Setting {
    pub bench: Bench,
    pub origin: Origin,
}

/// A resolved `[[proxy]]` named `web` on a free port.
pub fn proxy_config(lines: &str) -> ProxyConfig {
    let text = format!("name = \"web\"\nlisten = \"127.0.0.1:0\"\n{lines}\n");
    let node = Node::from_toml("test.toml", &text).unwrap();
    let problems = std::cell::RefCell::default();
    let mut reader = Reader::new("test.toml", &node, "", &problems);
    let config = read_proxy(&mut reader);
    reader.finish();
    assert!(problems.borrow().is_empty(), "{}", problems.borrow());
    config.unwrap()
}

/// Rules as they would be written in a file.
pub fn rules(toml: &str) -> Vec<RuleSpec> {
    let node = Node::from_toml("rules.toml", toml).unwrap();
    let problems = std::cell::RefCell::default();
    let mut top = Reader::new("rules.toml", &node, "", &problems);
    let rules = read_rules(&mut top);
    top.finish();
    assert!(problems.borrow().is_empty(), "{}", problems.borrow());
    rules
}

/// One rule of this name for every request, with this fault.
pub fn rule(name: &str, fault: &str) -> String {
    format!("[[rule]]\nname = \"{name}\"\n[[rule.fault]]\n{fault}\n")
}

/// What the data path told.
#[derive(Default)]
pub struct Ledger {
    books: Mutex<Books>,
    news: std::sync::Condvar,
}

#[derive(Default)]
struct Books {
    received: usize,
    connections: i64,
    entries: Vec<Entry>,
}

/// One exchange, as told.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub method: String,
    pub target: String,
    pub status: Option<u16>,
    pub outcome: ExchangeOutcome,
    pub trouble: Option<Trouble>,
    pub marks: String,
    pub injected: Duration,
}

impl Ledger {
    /// Waits until so many exchanges have ended, and gives them.
    pub fn entries(&self, count: usize) -> Vec<Entry> {
        self.wait_for(|books| (books.entries.len() >= count).then(|| books.entries.clone()))
    }

    /// Waits until the only exchange has ended.
    pub fn only(&self) -> Entry {
        let mut entries = self.entries(1);
        assert_eq!(entries.len(), 1);
        entries.remove(0)
    }

    /// Waits until every request that was received has been told the end of, and every connection is closed.
    pub fn settled(&self) {
        self.wait_for(|books| (books.received == books.entries.len() && books.connections == 0).then_some(()));
    }

    fn wait_for<T>(&self, found: impl Fn(&Books) -> Option<T>) -> T {
        let mut books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(found) = found(&books) {
                return found;
            }
            let (woken, timeout) = self.news.wait_timeout(books, PATIENCE).unwrap_or_else(PoisonError::into_inner);
            assert!(!timeout.timed_out(), "{} received, {:?}", woken.received, woken.entries);
            books = woken;
        }
    }

    fn note(&self, note: impl FnOnce(&mut Books)) {
        note(&mut self.books.lock().unwrap_or_else(PoisonError::into_inner));
        self.news.notify_all();
    }
}

impl Observer for Ledger {
    fn exchange(&self, event: &ExchangeEvent<'_>) {
        let entry = Entry {
            method: event.method.to_owned(),
            target: event.target.to_owned(),
            status: event.status,
            outcome: event.outcome,
            trouble: event.trouble,
            marks: event.marks.to_owned(),
            injected: event.injected,
        };
        self.note(|books| books.entries.push(entry));
    }

    fn request_received(&self, _: &str) {
        self.note(|books| books.received += 1);
    }

    fn connections(&self, _: &str, change: i64) {
        self.note(|books| books.connections += change);
    }
}

/// Bytes that are not all the same, to be told apart when some are lost or swapped.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1du64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
