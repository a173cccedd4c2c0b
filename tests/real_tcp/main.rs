//! Real databases behind the TCP proxy, and Toxiproxy's real clients in front of its API.
//!
//! Needs Redis, PostgreSQL, MariaDB, `toxiproxy-python` and `toxiproxy-node-client` (`scripts/setup test` installs them)
//! and fails without them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper of a test may fail the test")]
#![allow(dead_code, reason = "the stage is shared with the tests of the TCP proxy")]

mod clients;
mod mariadb;
mod postgres;
mod processes;
mod redis;
#[path = "../tcp/stage.rs"]
mod stage;

use std::net::SocketAddr;

use stage::Stage;

/// Under these every byte still arrives.
pub(crate) const HARMLESS: &[&str] = &[
    r#"{"name":"t","type":"noop"}"#,
    r#"{"name":"t","type":"latency","attributes":{"latency":3,"jitter":3}}"#,
    r#"{"name":"t","type":"latency","stream":"upstream","attributes":{"delay":{"distribution":"lognormal","p50":"1ms","p99":"9ms"}}}"#,
    r#"{"name":"t","type":"bandwidth","attributes":{"rate":4000}}"#,
    r#"{"name":"t","type":"slicer","attributes":{"average_size":300,"size_variation":200,"delay":20}}"#,
    r#"{"name":"t","type":"slicer","stream":"upstream","attributes":{"average_size":200,"size_variation":199}}"#,
    r#"{"name":"t","type":"slow_close","attributes":{"delay":20}}"#,
    r#"{"name":"t","type":"loss","attributes":{"enter":0.01,"leave":0.5,"rto":3}}"#,
    r#"{"name":"t","type":"accept_delay","attributes":{"delay":10}}"#,
    r#"{"name":"t","type":"connections","attributes":{"most":1000}}"#,
    r#"{"name":"t","type":"cut","attributes":{"after":3600000}}"#,
    r#"{"name":"t","type":"limit_data","attributes":{"bytes":1000000000}}"#,
];

/// Under these nobody is served, and everybody is again afterwards.
pub(crate) const HARMFUL: &[&str] = &[
    r#"{"name":"t","type":"timeout","attributes":{"timeout":50}}"#,
    r#"{"name":"t","type":"reset_peer","attributes":{"timeout":5}}"#,
    r#"{"name":"t","type":"limit_data","attributes":{"bytes":100}}"#,
    r#"{"name":"t","type":"down"}"#,
    r#"{"name":"t","type":"refuse"}"#,
    r#"{"name":"t","type":"cut","attributes":{"after":1,"how":"reset"}}"#,
    r#"{"name":"t","type":"corrupt","attributes":{"share":0.2}}"#,
    r#"{"name":"t","type":"half_open"}"#,
    r#"{"name":"t","type":"blackhole"}"#,
    r#"{"name":"t","type":"partition"}"#,
];

/// Holds a database against every toxic: `check` writes data of its own (told apart by the number) through the proxy,
/// reads it back, and says what was wrong.
pub(crate) fn hold(upstream: SocketAddr, harmful: &[&str], check: impl Fn(SocketAddr, usize) -> Result<(), String>) {
    let stage = Stage::new();
    let proxy = stage.proxy(upstream);
    check(proxy, 0).expect("without any toxic");
    for (n, toxic) in (1..).zip(HARMLESS) {
        stage.toxic(toxic);
        check(proxy, n).unwrap_or_else(|wrong| panic!("{toxic}: {wrong}"));
        assert_eq!(stage.delete("/proxies/p/toxics/t").status, 204);
    }
    for (n, toxic) in (100..).zip(harmful) {
        stage.toxic(toxic);
        assert!(check(proxy, n).is_err(), "{toxic}: it is served all the same");
        assert_eq!(stage.delete("/proxies/p/toxics/t").status, 204);
        check(proxy, n + 100).unwrap_or_else(|wrong| panic!("after {toxic}: {wrong}"));
    }
    drop(stage);
}
