//! `abort`: the connection ends where there should have been an answer.

use std::io::ErrorKind;

use brownout::telemetry::events::ExchangeOutcome;
use bytes::Bytes;

use super::*;
use crate::over_h2;
use crate::support::h2::{Client as H2Client, Origin as H2Origin, block_on, get, response, send_all};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nsome of it, unread";

fn aborting(fault: &str) -> (Origin, Bench) {
    let origin = Origin::new();
    let bench = Bench::new(origin.address);
    bench.rules(&rule("cut", &format!("kind = \"abort\"\n{fault}")));
    (origin, bench)
}

/// The client's connection ends as asked, after exactly this.
#[track_caller]
fn ends(client: &mut Client, how: &str, after: &[u8]) {
    let (bytes, ended) = client.read_to_end();
    assert!(bytes == after, "{} of {} bytes", bytes.len(), after.len());
    match how {
        "close" => assert!(ended.is_ok(), "{ended:?}"),
        _ => assert_eq!(ended.unwrap_err().kind(), ErrorKind::ConnectionReset),
    }
}

#[test]
fn before_the_request_the_upstream_is_untouched() {
    for how in ["close", "reset"] {
        let (origin, bench) = aborting(&format!("how = \"{how}\""));
        for request in [GET, POST] {
            ends(&mut bench.say(request), how, b"");
        }
        assert!(origin.try_accept().is_none());
        let entry = bench.ledger.entries(2).remove(0);
        assert_eq!((entry.outcome, entry.status, entry.marks.as_str()), (ExchangeOutcome::Injected, None, "cut/abort"));
        assert_eq!((bench.active(), bench.counts().injected), (0, 2));
    }
}

#[test]
fn before_the_headers_the_upstream_has_done_its_work() {
    for how in ["close", "reset"] {
        let (origin, bench) = aborting(&format!("how = \"{how}\"\nat = \"headers\""));
        let mut client = bench.say(GET);
        let mut up = origin.answer(ok("never seen"));
        ends(&mut client, how, b"");
        up.await_end();
        assert_eq!(bench.ledger.only().outcome, ExchangeOutcome::Injected);
        assert_eq!(bench.active(), 0);
    }
}

#[test]
fn in_the_body_exactly_so_many_bytes_arrive() {
    let body = noise(200_000);
    for how in ["close", "reset"] {
        for after in [0, 1, 1_000, 65_536, 150_001] {
            let (origin, bench) = aborting(&format!("how = \"{how}\"\nat = \"body\"\nafter_bytes = {after}"));
            let mut client = bench.say(GET);
            let mut up = origin.answer(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()));
            let mut writer = up.socket.try_clone().unwrap();
            std::thread::scope(|scope| {
                scope.spawn(|| std::io::Write::write_all(&mut writer, &body));
                assert_eq!(field(&client.read_head(), "x-brownout").as_deref(), Some("cut/abort"));
                ends(&mut client, how, &body[..after]);
            });
            up.await_end();
            assert_eq!(bench.ledger.only().outcome, ExchangeOutcome::Injected);
            assert_eq!(bench.active(), 0);
        }
    }
}

#[test]
fn in_a_chunked_body_the_bytes_of_the_body_count_and_no_end_is_pretended() {
    let (origin, bench) = aborting("how = \"close\"\nat = \"body\"\nafter_bytes = 7");
    let mut client = bench.say(GET);
    let _up =
        origin.answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n");
    client.read_head();
    let (rest, ended) = client.read_to_end();
    let rest = raw::latin1(&rest);
    let sent: String = rest.split("\r\n").skip(1).step_by(2).collect();
    assert_eq!((sent.as_str(), ended.is_ok()), ("hellowo", true), "{rest:?}");
    assert!(!rest.contains("0\r\n"));
}

#[test]
fn a_body_that_ends_before_ends_as_it_would() {
    for after in [5, 1_000] {
        let (origin, bench) = aborting(&format!("at = \"body\"\nafter_bytes = {after}"));
        let mut client = bench.say(GET);
        let mut up = origin.answer(ok("hello"));
        assert_eq!(client.read_message().1, "hello");
        client.send(GET);
        up.read_head(); // both connections are kept
        let entry = bench.ledger.only();
        assert_eq!(entry.outcome, ExchangeOutcome::Forwarded);
        assert_eq!(bench.counts().skipped, 1);
    }
}

#[test]
fn an_answer_without_a_body_has_none_to_cut() {
    let (origin, bench) = aborting("at = \"body\"");
    let mut client = bench.say("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut up = origin.answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    client.read_head();
    client.send(GET);
    up.read_head();
}

#[test]
fn on_http_2_the_stream_is_reset_and_the_others_are_undisturbed() {
    for (how, reason) in [("close", ::h2::Reason::CANCEL), ("reset", ::h2::Reason::INTERNAL_ERROR)] {
        for (at, after) in [("request", 0), ("headers", 0), ("body", 0), ("body", 1_000), ("body", 60_000)] {
            block_on(async {
                let mut origin = H2Origin::new().await;
                let bench = Bench::h2c(origin.address);
                let after_bytes = if at == "body" { format!("after_bytes = {after}") } else { String::new() };
                let fault = rule("cut", &format!("kind = \"abort\"\nhow = \"{how}\"\nat = \"{at}\"\n{after_bytes}"));
                bench.rules(&fault.replace("[[rule.fault]]", "match = { path = \"/cut\" }\n[[rule.fault]]"));
                let client = H2Client::connect(bench.h2).await;
                let (other, _) = client.start(get("/other"), true).await;
                let (_, mut other_respond) = origin.asked().await;
                let (answer, _) = client.start(get("/cut"), true).await;
                if at != "request" {
                    let (_, mut respond) = origin.asked().await;
                    let mut body = respond.send_response(response(200), false).unwrap();
                    tokio::spawn(async move { send_all(&mut body, Bytes::from(vec![7; 100_000]), true).await });
                }
                let error = match answer.await {
                    Err(error) if at != "body" => error,
                    Ok(answer) if at == "body" => {
                        let mut body = answer.into_body();
                        let mut got = 0;
                        loop {
                            match body.data().await.unwrap() {
                                Ok(piece) => got += piece.len(),
                                Err(error) => {
                                    assert_eq!(got, after);
                                    break error;
                                }
                            }
                        }
                    }
                    other => panic!("{other:?}"),
                };
                assert_eq!(error.reason(), Some(reason), "{how} at {at}");
                other_respond.send_response(response(200), true).unwrap();
                assert_eq!(other.await.unwrap().status(), 200);
                assert_eq!(bench.ledger.entries(2)[0].outcome, ExchangeOutcome::Injected);
                assert_eq!(bench.active(), 0);
            });
        }
    }
}

#[test]
fn after_a_time_it_ends_whether_or_not_data_flows() {
    for flowing in [false, true] {
        let (origin, bench) = aborting("how = \"close\"\nat = \"body\"\nafter = \"200ms\"");
        let mut client = bench.say(GET);
        let up = origin.answer("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
        let mut writer = up.socket.try_clone().unwrap();
        std::thread::scope(|scope| {
            let started = std::time::Instant::now();
            // Ends with an error when the proxy closes.
            scope.spawn(move || while flowing && std::io::Write::write_all(&mut writer, &[7; 10_000]).is_ok() {});
            assert_eq!(field(&client.read_head(), "x-brownout").as_deref(), Some("cut/abort"));
            let (bytes, ended) = client.read_to_end();
            assert!(ended.is_ok() && bytes.is_empty() != flowing, "{} bytes, {ended:?}", bytes.len());
            assert!(started.elapsed().as_millis() >= 200);
        });
        assert_eq!(bench.ledger.only().outcome, ExchangeOutcome::Injected);
        assert_eq!((bench.active(), bench.counts().injected), (0, 1));
    }
}

#[test]
fn a_response_that_ends_before_its_time_ends_as_it_would() {
    let (origin, bench) = aborting("at = \"body\"\nafter = \"1h\"");
    let mut client = bench.say(GET);
    let mut up = origin.answer(ok("hello"));
    assert_eq!(client.read_message().1, "hello");
    client.send(GET);
    up.read_head();
    assert_eq!((bench.ledger.only().outcome, bench.counts().skipped), (ExchangeOutcome::Forwarded, 1));
}

#[test]
fn a_tunnel_is_cut_after_its_time_too() {
    let (origin, bench) = aborting("at = \"body\"\nafter = \"100ms\"");
    let mut client = bench.say("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    let mut up = origin.answer("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n");
    client.read_head();
    client.send("ping");
    assert_eq!(up.read_exact(4), b"ping");
    ends(&mut client, "reset", b"");
    up.await_end();
}

#[test]
fn half_a_close_is_a_fin_from_a_peer_that_still_listens() {
    for at in ["request", "headers", "body"] {
        let (origin, bench) = aborting(&format!("how = \"half-close\"\nat = \"{at}\""));
        let mut client = bench.say(GET);
        let _up = (at != "request").then(|| origin.answer(ok("hello")));
        if at == "body" {
            client.read_head();
        }
        ends(&mut client, "close", b"");
        // A closed peer would answer the first of these with a RST, and the second would fail.
        for _ in 0..20 {
            client.send(vec![7; 100_000]);
        }
        assert_eq!(bench.active(), 1, "it lasts until the client leaves");
        drop(client);
        bench.ledger.only();
        bench.ledger.settled();
        assert_eq!((bench.active(), bench.counts().injected), (0, 1));
    }
}

#[test]
fn half_a_close_ends_when_it_is_released() {
    let (_origin, bench) = aborting("how = \"half-close\"");
    let mut client = bench.say(GET);
    ends(&mut client, "close", b"");
    bench.rules.off();
    bench.ledger.only();
    assert_eq!(bench.active(), 0);
}

#[test]
fn on_http_2_half_a_close_ends_the_stream_without_a_reset() {
    block_on(async {
        let mut at =
            over_h2::Setting::new("kind = \"abort\"\nhow = \"half-close\"\nat = \"body\"\nafter_bytes = 4").await;
        let (_, ended) = at.ask(get("/"), response(200), b"0123456789").await;
        assert_eq!(ended.unwrap().0, b"0123");
    });
}
