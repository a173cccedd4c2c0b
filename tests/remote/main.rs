//! Commands that talk to a running instance.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a helper of a test may fail the test")]

mod off;
mod rules;

use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use brownout::admin::{Api, Latch, Setup, serve_admin};
use brownout::diagnostics::{FromNode, Node};
use brownout::rules::{Ceilings, Store};
use brownout::telemetry::Metrics;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// An admin API with a token; it ends with the test.
struct Instance {
    store: Arc<Store>,
    address: SocketAddr,
    _runtime: Runtime,
}

impl Instance {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (store, metrics) = (Store::new(1), Metrics::new());
        let latch = Arc::new(Latch::restore(store.clone(), metrics.clone(), None));
        let token = Some(FromNode::from_node(&Node::from_json(&"sesame".into())).unwrap());
        let ceilings = Ceilings::default();
        let setup = Setup { store: store.clone(), metrics, latch, ceilings, listen: address, token, names: Vec::new() };
        runtime.spawn(serve_admin(listener, Api::new(setup), std::future::pending()));
        Self { store, address, _runtime: runtime }
    }

    fn call(&self, command: &str, token: &str) -> Output {
        brownout(&[command, "--admin", &self.address.to_string(), "--token", token])
    }
}

fn brownout(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_brownout"))
        .args(arguments)
        .env_remove("BROWNOUT_ADMIN")
        .env_remove("BROWNOUT_TOKEN")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}
