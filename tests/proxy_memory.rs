//! Bodies of any length stream through in little memory. A test binary of its own: it measures its own process.

#![allow(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

mod support;

use std::thread;

use bytes::Bytes;
use support::h2::{Client as H2Client, Origin as H2Origin, block_on, get, post, response, send_all};
use support::*;

const GIB: usize = 1 << 30;
/// HTTP/2 is slower in an unoptimised build, and as flat after a quarter.
const QUARTER: usize = GIB / 4;
const PIECE: usize = 1 << 20;
/// What buffers of sockets' size and HTTP/2's windows (8 MiB a connection) may add, on both sides of the proxy, which
/// are in this process too.
const GROWTH: usize = 32 << 20;

/// The most memory that this process has had so far.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

/// One test, because the peak is the process's.
#[test]
fn large_bodies_stream_through_in_flat_memory_down_and_up_on_every_protocol() {
    let passages: [(&str, fn()); 6] = [
        ("down with a length", down_with_a_length),
        ("down in chunks", down_in_chunks),
        ("up", up),
        ("down on HTTP/2", down_on_http_2),
        ("up on HTTP/2", up_on_http_2),
        ("down and up over TLS", over_tls),
    ];
    for (name, passage) in passages {
        let (before, started) = (peak(), std::time::Instant::now());
        passage();
        let grown = peak() - before;
        println!("{name}: {} MiB more, {:?}", grown >> 20, started.elapsed());
        assert!(grown < GROWTH, "{name}: {} MiB more", grown >> 20);
    }
}

fn asked(request: String) -> (Client, Client, Bench) {
    let origin = Origin::new();
    let bench = Bench::new(origin.address);
    let client = bench.say(request);
    let mut up = origin.accept();
    up.read_head();
    (client, up, bench)
}

fn down_with_a_length() {
    let (mut client, mut up, _bench) = asked("GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned());
    thread::scope(|scope| {
        scope.spawn(|| {
            let piece = vec![7; PIECE];
            up.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {GIB}\r\n\r\n"));
            (0..GIB / PIECE).for_each(|_| _ = up.send(&piece));
        });
        client.read_head();
        (0..GIB / PIECE).for_each(|_| _ = client.read_exact(PIECE));
    });
}

fn down_in_chunks() {
    let (mut client, mut up, _bench) = asked("GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned());
    thread::scope(|scope| {
        scope.spawn(|| {
            let piece = vec![7; PIECE];
            up.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            (0..GIB / PIECE).for_each(|_| _ = up.send(format!("{PIECE:x}\r\n")).send(&piece).send("\r\n"));
            up.send("0\r\n\r\n");
        });
        client.read_head();
        let mut total = 0;
        while let size @ 1.. = usize::from_str_radix(client.read_until("\r\n").trim(), 16).unwrap() {
            client.read_exact(size + 2);
            total += size;
        }
        assert_eq!(total, GIB);
    });
}

fn up() {
    let (mut client, mut up, _bench) = asked(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {GIB}\r\n\r\n"));
    thread::scope(|scope| {
        scope.spawn(|| {
            let piece = vec![7; PIECE];
            (0..GIB / PIECE).for_each(|_| _ = client.send(&piece));
        });
        (0..GIB / PIECE).for_each(|_| _ = up.read_exact(PIECE));
    });
}

fn over_tls() {
    let origin = Origin::new();
    let bench = BenchOver::<true, true>::new(origin.address);
    let mut client = bench.say(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {QUARTER}\r\n\r\n"));
    let mut up = origin.accept();
    up.read_head();
    let piece = vec![7; PIECE];
    thread::scope(|scope| {
        scope.spawn(|| (0..QUARTER / PIECE).for_each(|_| _ = client.send(&piece)));
        (0..QUARTER / PIECE).for_each(|_| _ = up.read_exact(PIECE));
    });
    thread::scope(|scope| {
        scope.spawn(|| {
            up.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {QUARTER}\r\n\r\n"));
            (0..QUARTER / PIECE).for_each(|_| _ = up.send(&piece));
        });
        client.read_head();
        (0..QUARTER / PIECE).for_each(|_| _ = client.read_exact(PIECE));
    });
}

fn down_on_http_2() {
    block_on(async {
        let mut origin = H2Origin::new().await;
        let bench = Bench::h2c(origin.address);
        let client = H2Client::connect(bench.address).await;
        let (answer, _) = client.start(get("/"), true).await;
        let (_, mut respond) = origin.asked().await;
        let mut body = respond.send_response(response(200), false).unwrap();
        tokio::spawn(async move {
            let piece = Bytes::from(vec![7; PIECE]);
            for left in (0..QUARTER / PIECE).rev() {
                send_all(&mut body, piece.clone(), left == 0).await.unwrap();
            }
        });
        assert_eq!(swallow(answer.await.unwrap().into_body()).await, QUARTER);
    });
}

fn up_on_http_2() {
    block_on(async {
        let mut origin = H2Origin::new().await;
        let bench = Bench::h2c(origin.address);
        let client = H2Client::connect(bench.address).await;
        let (_answer, mut body) = client.start(post("/"), false).await;
        tokio::spawn(async move {
            let piece = Bytes::from(vec![7; PIECE]);
            for left in (0..QUARTER / PIECE).rev() {
                send_all(&mut body, piece.clone(), left == 0).await.unwrap();
            }
        });
        let (asked, _respond) = origin.asked().await;
        assert_eq!(swallow(asked.into_body()).await, QUARTER);
    });
}

async fn swallow(mut body: ::h2::RecvStream) -> usize {
    let mut total = 0;
    while let Some(piece) = body.data().await {
        let length = piece.unwrap().len();
        body.flow_control().release_capacity(length).unwrap();
        total += length;
    }
    total
}
