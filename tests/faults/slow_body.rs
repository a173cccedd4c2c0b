//! `slow-body`: the header at once, then a drip. How even it is, a bench says: a test on a busy machine can only say
//! that no byte comes too early and none is lost.

use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::*;
use crate::support::h2::{Client as H2Client, Origin as H2Origin, block_on, get, read_all, response, send_all};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const LENGTH: usize = 30_000;
/// 30,000 bytes at 100,000 B/s; what the drip may catch up on is 20 ms.
const AT_LEAST: Duration = Duration::from_millis(280);

fn slow() -> (Origin, Bench) {
    let origin = Origin::new();
    let bench = Bench::new(origin.address);
    bench.rules(&rule("drip", "kind = \"slow-body\"\nrate = \"100kB/s\""));
    (origin, bench)
}

#[test]
fn the_head_comes_at_once_and_the_body_takes_its_time_whatever_frames_it() {
    let body = noise(LENGTH);
    for framing in ["length", "chunked", "close"] {
        let (origin, bench) = slow();
        let mut client = bench.say(GET);
        let mut up = origin.accept();
        up.read_head();
        match framing {
            "length" => up.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n")).send(&body),
            "chunked" => up
                .send(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{LENGTH:x}\r\n"))
                .send(&body)
                .send("\r\n0\r\n\r\n"),
            _ => up.send("HTTP/1.1 200 OK\r\n\r\n").send(&body).finish_sending(),
        };
        let head = client.read_head();
        let started = Instant::now();
        assert_eq!(field(&head, "x-brownout").as_deref(), Some("drip/slow-body"));
        let got = if framing == "length" { client.read_exact(LENGTH) } else { client.read_chunks().0 };
        assert!(got == body);
        assert!(started.elapsed() >= AT_LEAST - Duration::from_millis(20), "{framing}: {:?}", started.elapsed());
        assert_eq!(bench.ledger.only().marks, "drip/slow-body");
        assert_eq!((bench.active(), bench.counts().injected), (0, 1));
        client.send(GET); // the connection is kept
        if framing != "close" {
            up.read_head();
        }
    }
}

#[test]
fn the_head_does_not_wait_for_the_first_byte() {
    let (origin, bench) = slow();
    let mut client = bench.say(GET);
    let mut up = origin.accept();
    up.read_head();
    up.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    client.read_head();
    up.send("hello");
    assert_eq!(client.read_exact(5), b"hello");
}

#[test]
fn a_piece_can_be_given_its_size() {
    let origin = Origin::new();
    let bench = Bench::new(origin.address);
    bench.rules(&rule("drip", "kind = \"slow-body\"\nrate = \"10kB/s\"\nchunk = \"500B\""));
    let mut client = bench.say(GET);
    let body = "x".repeat(2_000);
    let _up = origin.answer(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n{body}\r\n0\r\n\r\n"));
    client.read_head();
    assert_eq!(client.read_chunks(), (body.into_bytes(), 4));
}

#[test]
fn an_origin_is_held_back_by_the_drip() {
    let (origin, bench) = slow();
    let mut client = bench.say(GET);
    let up = origin.answer("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
    let mut socket = up.socket.try_clone().unwrap();
    socket.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut sent = 0;
    while let Ok(n) = std::io::Write::write(&mut socket, &[7; 65536]) {
        sent += n;
        assert!(sent < 100 << 20, "somebody swallows it all");
    }
    client.read_head();
    drop(client);
    assert_eq!(bench.ledger.only().status, Some(200));
    assert_eq!(bench.active(), 0);
}

#[test]
fn an_upload_goes_on_beside_the_drip() {
    let (origin, bench) = slow();
    let mut client = bench.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n");
    let mut up = origin.answer(format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n{}", "x".repeat(LENGTH)));
    client.read_head();
    client.send("helloworld");
    assert_eq!(up.read_exact(10), b"helloworld");
    client.read_exact(LENGTH);
}

#[test]
fn a_truncated_answer_is_truncated_at_the_same_byte() {
    let (origin, bench) = slow();
    let mut client = bench.say(GET);
    drop(origin.answer(format!("HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n{}", "x".repeat(5_000))));
    client.read_head();
    let (got, ended) = client.read_to_end();
    assert_eq!((got.len(), ended.is_ok()), (5_000, true));
    bench.ledger.only();
    assert_eq!(bench.active(), 0);
}

#[test]
fn a_tunnel_drips_too() {
    let (origin, bench) = slow();
    let mut client = bench.say("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    let mut up = origin.answer("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n");
    client.read_head();
    let body = noise(LENGTH);
    let started = Instant::now();
    let mut writer = up.socket.try_clone().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| std::io::Write::write_all(&mut writer, &body).unwrap());
        client.send("ping");
        assert_eq!(up.read_exact(4), b"ping");
        assert!(client.read_exact(LENGTH) == body);
    });
    assert!(started.elapsed() >= AT_LEAST);
}

#[test]
fn on_http_2_a_stream_drips_and_the_others_do_not() {
    block_on(async {
        let mut origin = H2Origin::new().await;
        let bench = Bench::h2c(origin.address);
        let fault = rule("drip", "kind = \"slow-body\"\nrate = \"100kB/s\"");
        bench.rules(&fault.replace("[[rule.fault]]", "match = { path = \"/drip\" }\n[[rule.fault]]"));
        let client = H2Client::connect(bench.h2).await;
        let (answer, _) = client.start(get("/drip"), true).await;
        let (_, mut respond) = origin.asked().await;
        let mut body = respond.send_response(response(200), false).unwrap();
        let bytes = Bytes::from(noise(LENGTH));
        send_all(&mut body, bytes.clone(), false).await.unwrap();
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        body.send_trailers(trailers.clone()).unwrap();
        let answer = answer.await.unwrap();
        let started = Instant::now();
        assert_eq!(answer.headers()["x-brownout"], "drip/slow-body");
        let dripping = tokio::spawn(read_all(answer.into_body()));
        for _ in 0..3 {
            let (fine, _) = client.start(get("/fine"), true).await;
            origin.asked().await.1.send_response(response(200), true).unwrap();
            assert_eq!(fine.await.unwrap().status(), 200);
        }
        assert_eq!(dripping.await.unwrap().unwrap(), (bytes.to_vec(), Some(trailers)));
        assert!(started.elapsed() >= AT_LEAST - Duration::from_millis(20), "{:?}", started.elapsed());
    });
}
