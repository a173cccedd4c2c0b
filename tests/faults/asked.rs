//! Faults that clients ask for, and rules that look at bodies and answers: on the wire.

use std::time::{Duration, Instant};

use brownout::telemetry::events::ExchangeOutcome;

use bytes::Bytes;

use crate::support::h2::{Client as H2Client, block_on, post};
use crate::support::*;

fn get(headers: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{headers}\r\n")
}

fn asking(lines: &str) -> (Origin, Bench) {
    let origin = Origin::answering(|_| ok("fine"));
    let bench = Bench::also(origin.address, lines);
    (origin, bench)
}

#[test]
fn a_client_gets_what_it_asks_for_only_where_that_is_allowed() {
    let both = "x-envoy-fault-abort-request: 503\r\nx-brownout-fault: latency;delay=\"50ms\"\r\n";
    let (_origin, closed) = asking("");
    let (head, body) = closed.say(get(both)).read_message();
    assert!(head.starts_with("HTTP/1.1 200 ") && body == "fine" && field(&head, "x-brownout").is_none());
    let (_origin, open) = asking("client_faults = { envoy = true, header = true }");
    let started = Instant::now();
    let (head, body) = open.say(get(both)).read_message();
    assert!(started.elapsed() >= Duration::from_millis(50));
    assert!(head.starts_with("HTTP/1.1 503 ") && body == "fault filter abort", "{head}");
    assert_eq!(field(&head, "x-brownout").as_deref(), Some("x-brownout-fault/latency, x-envoy-fault/error"));
    assert_eq!((open.ledger.only().outcome, open.active()), (ExchangeOutcome::Injected, 0));
}

#[test]
fn what_a_client_asks_for_ends_with_everything_else() {
    let (_origin, bench) = asking("client_faults = { header = true, max_delay = \"1h\" }");
    let mut client = bench.say(get("x-brownout-fault: timeout\r\n"));
    while bench.active() == 0 {
        std::thread::yield_now();
    }
    assert!(client.is_silent());
    bench.rules.off();
    assert_eq!(client.read_message().1, "fine", "a hang that is released goes on");
    client.send(get("x-brownout-fault: error;status=503\r\n"));
    assert_eq!(client.read_message().1, "fine", "off is off");
}

#[test]
fn a_header_that_makes_no_sense_does_nothing() {
    let (_origin, bench) = asking("client_faults = { header = true }");
    for wrong in ["latency", "gremlin", "latency;delay=", "error;status=503, oops;"] {
        assert_eq!(bench.say(get(&format!("x-brownout-fault: {wrong}\r\n"))).read_message().1, "fine", "{wrong}");
    }
}

const FREE: &str = "[[rule]]\nname = \"free\"\nmatch = { json = { \"/user/plan\" = \"free\" } }\n\
                    [[rule.fault]]\nkind = \"error\"\nstatus = 429\n";

fn body_of(plan: &str) -> String {
    format!("{{\"user\":{{\"plan\":\"{plan}\"}}}}")
}

fn posted(kind: &str, body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// A proxy whose only rule looks at bodies, and a client that has posted one.
fn posting(request: impl AsRef<[u8]>) -> (Origin, Bench, Client) {
    let origin = Origin::new();
    let bench = Bench::new(origin.address);
    bench.rules(FREE);
    let client = bench.say(request);
    (origin, bench, client)
}

#[test]
fn a_rule_may_look_at_the_body() {
    for request in [
        posted("application/json", &body_of("free")),
        posted("application/vnd.shop+json; charset=utf-8", &body_of("free")),
        format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n\
             5\r\n{{\"use\r\n{:x}\r\n{}\r\n0\r\n\r\n",
            body_of("free").len() - 5,
            &body_of("free")[5..]
        ),
    ] {
        let (origin, bench, mut client) = posting(&request);
        assert!(client.read_message().0.starts_with("HTTP/1.1 429 "), "{request}");
        assert!(origin.try_accept().is_none());
        client.send(posted("application/json", &body_of("gold")));
        origin.answer(ok("fine"));
        assert_eq!(client.read_message().1, "fine", "the connection serves on");
        assert_eq!(bench.counts().matched, 1);
    }
}

#[test]
fn the_upstream_gets_every_byte_of_a_body_that_was_looked_at() {
    let large = format!("{}{}", body_of("free"), " ".repeat(70_000));
    for (kind, body) in [
        ("application/json", body_of("gold")),
        ("application/json", "{ not json".to_owned()),
        ("application/json", large),
        ("text/plain", body_of("free")),
        ("application/json", String::new()),
    ] {
        let (origin, bench, mut client) = posting(posted(kind, &body));
        let mut up = origin.accept();
        up.read_head();
        assert_eq!(String::from_utf8(up.read_exact(body.len())).unwrap(), body);
        up.send(ok("fine"));
        assert_eq!(client.read_message().1, "fine");
        assert_eq!(bench.counts().matched, 0);
    }
}

#[test]
fn a_client_that_leaves_while_its_body_is_waited_for_is_accounted_for() {
    let (origin, bench, client) =
        posting("POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{\"user\"");
    client.reset();
    assert_eq!(bench.ledger.only().outcome, ExchangeOutcome::ClientGone);
    bench.ledger.settled();
    drop(origin);
}

#[test]
fn a_client_that_waits_for_100_continue_is_not_looked_at() {
    let (origin, _bench, mut client) = posting(format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        body_of("free").len()
    ));
    let mut up = origin.accept();
    up.read_head();
    up.send("HTTP/1.1 100 Continue\r\n\r\n");
    assert!(client.read_head().starts_with("HTTP/1.1 100 "));
    client.send(body_of("free"));
    assert_eq!(up.read_exact(body_of("free").len()), body_of("free").into_bytes());
    up.send(ok("fine"));
    assert_eq!(client.read_message().1, "fine");
}

#[test]
fn bodies_of_http_2_are_looked_at_too() {
    block_on(async {
        let origin = Origin::answering(|_| ok("fine"));
        let bench = Bench::new(origin.address);
        bench.rules(FREE);
        let client = H2Client::connect(bench.address).await;
        for (plan, status) in [("free", 429), ("gold", 200)] {
            let mut request = post("/");
            request.headers_mut().insert("content-type", "application/json".parse().unwrap());
            let (answer, mut body) = client.start(request, false).await;
            body.send_data(Bytes::from(body_of(plan)), true).unwrap();
            assert_eq!(answer.await.unwrap().status(), status, "{plan}");
        }
    });
}

#[test]
fn a_rule_may_act_on_what_the_upstream_answers() {
    let origin = Origin::answering(|head| {
        if head.starts_with("GET /broken") {
            b"HTTP/1.1 500 Oh\r\nContent-Length: 3\r\n\r\nbad".to_vec()
        } else {
            ok("fine")
        }
    });
    let bench = Bench::new(origin.address);
    bench.rules(
        "[[rule]]\nname = \"worse\"\nmatch = { response = { status = \"5xx\" } }\n\
         [[rule.fault]]\nkind = \"error\"\nstatus = 503\nafter_upstream = true\n",
    );
    let mut client = bench.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.read_message().1, "fine");
    client.send("GET /broken HTTP/1.1\r\nHost: a\r\n\r\n");
    let (head, _) = client.read_message();
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    assert_eq!(field(&head, "x-brownout").as_deref(), Some("worse/error"));
    bench.ledger.entries(2);
    assert_eq!((bench.counts().matched, bench.counts().injected, bench.active()), (1, 1, 0));
}

#[test]
fn the_address_of_a_client_is_known() {
    let origin = Origin::answering(|_| ok("fine"));
    let bench = Bench::new(origin.address);
    bench.rules(
        &rule("here", "kind = \"error\"\nstatus = 503")
            .replace("[[rule.fault]]", "match = { client = \"127.0.0.0/8\" }\n[[rule.fault]]"),
    );
    assert!(bench.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n").read_message().0.starts_with("HTTP/1.1 503 "));
}
