//! A registry with its API on free ports, and plain sockets on both sides of a proxy.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use brownout::rules::{Layer, RuleSpec, Store};
use brownout::shards::Shards;
use brownout::tcp::api::{Api, Exported, serve_toxiproxy};
use brownout::tcp::{Around, Registry};
use brownout::telemetry::Metrics;
use tokio::runtime::Runtime;

/// Long enough for a busy machine; nothing waits this long when all is well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Stage {
    pub(crate) registry: Arc<Registry>,
    pub(crate) store: Arc<Store>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) api: SocketAddr,
    pub(crate) runtime: Runtime,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self::with(false, Exported { proxy: true, runtime: false })
    }

    pub(crate) fn strict() -> Self {
        Self::with(true, Exported::default())
    }

    pub(crate) fn with(strict: bool, exported: Exported) -> Self {
        let (store, metrics) = (Store::new(7), Metrics::new());
        let around = Around {
            shards: Arc::new(Shards::start(2).unwrap()),
            rules: store.clone(),
            observer: metrics.clone(),
            seed: 7,
            strict,
            ceilings: Default::default(),
        };
        let registry = Registry::new(around);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let api = Api::new(registry.clone(), exported);
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(serve_toxiproxy(listener, api, std::future::pending()));
        Self { registry, store, metrics, api: address, runtime }
    }

    /// A proxy named `p` in front of this address, over the API; where it listens.
    pub(crate) fn proxy(&self, upstream: SocketAddr) -> SocketAddr {
        self.proxy_with(upstream, "")
    }

    /// As [`Stage::proxy`], with more fields in the body.
    pub(crate) fn proxy_with(&self, upstream: SocketAddr, more: &str) -> SocketAddr {
        let body = format!("{{\"name\":\"p\",\"listen\":\"127.0.0.1:0\",\"upstream\":\"{upstream}\"{more}}}");
        let answer = self.post("/proxies", &body);
        assert_eq!(answer.status, 201, "{}", answer.body);
        answer.json()["listen"].as_str().unwrap().parse().unwrap()
    }

    /// Adds a toxic to `p`.
    pub(crate) fn toxic(&self, body: &str) {
        let answer = self.post("/proxies/p/toxics", body);
        assert_eq!(answer.status, 200, "{}", answer.body);
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.call(&format!("GET {path}"), "", "")
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> Answer {
        self.call(&format!("POST {path}"), "", body)
    }

    pub(crate) fn delete(&self, path: &str) -> Answer {
        self.call(&format!("DELETE {path}"), "", "")
    }

    /// One request on a connection of its own.
    pub(crate) fn call(&self, line: &str, headers: &str, body: &str) -> Answer {
        let mut socket = connect(self.api);
        let request = format!(
            "{line} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n{body}",
            body.len()
        );
        socket.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        socket.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let (status, headers) = head.split_once("\r\n").unwrap_or((head, ""));
        let status = status.split(' ').nth(1).unwrap().parse().unwrap();
        let mut headers: Vec<String> = headers.lines().map(|line| line.to_ascii_lowercase()).collect();
        headers.retain(|line| !["date:", "connection:"].iter().any(|name| line.starts_with(name)));
        headers.sort();
        Answer { status, headers, body: body.to_owned() }
    }

    pub(crate) fn rules(&self, toml: &str) {
        self.store.replace(&Layer::File, rules(toml));
    }

    /// The value of one series of the exporter.
    pub(crate) fn value(&self, series: &str) -> Option<f64> {
        let text = String::from_utf8(self.metrics.text()).unwrap();
        text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.runtime.block_on(self.registry.drain(Duration::ZERO));
    }
}

fn rules(toml: &str) -> Vec<RuleSpec> {
    use brownout::diagnostics::{Node, Reader};
    let node = Node::from_toml("r.toml", toml).unwrap();
    let problems = std::cell::RefCell::default();
    let rules = brownout::rules::read_rules(&mut Reader::new("r.toml", &node, "", &problems));
    assert!(problems.borrow().is_empty(), "{}", problems.borrow());
    rules
}

/// An answer of the API.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<String>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    socket.set_nodelay(true).unwrap();
    socket
}

/// A server that waits to be connected to.
pub(crate) struct Server(pub(crate) TcpListener);

impl Server {
    pub(crate) fn new() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    /// The next connection to it.
    pub(crate) fn accept(&self) -> TcpStream {
        let (socket, _) = self.0.accept().unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        socket
    }
}

/// A server that sends back what it is sent.
pub(crate) fn echo() -> SocketAddr {
    let server = Server::new();
    let address = server.address();
    std::thread::spawn(move || {
        while let Ok((mut socket, _)) = server.0.accept() {
            let _ = socket.set_nodelay(true);
            std::thread::spawn(move || {
                let mut buffer = vec![0; 64 * 1024];
                while let Ok(n) = socket.read(&mut buffer) {
                    if n == 0 || socket.write_all(&buffer[..n]).is_err() {
                        break;
                    }
                }
            });
        }
    });
    address
}

/// Reads exactly so many bytes.
pub(crate) fn read(socket: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    socket.read_exact(&mut bytes).unwrap();
    bytes
}

/// Sends and expects the same back; how long it took.
pub(crate) fn ping(socket: &mut TcpStream, text: &str) -> Duration {
    let start = Instant::now();
    socket.write_all(text.as_bytes()).unwrap();
    assert_eq!(String::from_utf8(read(socket, text.len())).unwrap(), text);
    start.elapsed()
}

/// How a connection ends for whoever reads it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    Fin,
    Rst,
    /// It had not ended by then.
    Open,
}

/// Reads to the end: the bytes and the end.
pub(crate) fn drain(socket: &mut TcpStream) -> (Vec<u8>, End) {
    let mut bytes = Vec::new();
    match socket.read_to_end(&mut bytes) {
        Ok(_) => (bytes, End::Fin),
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => (bytes, End::Open),
        Err(_) => (bytes, End::Rst),
    }
}

/// Asks again until it is so.
pub(crate) fn until(what: &str, is: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Bytes that are not all the same.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1du64;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .collect()
}
