//! `brownout off` and `brownout on` against an instance that runs.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a helper of a test may fail the test")]

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

#[test]
fn off_and_on_act_on_the_instance_that_they_are_pointed_at() {
    let instance = Instance::start();
    let off = instance.call("off", "sesame");
    assert_eq!((off.status.code(), text(&off.stdout)), (Some(0), "all faults are off\n"), "{}", text(&off.stderr));
    assert!(text(&off.stderr).contains("a restart forgets this"), "it has no state file");
    assert!(instance.store.is_off());
    let on = instance.call("on", "sesame");
    assert_eq!((on.status.code(), text(&on.stdout)), (Some(0), "faults act again\n"));
    assert!(!instance.store.is_off());
}

#[test]
fn a_wrong_token_a_wrong_address_and_nobody_there_have_their_own_cures() {
    let instance = Instance::start();
    let refused = instance.call("off", "open");
    assert_eq!(refused.status.code(), Some(3));
    assert!(text(&refused.stderr).contains("$BROWNOUT_TOKEN"), "{}", text(&refused.stderr));
    assert!(!instance.store.is_off());
    let nobody = brownout(&["off", "--admin", "http://127.0.0.1:9"]);
    assert_eq!(nobody.status.code(), Some(3));
    assert!(text(&nobody.stderr).contains("brownout serve"), "{}", text(&nobody.stderr));
    let wrong = brownout(&["on", "--admin", "https://127.0.0.1"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(text(&wrong.stderr).contains("http://host:port"), "{}", text(&wrong.stderr));
}

#[test]
fn the_configuration_says_where_the_instance_is_and_what_it_asks_for() {
    let instance = Instance::start();
    let folder = tempfile::tempdir().unwrap();
    let config = |path: &str, token: &str| {
        let text = format!(
            "[admin]\nlisten = \"{}\"\ntoken = \"{token}\"\n[[proxy]]\nname = \"${{NOT_HERE}}\"\n",
            instance.address
        );
        std::fs::write(folder.path().join(path), text).unwrap();
    };
    let call = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_brownout"));
        command.args(arguments).current_dir(folder.path()).env_remove("BROWNOUT_ADMIN").env_remove("BROWNOUT_TOKEN");
        command.stdin(Stdio::null()).output().unwrap()
    };
    std::fs::create_dir(folder.path().join("config")).unwrap();
    config("config/brownout.toml", "sesame");
    config("staging.toml", "wrong");
    assert_eq!(call(&["off"]).status.code(), Some(0), "the usual file is looked for");
    assert!(instance.store.is_off());
    assert_eq!(call(&["on", "-c", "staging.toml"]).status.code(), Some(3), "the file that was named is believed");
    assert_eq!(call(&["on", "-c", "staging.toml", "--token", "sesame"]).status.code(), Some(0), "and the flag more");
    assert!(!instance.store.is_off());
    let missing = call(&["off", "-c", "none.toml"]);
    assert_eq!((missing.status.code(), text(&missing.stderr).contains("none.toml")), (Some(2), true));
}
