//! Rules on connections: triggers, layers, limits, the off latch, release.

use std::io::{Read, Write};
use std::time::Duration;

use brownout::rules::Layer;

use crate::stage::{End, Stage, connect, drain, echo, ping, read, until};

const MS: Duration = Duration::from_millis(1);

fn rule(more: &str, fault: &str) -> String {
    format!("[[rule]]\nname = \"r\"\nproxy = \"p\"\n{more}\n[[rule.fault]]\n{fault}\n")
}

#[test]
fn a_rule_acts_on_open_connections_and_is_released_from_them() {
    let stage = Stage::new();
    let address = stage.proxy(echo());
    let mut client = connect(address);
    ping(&mut client, "before");
    stage.rules(&rule("", "kind = \"latency\"\ndelay = \"80ms\"\nside = \"response\""));
    until("it suffers", || stage.store.total_active() == 1);
    assert!(ping(&mut client, "under") >= MS * 80);
    stage.rules(&rule("", "kind = \"latency\"\ndelay = \"1h\"\nside = \"response\""));
    until("the edited one has taken hold, too", || stage.store.total_active() >= 1);
    stage.store.remove_layer(&Layer::File);
    until("it is released", || stage.store.total_active() == 0);
    ping(&mut client, "after");
    let injected = stage.store.ledger().iter().map(|row| row.counts.injected).sum::<u64>();
    assert!(injected >= 1);
}

#[test]
fn what_a_released_silence_held_goes_on() {
    let stage = Stage::new();
    let mut client = connect(stage.proxy(echo()));
    stage.rules(&rule("", "kind = \"timeout\""));
    until("it suffers", || stage.store.total_active() == 1);
    client.write_all(b"held").unwrap();
    until("it acts", || stage.store.status()[0].counts.injected == 1);
    stage.store.off();
    assert_eq!(read(&mut client, 4), b"held");
    stage.store.on();
    until("it suffers again", || stage.store.total_active() == 1);
}

#[test]
fn the_off_latch_lets_go_of_toxics_too() {
    let stage = Stage::new();
    let mut client = connect(stage.proxy(echo()));
    ping(&mut client, "before");
    stage.toxic(r#"{"type":"latency","attributes":{"latency":3600000}}"#);
    client.write_all(b"held").unwrap();
    stage.store.off();
    assert_eq!(read(&mut client, 4), b"held");
    ping(&mut client, "free");
    stage.store.on();
    stage.call("PATCH /proxies/p/toxics/latency_downstream", "", r#"{"attributes":{"latency":50}}"#);
    assert!(ping(&mut client, "back") >= MS * 50);
}

/// Whether a new connection is answered.
fn is_served(address: std::net::SocketAddr) -> bool {
    let mut client = connect(address);
    let _ = client.write_all(b"x");
    matches!(client.read(&mut [0]), Ok(1))
}

#[test]
fn the_trigger_counts_connections() {
    let stage = Stage::new();
    let address = stage.proxy(echo());
    stage.rules(&rule("trigger = { every = 3 }", "kind = \"abort\""));
    let hits: Vec<bool> = (0..6).map(|_| !is_served(address)).collect();
    assert_eq!(hits, [false, false, true, false, false, true]);
    until("all are over", || stage.store.status()[0].counts.matched == 6 && stage.store.total_active() == 0);
    let counts = stage.store.status()[0].counts;
    assert_eq!((counts.triggered, counts.injected, counts.active), (2, 2, 0));
}

#[test]
fn the_same_seed_hits_the_same_connections() {
    let run = || {
        let stage = Stage::new();
        let address = stage.proxy(echo());
        stage.rules(&rule("trigger = { probability = 0.5 }", "kind = \"abort\""));
        (0..20).map(|_| is_served(address)).collect::<Vec<_>>()
    };
    let first = run();
    assert!(first.contains(&true) && first.contains(&false));
    assert_eq!(run(), first);
}

#[test]
fn a_limit_bounds_how_many_connections_suffer_at_once() {
    let stage = Stage::new();
    let address = stage.proxy(echo());
    stage.rules(&rule("limit = { concurrent = 1 }", "kind = \"latency\"\ndelay = \"60ms\"\nside = \"response\""));
    let mut first = connect(address);
    assert!(ping(&mut first, "late") >= MS * 60);
    let mut second = connect(address);
    ping(&mut second, "free");
    assert_eq!(stage.store.status()[0].counts.limited, 1);
}

#[test]
fn rates_and_cuts_of_rules_act_on_bytes() {
    let stage = Stage::new();
    let address = stage.proxy(echo());
    stage.rules(&rule("", "kind = \"abort\"\nat = \"body\"\nafter_bytes = 5\nhow = \"close\""));
    let mut client = connect(address);
    client.write_all(b"12345678").unwrap();
    assert_eq!(drain(&mut client), (b"12345".to_vec(), End::Fin));
    stage.rules(&rule("", "kind = \"slow-body\"\nrate = \"100KB/s\""));
    let mut client = connect(address);
    assert!(ping(&mut client, &"x".repeat(10_000)) >= MS * 90);
}

#[test]
fn an_expired_lease_lets_go() {
    let stage = Stage::new();
    let mut client = connect(stage.proxy(echo()));
    stage.rules(&rule("lease = \"1h\"", "kind = \"timeout\""));
    until("it suffers", || stage.store.total_active() == 1);
    client.write_all(b"held").unwrap();
    stage.store.expire(brownout::clock::now() + Duration::from_secs(3601));
    assert_eq!(read(&mut client, 4), b"held");
}
