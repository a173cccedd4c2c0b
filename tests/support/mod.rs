//! A proxy under test, and raw sockets on both sides of it.
#![allow(
    dead_code,
    unused_imports,
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "every test binary uses another part of it"
)]

pub mod h2;
pub mod https;
pub mod raw;
pub mod tls;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use brownout::config::{ProxyConfig, read_proxy};
use brownout::diagnostics::{Node, Reader};
use brownout::proxy::{Proxy, Shards, Surroundings};
use brownout::rules::{Counts, Layer, RuleSpec, Store, read_rules};
use brownout::telemetry::events::{ExchangeEvent, ExchangeOutcome, HandshakeFailure, Observer, Trouble};
pub use raw::{Client, Origin, field, ok};
pub use tls::Certs;

/// Long enough for a busy machine; nothing waits this long when all is well.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A proxy in front of an origin, with a rule store to play with: in the clear on both sides.
pub type Bench = BenchOver<false, false>;

/// A [`Bench`] whose clients are spoken to over TLS if `DOWN`, and whose upstreams if `UP`. Relays make that
/// invisible to the test: its own ends are plain all the same.
pub struct BenchOver<const DOWN: bool, const UP: bool> {
    pub proxy: Option<Proxy>,
    pub rules: Arc<Store>,
    /// Where an HTTP/1 client connects to.
    pub address: SocketAddr,
    /// Where an HTTP/2 client connects to.
    pub h2: SocketAddr,
    pub ledger: Arc<Ledger>,
}

impl<const DOWN: bool, const UP: bool> BenchOver<DOWN, UP> {
    /// What an HTTP/2 origin is told of a request that came over HTTP/1.
    pub const SCHEME: &'static str = if UP { "https" } else { "http" };
    /// What it is told of a request for `http://` that came over HTTP/2.
    pub const SCHEME_KEPT: &'static str = if DOWN == UP { "http" } else { Self::SCHEME };

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
        let mut lines = lines.to_owned();
        let certs = (DOWN || UP).then(Certs::new);
        if let Some(certs) = certs.as_ref().filter(|_| UP) {
            let alpn = if lines.contains("h2c://") { "h2" } else { "http/1.1" };
            lines = behind_tls(&lines, alpn) + &format!("\n{}alpn = \"{alpn}\"\n", certs.upstream_tls());
        }
        if let Some(certs) = certs.as_ref().filter(|_| DOWN) {
            lines += &format!("\n{}", certs.tls());
        }
        let rules = Store::new(7);
        let ledger = Arc::new(Ledger::default());
        let around = Surroundings {
            shards: Arc::new(Shards::start(2).unwrap()),
            rules: rules.clone(),
            observer: ledger.clone(),
        };
        let proxy = apart(Proxy::start(proxy_config(&lines), &around)).unwrap();
        let at = |alpn| if DOWN { tls::veil(proxy.address(), alpn) } else { proxy.address() };
        Self { address: at("http/1.1"), h2: at("h2"), proxy: Some(proxy), rules, ledger }
    }

    /// Puts these `[[rule]]`s in place of the others.
    pub fn rules(&self, toml: &str) {
        self.rules.replace(&Layer::File, rules(toml));
    }

    /// What a client has said has reached the proxy.
    pub fn has_heard(&self, client: &Client) {
        if DOWN {
            tls::wait_for_bytes(client.ends(), client.sent);
        }
    }

    /// What an origin has said has reached the proxy.
    pub fn has_heard_upstream(&self, up: &Client) {
        if UP {
            tls::wait_for_bytes(up.ends(), up.sent);
        }
    }

    /// An origin closes its connection, and that has reached the proxy.
    pub fn loses(&self, up: Client) {
        let ends = up.ends();
        drop(up);
        if UP {
            tls::wait_for_end(ends);
        }
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

/// Puts TLS in front of every upstream of these lines.
fn behind_tls(lines: &str, alpn: &str) -> String {
    let mut parts = lines.split('"').map(str::to_owned).collect::<Vec<_>>();
    for part in parts.iter_mut().skip(1).step_by(2) {
        let plain = part.strip_prefix("http://").or_else(|| part.strip_prefix("h2c://"));
        if let Some(address) = plain.and_then(|address| address.parse().ok()) {
            *part = format!("https://{}", tls::unveil(address, alpn));
        }
    }
    parts.join("\"")
}

/// What must stay while a test looks at the two ends.
pub struct Setting<B = Bench> {
    pub bench: B,
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
    failures: Vec<HandshakeFailure>,
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

    /// Waits until so many handshakes of clients have failed, and says why.
    pub fn failures(&self, count: usize) -> Vec<HandshakeFailure> {
        self.wait_for(|books| (books.failures.len() >= count).then(|| books.failures.clone()))
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

    fn handshake_failed(&self, _: &str, failure: HandshakeFailure) {
        self.note(|books| books.failures.push(failure));
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
