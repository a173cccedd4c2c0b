//! What several benches need: an origin, a proxy in front of it, rules from JSON, quantiles.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "every bench uses another part, and may stop where it stands"
)]

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use brownout::clock;
use brownout::config::read_proxy;
use brownout::diagnostics::{Node, Reader};
use brownout::proxy::{Proxy, Shards, Surroundings};
use brownout::rules::{RuleSpec, Store, read_rules};
use brownout::telemetry::events::NoObserver;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

/// A proxy as `brownout serve` starts it on this machine, in front of an origin; it stops when this is dropped.
pub struct Bench {
    pub address: SocketAddr,
    pub rules: Arc<Store>,
    _proxy: Proxy,
}

impl Bench {
    /// One shard a core.
    pub fn start() -> Self {
        allow_open_files();
        let origin = origin();
        let node = Node::from_json(&serde_json::json!({
            "name": "bench", "listen": "127.0.0.1:0", "upstream": format!("http://{origin}")
        }));
        let config = read("bench", &node, |reader| read_proxy(reader).unwrap());
        let cores = std::thread::available_parallelism().unwrap().get();
        let rules = Store::new(1);
        let around = Surroundings {
            shards: Arc::new(Shards::start(cores).unwrap()),
            rules: rules.clone(),
            observer: Arc::new(NoObserver),
        };
        let proxy = on_a_runtime(async { Proxy::start(config, &around).await.unwrap() });
        Self { address: proxy.address(), rules, _proxy: proxy }
    }
}

/// Rules as in a rule file, written in JSON.
pub fn rules(rules: &serde_json::Value) -> Vec<RuleSpec> {
    let node = Node::from_json(&serde_json::json!({ "rule": rules }));
    read("rules", &node, read_rules)
}

fn read<T>(file: &'static str, node: &Node, read: impl FnOnce(&mut Reader<'_>) -> T) -> T {
    let problems = RefCell::default();
    let value = read(&mut Reader::new(file, node, "", &problems));
    let problems = problems.into_inner();
    assert!(problems.is_empty(), "{problems}");
    value
}

/// Runs a future to its end on this thread, with the precise timer.
pub fn on_a_runtime<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let _timer = clock::install().unwrap();
        future.await
    })
}

/// Answers `GET .../N` with N bytes, on a thread of its own, for as long as the bench runs.
fn origin() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let serve = async move {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            socket.set_nodelay(true).unwrap();
            let connection =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service_fn(answer));
            tokio::spawn(connection);
        }
    };
    std::thread::spawn(|| on_a_runtime(serve));
    address
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    static BODY: [u8; 4 << 20] = [b'x'; 4 << 20];
    let length = request.uri().path().rsplit('/').next().and_then(|n| n.parse().ok()).unwrap_or(0);
    Ok(Response::new(Full::new(Bytes::from_static(&BODY[..length]))))
}

/// A thousand connections have four thousand ends in this process.
fn allow_open_files() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointers are valid for the calls.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
    }
}

/// A sorted sample.
pub struct Sample(Vec<f64>);

impl Sample {
    pub fn new(mut values: Vec<f64>) -> Self {
        assert!(!values.is_empty(), "nothing was measured");
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    pub fn of_ms(times: &[Duration]) -> Self {
        Self::new(times.iter().map(|t| t.as_secs_f64() * 1e3).collect())
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn quantile(&self, q: f64) -> f64 {
        self.0[((self.0.len() - 1) as f64 * q).round() as usize]
    }

    pub fn min(&self) -> f64 {
        self.0[0]
    }

    pub fn max(&self) -> f64 {
        self.0[self.0.len() - 1]
    }
}

/// A bar of the design, and whether this run meets it.
pub fn bar(what: &str, wanted: &str, measured: &str, met: bool) -> String {
    format!("{} {what}: {measured} (bar: {wanted})", if met { "met    " } else { "NOT MET" })
}
