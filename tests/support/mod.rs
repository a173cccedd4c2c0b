//! A proxy under test, and raw sockets on both sides of it.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "every test binary uses another part of it"
)]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use brownout::config::{ProxyConfig, read_proxy};
use brownout::diagnostics::{Node, Reader};
use brownout::proxy::{Proxy, Shards, Surroundings};
use brownout::rules::Store;
use brownout::telemetry::events::NoObserver;

/// Long enough for a busy machine; nothing waits this long when all is well.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A proxy in front of an origin, with a rule store to play with.
pub struct Bench {
    pub proxy: Option<Proxy>,
    pub rules: Arc<Store>,
    pub address: SocketAddr,
    runtime: tokio::runtime::Runtime,
}

impl Bench {
    /// A proxy on a free port in front of this origin.
    pub fn new(origin: SocketAddr) -> Self {
        Self::with(&format!("upstream = \"http://{origin}\""))
    }

    /// A proxy with these lines in its `[[proxy]]` table.
    pub fn with(lines: &str) -> Self {
        let config = proxy_config(lines);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let rules = Store::new(7);
        let around = Surroundings {
            shards: Arc::new(Shards::start(2).unwrap()),
            rules: rules.clone(),
            observer: Arc::new(NoObserver),
        };
        let proxy = runtime.block_on(Proxy::start(config, &around)).unwrap();
        Self { address: proxy.address(), proxy: Some(proxy), rules, runtime }
    }

    /// A client's connection to the proxy.
    pub fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    /// Stops the proxy; how many connections had to be cut.
    pub fn stop(&mut self, limit: Duration) -> usize {
        self.proxy.take().map_or(0, |proxy| self.runtime.block_on(proxy.stop(limit)))
    }
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

/// A raw socket that speaks as told.
pub struct Client(pub TcpStream);

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        Self(socket)
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.0.write_all(bytes.as_ref()).unwrap();
        self
    }

    /// Reads until these bytes have come, and gives everything up to their end.
    pub fn read_until(&mut self, end: &str) -> String {
        let mut got = Vec::new();
        let mut byte = [0u8; 1];
        while !got.ends_with(end.as_bytes()) {
            match self.0.read(&mut byte) {
                Ok(1) => got.push(byte[0]),
                other => panic!("{other:?} before {end:?}, after {:?}", String::from_utf8_lossy(&got)),
            }
        }
        String::from_utf8_lossy(&got).into_owned()
    }

    /// Reads one head: everything up to the empty line.
    pub fn read_head(&mut self) -> String {
        self.read_until("\r\n\r\n")
    }

    /// Reads exactly so many bytes.
    pub fn read_exact(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// Reads one response with a Content-Length: head and body.
    pub fn read_response(&mut self) -> (String, String) {
        let head = self.read_head();
        let length = field(&head, "content-length").map_or(0, |l| l.parse().unwrap());
        (head, String::from_utf8_lossy(&self.read_exact(length)).into_owned())
    }

    /// Reads to the end: the bytes and how it ended.
    pub fn read_to_end(&mut self) -> (Vec<u8>, std::io::Result<()>) {
        let mut bytes = Vec::new();
        let ended = self.0.read_to_end(&mut bytes).map(|_| ());
        (bytes, ended)
    }

    pub fn finish_sending(&mut self) -> &mut Self {
        self.0.shutdown(Shutdown::Write).unwrap();
        self
    }
}

/// The value of a header field, by its lower-case name.
pub fn field(head: &str, name: &str) -> Option<String> {
    head.lines().skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    })
}

/// An upstream made of raw sockets: each accepted connection is handed to the test.
pub struct Origin {
    pub address: SocketAddr,
    connections: Receiver<TcpStream>,
}

impl Origin {
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, connections): (Sender<TcpStream>, _) = channel();
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                if sender.send(socket).is_err() {
                    return;
                }
            }
        });
        Self { address, connections }
    }

    /// An origin that answers every request with what the function makes of its head, for as long as the test runs.
    pub fn answering(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let Self { address, connections } = Self::new();
        let answer = Arc::new(answer);
        std::thread::spawn(move || {
            for socket in connections {
                let answer = answer.clone();
                std::thread::spawn(move || serve(Client(socket), &*answer));
            }
        });
        let (_, nobody) = channel();
        Self { address, connections: nobody }
    }

    /// The next connection that the proxy opens.
    pub fn accept(&self) -> Client {
        let socket = self.connections.recv_timeout(PATIENCE).expect("the proxy did not connect");
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        Client(socket)
    }

    /// A connection that the proxy opened already, if any.
    pub fn try_accept(&self) -> Option<Client> {
        self.connections.try_recv().ok().map(Client)
    }
}

fn serve(mut client: Client, answer: &dyn Fn(&str) -> Vec<u8>) {
    let mut head = Vec::new();
    let mut byte = [0u8; 1];
    while let Ok(1) = client.0.read(&mut byte) {
        head.push(byte[0]);
        if !head.ends_with(b"\r\n\r\n") {
            continue;
        }
        let text = String::from_utf8_lossy(&head).into_owned();
        let length = field(&text, "content-length").map_or(0, |l| l.parse().unwrap());
        if std::io::copy(&mut Read::by_ref(&mut client.0).take(length), &mut std::io::sink()).is_err() {
            return;
        }
        if client.0.write_all(&answer(&text)).is_err() {
            return;
        }
        head.clear();
    }
}

/// `HTTP/1.1 200 OK` with this body.
pub fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}
