//! Turned off, removed or run out, a rule lets go of the requests that suffer it; edited, it does not.

use std::time::Duration;

use brownout::clock::Instant;
use brownout::rules::Layer;
use brownout::telemetry::events::ExchangeOutcome;

use super::*;
use crate::support::h2::{Client as H2Client, block_on, get, read_all};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

type Ending = fn(&Bench);

/// The ways in which a rule named `it` can end.
const WAYS: [(&str, Ending); 4] = [
    ("disabled", |bench| assert!(bench.rules.set_enabled(&Layer::File, "it", false))),
    ("off", |bench| bench.rules.off()),
    ("removed", |bench| bench.rules("")),
    ("expired", |bench| assert!(bench.rules.expire(Instant::now() + Duration::from_secs(7_200)).is_none())),
];

fn suffering(fault: &str) -> (Origin, Bench) {
    let origin = Origin::new();
    let bench = Bench::new(origin.address);
    bench.rules(&rule("it", fault).replace("[[rule.fault]]", "lease = \"1h\"\n[[rule.fault]]"));
    (origin, bench)
}

fn wait_until_active(bench: &Bench, count: u64) {
    while bench.active() < count {
        std::thread::yield_now();
    }
}

#[test]
fn a_wait_before_the_upstream_ends_and_the_request_goes_on() {
    for fault in [
        "kind = \"latency\"\ndelay = \"1h\"",
        "kind = \"timeout\"",
        "kind = \"timeout\"\nfor = \"1h\"\nthen = \"reset\"",
    ] {
        for (way, end) in WAYS {
            let (origin, bench) = suffering(fault);
            let mut client = bench.say(GET);
            wait_until_active(&bench, 1);
            assert!(origin.try_accept().is_none());
            end(&bench);
            let mut up = origin.answer(ok("let go"));
            assert_eq!(client.read_message().1, "let go", "{fault}, {way}");
            assert_eq!(bench.ledger.only().outcome, ExchangeOutcome::Forwarded);
            assert_eq!(bench.active(), 0);
            client.send(GET);
            up.read_head(); // nothing holds the next one
        }
    }
}

#[test]
fn a_wait_before_the_answer_ends_and_the_answer_comes() {
    for fault in ["kind = \"latency\"\ndelay = \"1h\"\nside = \"response\"", "kind = \"timeout\"\nside = \"response\""]
    {
        for (way, end) in WAYS {
            let (origin, bench) = suffering(fault);
            let mut client = bench.say(GET);
            let _up = origin.answer(ok("let go"));
            wait_until_active(&bench, 1);
            assert!(client.is_silent());
            end(&bench);
            assert_eq!(client.read_message().1, "let go", "{fault}, {way}");
            bench.ledger.only();
            assert_eq!(bench.active(), 0);
        }
    }
}

#[test]
fn a_throttle_opens() {
    let body = noise(300_000);
    for (way, end) in WAYS {
        let (origin, bench) = suffering("kind = \"slow-body\"\nrate = \"1kB/s\"");
        let mut client = bench.say(GET);
        let mut up = origin.answer(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()));
        let mut writer = up.socket.try_clone().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| std::io::Write::write_all(&mut writer, &body).unwrap());
            client.read_head();
            let mut got = client.read_exact(5);
            end(&bench);
            got.extend(client.read_exact(body.len() - 5)); // which would have taken five minutes
            assert!(got == body, "{way}");
        });
        bench.ledger.only();
        assert_eq!(bench.active(), 0);
        client.send(GET);
        up.read_head();
    }
}

#[test]
fn a_throttled_stream_that_has_fallen_silent_is_let_go_too() {
    let (origin, bench) = suffering("kind = \"slow-body\"\nrate = \"1kB/s\"");
    let mut client = bench.say(GET);
    let mut up = origin.answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.read_head();
    up.send("5\r\nhello\r\n");
    assert_eq!(client.read_until("hello\r\n").len(), 10);
    bench.rules.off();
    let burst = "x".repeat(100_000);
    up.send(format!("{:x}\r\n{burst}\r\n0\r\n\r\n", burst.len()));
    assert_eq!(client.read_chunks().0, burst.as_bytes());
    bench.ledger.only();
    assert_eq!(bench.active(), 0);
}

#[test]
fn a_throttled_tunnel_opens() {
    let (origin, bench) = suffering("kind = \"slow-body\"\nrate = \"1kB/s\"");
    let mut client = bench.say("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    let mut up = origin.answer("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n");
    client.read_head();
    let bytes = noise(50_000);
    up.send(&bytes);
    let mut got = client.read_exact(5);
    bench.rules.off();
    got.extend(client.read_exact(bytes.len() - 5));
    assert!(got == bytes);
    assert_eq!(bench.active(), 0);
}

#[test]
fn a_cut_that_is_still_to_come_does_not_come() {
    let (origin, bench) = suffering("kind = \"abort\"\nat = \"body\"\nafter_bytes = 7");
    let mut client = bench.say(GET);
    let mut up = origin.answer("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    client.read_head();
    assert_eq!(client.read_exact(5), b"hello");
    bench.rules.off();
    up.send("world");
    assert_eq!(client.read_exact(5), b"world");
    bench.ledger.only();
    assert_eq!((bench.active(), bench.counts().released), (0, 1));
}

#[test]
fn of_two_rules_one_that_is_let_go_leaves_the_other() {
    let origin = Origin::new();
    let bench = Bench::new(origin.address);
    let rules = rule("it", "kind = \"timeout\"") + &rule("other", "kind = \"error\"\nstatus = 503");
    bench.rules(&rules);
    let mut client = bench.say(GET);
    wait_until_active(&bench, 2);
    bench.rules.set_enabled(&Layer::File, "it", false);
    assert!(client.read_head().starts_with("HTTP/1.1 503 "));
    assert!(origin.try_accept().is_none());
}

#[test]
fn an_edit_does_not_change_a_request_half_way() {
    let origin = Origin::new();
    let bench = Bench::new(origin.address);
    bench.rules(&rule("it", "kind = \"latency\"\ndelay = \"300ms\""));
    let mut client = bench.say(GET);
    wait_until_active(&bench, 1);
    bench.rules(&(rule("it", "kind = \"error\"\nstatus = 500") + &rule("new", "kind = \"abort\"")));
    assert!(client.is_silent());
    let _up = origin.answer(ok("as planned"));
    let (head, body) = client.read_message();
    assert_eq!((field(&head, "x-brownout").as_deref(), body.as_str()), (Some("it/latency"), "as planned"));
    // The next one on the same connection sees the new set.
    client.send(GET);
    assert!(client.read_head().starts_with("HTTP/1.1 500 "));
}

#[test]
fn on_http_2_waits_and_throttles_end_too() {
    for fault in [
        "kind = \"latency\"\ndelay = \"1h\"",
        "kind = \"timeout\"",
        "kind = \"timeout\"\nside = \"response\"",
        "kind = \"slow-body\"\nrate = \"1kB/s\"",
    ] {
        for (way, end) in WAYS {
            block_on(async {
                let origin = Origin::answering(|_| ok(&"x".repeat(50_000)));
                let bench = Bench::new(origin.address);
                bench.rules(&rule("it", fault).replace("[[rule.fault]]", "lease = \"1h\"\n[[rule.fault]]"));
                let client = H2Client::connect(bench.h2).await;
                let (answer, _) = client.start(get("/"), true).await;
                while bench.active() < 1 {
                    tokio::task::yield_now().await;
                }
                end(&bench);
                let got = read_all(answer.await.unwrap().into_body()).await.unwrap().0;
                assert_eq!(got.len(), 50_000, "{fault}, {way}");
                bench.ledger.only();
                assert_eq!(bench.active(), 0);
            });
        }
    }
}
