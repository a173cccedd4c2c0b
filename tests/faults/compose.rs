//! Several rules at once: the law of composition, on the wire.

use std::time::{Duration, Instant};

use super::*;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn suffering(rules: &[String]) -> (Origin, Bench) {
    let origin = Origin::new();
    let bench = Bench::new(origin.address);
    bench.rules(&rules.concat());
    (origin, bench)
}

#[test]
fn delays_add_on_each_side_and_over_both() {
    let delay =
        |name: &str, side: &str| rule(name, &format!("kind = \"latency\"\ndelay = \"60ms\"\nside = \"{side}\""));
    let (origin, bench) =
        suffering(&[delay("a", "request"), delay("b", "response"), delay("c", "request"), delay("d", "response")]);
    let started = Instant::now();
    let mut client = bench.say(GET);
    let mut up = origin.accept();
    assert!(started.elapsed() >= Duration::from_millis(120));
    up.read_head();
    let answered = Instant::now();
    up.send(ok("hello"));
    let (head, body) = client.read_message();
    assert!(answered.elapsed() >= Duration::from_millis(120));
    assert_eq!(body, "hello");
    assert_eq!(field(&head, "x-brownout").as_deref(), Some("a/latency, c/latency, b/latency, d/latency"));
    assert!(bench.ledger.only().injected >= Duration::from_millis(240));
}

#[test]
fn the_first_terminal_wins_and_delays_come_before_it() {
    let (origin, bench) = suffering(&[
        rule("first", "kind = \"error\"\nstatus = 503"),
        rule("second", "kind = \"abort\""),
        rule("third", "kind = \"error\"\nstatus = 500"),
        rule("slow", "kind = \"latency\"\ndelay = \"60ms\""),
    ]);
    let started = Instant::now();
    let (head, _) = bench.say(GET).read_message();
    assert!(started.elapsed() >= Duration::from_millis(60));
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    assert_eq!(field(&head, "x-brownout").as_deref(), Some("slow/latency, first/error"));
    assert!(origin.try_accept().is_none());
    bench.ledger.only();
    let counts: Vec<_> = bench.rules.status().iter().map(|rule| (rule.counts.injected, rule.counts.skipped)).collect();
    assert_eq!(counts, [(1, 0), (0, 1), (0, 1), (1, 0)]);
    assert_eq!(bench.active(), 0);
}

#[test]
fn a_terminal_of_the_request_comes_before_any_of_the_response() {
    let (origin, bench) = suffering(&[
        rule("late", "kind = \"error\"\nstatus = 500\nafter_upstream = true"),
        rule("early", "kind = \"error\"\nstatus = 503"),
    ]);
    assert!(bench.say(GET).read_message().0.starts_with("HTTP/1.1 503 "));
    assert!(origin.try_accept().is_none());
}

#[test]
fn the_slowest_rate_and_the_earliest_cut_shape_the_body() {
    let (origin, bench) = suffering(&[
        rule("fast", "kind = \"slow-body\"\nrate = \"10MB/s\""),
        rule("late", "kind = \"abort\"\nhow = \"reset\"\nat = \"body\"\nafter_bytes = 20000"),
        rule("slow", "kind = \"slow-body\"\nrate = \"100kB/s\""),
        rule("early", "kind = \"abort\"\nhow = \"close\"\nat = \"body\"\nafter_bytes = 10000"),
    ]);
    let mut client = bench.say(GET);
    let _up = origin.answer(ok(&"x".repeat(30_000)));
    let head = client.read_head();
    let started = Instant::now();
    assert_eq!(field(&head, "x-brownout").as_deref(), Some("slow/slow-body, early/abort"));
    let (bytes, ended) = client.read_to_end();
    assert_eq!((bytes.len(), ended.is_ok()), (10_000, true));
    assert!(started.elapsed() >= Duration::from_millis(60), "{:?}", started.elapsed()); // 100 without slack and credit
}

#[test]
fn the_proxys_own_trouble_is_told_apart_from_the_faults_around_it() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let bench = Bench::new(nobody);
    bench.rules(&rule("slow", "kind = \"latency\"\ndelay = \"10ms\""));
    let (head, _) = bench.say(GET).read_message();
    assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
    assert_eq!(field(&head, "x-brownout-error").as_deref(), Some("upstream-refused"));
    assert_eq!(field(&head, "x-brownout").as_deref(), Some("slow/latency"));
    bench.ledger.only();
    assert_eq!(bench.active(), 0);
}

#[test]
fn an_upstream_that_fails_ends_the_faults_of_its_answer() {
    let (origin, bench) = suffering(&[
        rule("drip", "kind = \"slow-body\"\nrate = \"1MB/s\""),
        rule("late", "kind = \"latency\"\ndelay = \"10ms\"\nside = \"response\""),
    ]);
    let mut client = bench.say(GET);
    let mut up = origin.accept();
    up.read_head();
    up.reset();
    assert!(client.read_message().0.starts_with("HTTP/1.1 502 "));
    let mut client = bench.say(GET);
    origin.answer("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello").reset();
    assert!(client.read_to_end().0.ends_with(b"hello"));
    bench.ledger.entries(2);
    assert_eq!(bench.active(), 0);
}

#[test]
fn every_protocol_is_marked_alike_and_a_request_that_no_rule_matches_is_left_alone() {
    let origin = Origin::answering(|_| ok("fine"));
    let bench = Bench::new(origin.address);
    bench.rules(
        "[[rule]]\nname = \"some\"\nmatch = { method = [\"GET\"], path = \"/a/**\", header = { x-tenant = \"beta-*\" } }\n\
         [[rule.fault]]\nkind = \"error\"\nstatus = 418\n",
    );
    let mut client = bench.connect();
    for (target, tenant, status) in
        [("/a/b", "beta-1", "418"), ("/b", "beta-1", "200"), ("/a/b", "alpha", "200"), ("/a", "beta-2", "418")]
    {
        client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\nX-Tenant: {tenant}\r\n\r\n"));
        let head = client.read_message().0;
        assert_eq!(head.split(' ').nth(1), Some(status), "{target} {tenant}");
        assert_eq!(field(&head, "x-brownout").is_some(), status == "418");
    }
}
