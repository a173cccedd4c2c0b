//! `timeout`: silence.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use brownout::telemetry::events::ExchangeOutcome;

use super::*;
use crate::support::h2::{Client as H2Client, block_on, get, read_all};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const WAIT: Duration = Duration::from_millis(150);

fn silent(fault: &str) -> (Origin, Bench) {
    let origin = Origin::new();
    let bench = Bench::new(origin.address);
    bench.rules(&rule("mute", &format!("kind = \"timeout\"\n{fault}")));
    (origin, bench)
}

fn wait_until_active(bench: &Bench, count: u64) {
    while bench.active() < count {
        std::thread::yield_now();
    }
}

#[test]
fn it_lasts_until_the_client_leaves_and_the_upstream_is_never_asked() {
    let (origin, bench) = silent("");
    let clients = [
        bench.say(GET),
        bench.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nsome of it"),
        bench.say(GET.repeat(2)),
    ];
    wait_until_active(&bench, 3);
    for mut client in clients {
        assert!(client.is_silent());
        drop(client);
    }
    let entries = bench.ledger.entries(3);
    assert!(entries.iter().all(|entry| entry.outcome == ExchangeOutcome::ClientGone));
    assert_eq!(bench.active(), 0);
    assert!(origin.try_accept().is_none());
}

#[test]
fn a_half_closed_client_is_hung_on_with_if_so_configured() {
    let origin = Origin::new();
    let bench = Bench::also(origin.address, "half_close = \"wait\"");
    bench.rules(&rule("mute", "kind = \"timeout\"\nfor = \"200ms\"\nthen = \"504\""));
    let mut client = bench.say(GET);
    client.finish_sending();
    assert!(client.read_head().starts_with("HTTP/1.1 504 "));
    bench.ledger.only(); // told before the next one begins
    bench.rules(&rule("mute", "kind = \"timeout\""));
    let mut client = bench.say(GET);
    client.finish_sending();
    wait_until_active(&bench, 1);
    client.reset();
    assert_eq!(bench.ledger.entries(2)[1].outcome, ExchangeOutcome::ClientGone);
}

#[test]
fn then_it_closes() {
    let (origin, bench) = silent("for = \"150ms\"");
    for request in [GET, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nsome of it, unread"] {
        let started = Instant::now();
        let mut client = bench.say(request);
        client.expect_end(); // a FIN, not a RST
        assert!(started.elapsed() >= WAIT);
    }
    assert!(origin.try_accept().is_none());
    let entry = bench.ledger.entries(2).remove(0);
    assert_eq!((entry.outcome, entry.status, entry.marks.as_str()), (ExchangeOutcome::Injected, None, "mute/timeout"));
    assert_eq!(bench.active(), 0);
}

#[test]
fn then_it_answers_504_and_the_connection_is_kept() {
    let (_origin, bench) = silent("for = \"150ms\"\nthen = \"504\"");
    let mut client = bench.connect();
    for _ in 0..2 {
        let started = Instant::now();
        client.send(GET);
        let (head, body) = client.read_message();
        assert!(started.elapsed() >= WAIT);
        assert!(head.starts_with("HTTP/1.1 504 "), "{head}");
        assert_eq!(field(&head, "x-brownout").as_deref(), Some("mute/timeout"));
        assert_eq!((field(&head, "x-brownout-error"), body.as_str()), (None, ""));
    }
}

#[test]
fn then_it_resets() {
    let (_origin, bench) = silent("for = \"150ms\"\nthen = \"reset\"");
    let mut client = bench.say(GET);
    let (bytes, ended) = client.read_to_end();
    assert!(bytes.is_empty());
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn on_the_response_side_the_upstream_has_done_its_work() {
    let (origin, bench) = silent("side = \"response\"");
    let mut client = bench.say(GET);
    let mut up = origin.answer(ok("never seen"));
    wait_until_active(&bench, 1);
    assert!(client.is_silent());
    drop(client);
    up.await_end();
    assert_eq!(bench.ledger.only().outcome, ExchangeOutcome::ClientGone);
    assert_eq!(bench.active(), 0);
}

#[test]
fn on_http_2_it_is_the_streams_alone() {
    for (then, reason) in [("close", ::h2::Reason::CANCEL), ("reset", ::h2::Reason::INTERNAL_ERROR)] {
        block_on(async {
            let origin = Origin::answering(|_| ok("fine"));
            let bench = Bench::new(origin.address);
            let fault = format!("kind = \"timeout\"\nfor = \"150ms\"\nthen = \"{then}\"");
            bench
                .rules(&rule("mute", &fault).replace("[[rule.fault]]", "match = { path = \"/mute\" }\n[[rule.fault]]"));
            let client = H2Client::connect(bench.h2).await;
            let started = Instant::now();
            let (mute, _) = client.start(get("/mute"), true).await;
            for _ in 0..3 {
                let answer = client.get("/fine").await.unwrap();
                assert_eq!(read_all(answer.into_body()).await.unwrap().0, b"fine");
            }
            assert_eq!(mute.await.unwrap_err().reason(), Some(reason));
            assert!(started.elapsed() >= WAIT);
            assert_eq!(client.get("/fine").await.unwrap().status(), 200);
        });
    }
}

#[test]
fn on_http_2_a_client_that_leaves_is_noticed() {
    block_on(async {
        let (origin, bench) = silent("");
        let client = H2Client::connect(bench.h2).await;
        let (answer, mut stream) = client.start(get("/"), true).await;
        let (_other, _) = client.start(get("/"), true).await;
        while bench.active() < 2 {
            tokio::task::yield_now().await;
        }
        stream.send_reset(::h2::Reason::CANCEL);
        drop(answer);
        assert_eq!(bench.ledger.only().outcome, ExchangeOutcome::ClientGone);
        assert_eq!(bench.active(), 1);
        client.connection.abort();
        bench.ledger.entries(2);
        assert_eq!(bench.active(), 0);
        assert!(origin.try_accept().is_none());
    });
}
