//! The API over a real socket, mostly through the client that ships with it.

mod plain;
mod rules;
mod runs;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};
use url::Url;

use super::*;
use crate::client::wire::{self, Problem};
use crate::client::{Client, ClientError};
use crate::config::Token;
use crate::diagnostics::{FromNode, Node};
use crate::faults::RequestView;
use crate::rules::{Ceilings, Plan, Store};
use crate::telemetry::Metrics;

/// One instance with the proxies `stock` and `payments`, its API on a free port; it stops when dropped.
struct Instance {
    api: Arc<Api>,
    address: SocketAddr,
    client: Client,
    _stop: DropGuard,
}

/// What differs from one test to the next.
#[derive(Default)]
struct Options {
    token: Option<&'static str>,
    ceilings: Ceilings,
    state_file: Option<PathBuf>,
}

impl Instance {
    async fn start() -> Self {
        Self::with(Options::default()).await
    }

    async fn with(options: Options) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let api = api(options.ceilings, address, options.token, options.state_file);
        let stop = CancellationToken::new();
        tokio::spawn(serve_admin(listener, api.clone(), stop.clone().cancelled_owned()));
        let client = Client::new(&Url::parse(&format!("http://{address}")).unwrap(), options.token).unwrap();
        Self { api, address, client, _stop: stop.drop_guard() }
    }

    /// Sends a head (its lines without `Host`) and a body, and reads the whole answer.
    async fn raw(&self, head: &str, body: &str) -> Answer {
        let head = head.trim_end().replace('\n', "\r\n");
        let request = format!("{head}\r\nHost: {}\r\nConnection: close\r\n\r\n{body}", self.address);
        exchange(self.address, &request).await
    }

    /// Sends JSON.
    async fn send(&self, method: &str, path: &str, headers: &str, json: &serde_json::Value) -> Answer {
        let body = json.to_string();
        let head = format!(
            "{method} {path} HTTP/1.1\nContent-Type: application/json\nContent-Length: {}\n{headers}",
            body.len()
        );
        self.raw(&head, &body).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.raw(&format!("GET {path} HTTP/1.1"), "").await
    }

    async fn post(&self, path: &str) -> Answer {
        self.raw(&format!("POST {path} HTTP/1.1"), "").await
    }

    /// Lets one request to a proxy meet the rules.
    fn plan(&self, proxy: &str) -> Plan {
        plan(&self.api.store, proxy)
    }
}

fn plan(store: &Store, proxy: &str) -> Plan {
    let (method, headers) = (http::Method::GET, http::HeaderMap::new());
    let view = RequestView::of(&method, "/", &headers);
    store.load().plan(proxy, &view)
}

/// An API without a listener.
fn api(ceilings: Ceilings, listen: SocketAddr, token: Option<&str>, state_file: Option<PathBuf>) -> Arc<Api> {
    let (store, metrics) = (Store::new(1), Metrics::new());
    let latch = Arc::new(Latch::restore(store.clone(), metrics.clone(), state_file));
    let token = token.map(|token| Token::from_node(&Node::from_json(&token.into())).unwrap());
    let api = Api::new(Setup { store, metrics, latch, ceilings, listen, token, names: Vec::new() });
    let proxy = |name: &str| wire::Proxy {
        name: name.to_owned(),
        protocol: "http".to_owned(),
        listen: "127.0.0.1:1".to_owned(),
        upstreams: vec!["http://127.0.0.1:2".to_owned()],
    };
    api.set_proxies(vec![proxy("stock"), proxy("payments")]);
    api
}

/// An answer taken apart.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    fn json<T: serde::de::DeserializeOwned>(&self) -> T {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}\n{}", self.head, self.body))
    }

    /// The end of the problem's type; panics unless the answer is a problem document with the status of the answer.
    fn problem(&self) -> (String, Problem) {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}\n{}", self.head, self.body);
        let problem: Problem = self.json();
        assert_eq!(problem.status, self.status);
        (problem.kind.rsplit(':').next().unwrap().to_owned(), problem)
    }
}

async fn exchange(address: SocketAddr, request: &str) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    // Every answer of the API has a length: what follows the head is the body.
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

/// The problem of a call that was refused.
fn refusal<T: std::fmt::Debug>(result: Result<T, ClientError>) -> Problem {
    match result {
        Err(ClientError::Refused(problem)) => *problem,
        other => panic!("not refused: {other:?}"),
    }
}

/// A rule that answers 503 to everything.
fn rule(name: &str) -> serde_json::Value {
    serde_json::json!({ "name": name, "fault": [{ "kind": "error", "status": 503 }] })
}

/// As [`rule`], on one proxy only.
fn rule_on(name: &str, proxy: &str) -> serde_json::Value {
    let mut rule = rule(name);
    rule["proxy"] = proxy.into();
    rule
}
