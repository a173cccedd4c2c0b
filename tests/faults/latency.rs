//! `latency`: the same answer, later.

use std::time::{Duration, Instant};

use brownout::telemetry::events::ExchangeOutcome;

use super::*;
use crate::support::h2::{Client as H2Client, block_on, get, read_all};

const DELAY: Duration = Duration::from_millis(150);
const ON_REQUEST: &str = "kind = \"latency\"\ndelay = \"150ms\"";
const ON_RESPONSE: &str = "kind = \"latency\"\ndelay = \"150ms\"\nside = \"response\"";
const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn slow(fault: &str) -> (Origin, Bench) {
    let origin = Origin::new();
    let bench = Bench::new(origin.address);
    bench.rules(&rule("slow", fault));
    (origin, bench)
}

/// The answer says who delayed it, and for how long.
fn is_marked(mark: Option<&str>, timing: Option<&str>) {
    assert_eq!(mark, Some("slow/latency"));
    let timing = timing.unwrap();
    let milliseconds: f64 = timing.strip_prefix("brownout;dur=").unwrap().parse().unwrap();
    assert!(milliseconds >= 150.0, "{timing}");
}

#[test]
fn on_the_request_side_the_upstream_is_asked_later() {
    let (origin, bench) = slow(ON_REQUEST);
    let started = Instant::now();
    let mut client = bench.say(GET);
    let mut up = origin.accept();
    assert!(started.elapsed() >= DELAY);
    assert_eq!(up.read_head(), GET);
    up.send(ok("hello"));
    let (head, body) = client.read_message();
    assert_eq!(body, "hello");
    is_marked(field(&head, "x-brownout").as_deref(), field(&head, "server-timing").as_deref());
    let entry = bench.ledger.only();
    assert_eq!((entry.outcome, entry.marks.as_str()), (ExchangeOutcome::Forwarded, "slow/latency"));
    assert!(entry.injected >= DELAY);
    assert_eq!((bench.active(), bench.counts().injected), (0, 1));
}

#[test]
fn on_the_response_side_the_upstream_is_asked_at_once_and_its_answer_held() {
    let (origin, bench) = slow(ON_RESPONSE);
    let mut client = bench.say(GET);
    let mut up = origin.accept();
    up.read_head();
    let answered = Instant::now();
    up.send(ok("hello"));
    let (head, body) = client.read_message();
    assert!(answered.elapsed() >= DELAY);
    assert_eq!(body, "hello");
    is_marked(field(&head, "x-brownout").as_deref(), field(&head, "server-timing").as_deref());
    client.send(GET);
    assert_eq!(up.read_head(), GET, "both connections are kept");
}

#[test]
fn an_upload_is_delayed_whole() {
    let (origin, bench) = slow(ON_REQUEST);
    let body = noise(300_000);
    let mut client = bench.say(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len()));
    let mut writer = client.socket.try_clone().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| std::io::Write::write_all(&mut writer, &body).unwrap());
        let mut up = origin.accept();
        up.read_head();
        assert!(up.read_exact(body.len()) == body);
        up.send(ok("done"));
        assert_eq!(client.read_message().1, "done");
    });
}

#[test]
fn on_http_2_streams_are_delayed_beside_one_another() {
    for fault in [ON_REQUEST, ON_RESPONSE] {
        block_on(async {
            let origin = Origin::answering(|_| ok("hello"));
            let bench = Bench::new(origin.address);
            bench.rules(&rule("slow", fault));
            let client = H2Client::connect(bench.h2).await;
            let started = Instant::now();
            let answers = futures_util::future::join_all((0..10).map(|_| client.get("/"))).await;
            for answer in answers {
                let answer = answer.unwrap();
                let text = |name| answer.headers().get(name).map(|value: &http::HeaderValue| value.to_str().unwrap());
                is_marked(text("x-brownout"), text("server-timing"));
                assert_eq!(read_all(answer.into_body()).await.unwrap().0, b"hello");
            }
            assert!(started.elapsed() >= DELAY);
            bench.ledger.entries(10);
            assert_eq!((bench.active(), bench.counts().injected), (0, 10));
        });
    }
}

#[test]
fn a_client_that_leaves_meanwhile_is_noticed_and_the_upstream_never_asked() {
    let origin = Origin::new();
    let bench = Bench::new(origin.address);
    bench.rules(&rule("slow", "kind = \"latency\"\ndelay = \"1h\""));
    drop(bench.say(GET));
    drop(bench.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nsome of it"));
    bench.say(GET).reset();
    block_on(async {
        let client = H2Client::connect(bench.h2).await;
        let (answer, mut stream) = client.start(get("/"), true).await;
        let (_other, _) = client.start(get("/"), true).await;
        while bench.active() < 2 {
            tokio::task::yield_now().await;
        }
        stream.send_reset(::h2::Reason::CANCEL);
        drop(answer);
        bench.ledger.entries(4);
    });
    let entries = bench.ledger.entries(5);
    assert!(entries.iter().all(|entry| entry.outcome == ExchangeOutcome::ClientGone && entry.status.is_none()));
    bench.ledger.settled();
    assert_eq!(bench.active(), 0);
    assert!(origin.try_accept().is_none());
}

#[test]
fn a_client_that_leaves_while_its_answer_is_held_lets_the_upstream_go() {
    let (origin, bench) = slow("kind = \"latency\"\ndelay = \"1h\"\nside = \"response\"");
    let client = bench.say(GET);
    let mut up = origin.answer(ok("never seen"));
    drop(client);
    up.await_end();
    assert_eq!(bench.ledger.only().outcome, ExchangeOutcome::ClientGone);
    assert_eq!(bench.active(), 0);
}
