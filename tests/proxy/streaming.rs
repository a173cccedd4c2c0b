//! Nothing is held back, and nothing piles up.

use std::io::{Read, Write};
use std::thread;

use super::*;

fn exchange(request: &str) -> (Client, Client, Bench) {
    let origin = Origin::new();
    let bench = Bench::new(origin.address);
    let client = bench.say(request);
    let mut up = origin.accept();
    up.read_head();
    (client, up, bench)
}

const GET: &str = "GET / HTTP/1.1\r\nHost: shop\r\n\r\n";

#[test]
fn a_body_that_comes_slowly_with_a_length_is_not_held_back() {
    let (mut client, mut up, _bench) = exchange(GET);
    up.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n");
    client.read_head();
    for piece in ["1", "2345", "67890"] {
        up.send(piece);
        assert_eq!(client.read_exact(piece.len()), piece.as_bytes());
    }
}

#[test]
fn events_that_come_in_chunks_are_not_held_back() {
    let (mut client, mut up, _bench) = exchange(GET);
    up.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.read_head();
    for n in 0..3 {
        up.send(format!("9\r\ndata: {n}\n\n\r\n"));
        assert_eq!(client.read_until("\n\n\r\n"), format!("9\r\ndata: {n}\n\n\r\n"));
    }
    up.send("0\r\n\r\n");
    assert_eq!(client.read_until("0\r\n\r\n"), "0\r\n\r\n");
}

#[test]
fn a_body_that_ends_with_the_connection_is_not_held_back() {
    let (mut client, mut up, _bench) = exchange(GET);
    up.send("HTTP/1.0 200 OK\r\n\r\none");
    client.read_head();
    assert_eq!(client.read_until("one\r\n"), "3\r\none\r\n");
    up.send("two");
    assert_eq!(client.read_until("two\r\n"), "3\r\ntwo\r\n");
    drop(up);
    assert_eq!(client.read_until("0\r\n\r\n"), "0\r\n\r\n");
}

#[test]
fn an_upload_is_not_held_back() {
    let (mut client, mut up, _bench) = exchange("POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 6\r\n\r\n");
    for piece in ["a", "bc", "def"] {
        client.send(piece);
        assert_eq!(up.read_exact(piece.len()), piece.as_bytes());
    }
}

#[test]
fn an_upload_and_its_answer_stream_in_both_directions_at_once() {
    let (mut client, mut up, _bench) = exchange("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    up.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.read_head();
    for _ in 0..3 {
        client.send("3\r\nabc\r\n");
        assert_eq!(up.read_until("abc\r\n"), "3\r\nabc\r\n");
        up.send("2\r\nxy\r\n");
        assert_eq!(client.read_until("xy\r\n"), "2\r\nxy\r\n");
    }
    client.send("0\r\n\r\n");
    assert_eq!(up.read_until("\r\n\r\n"), "0\r\n\r\n");
    up.send("0\r\n\r\n");
    assert_eq!(client.read_until("\r\n\r\n"), "0\r\n\r\n");
    client.send(GET);
    assert!(up.read_head().starts_with("GET / "), "both connections are kept");
}

#[test]
fn large_bodies_pass_whole_in_both_directions() {
    let body = noise(5_000_003);
    let (mut client, mut up, _bench) =
        exchange(&format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len()));
    thread::scope(|scope| {
        scope.spawn(|| client.send(&body));
        assert!(up.read_exact(body.len()) == body);
    });
    thread::scope(|scope| {
        scope.spawn(|| {
            up.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            for piece in body.chunks(70_001) {
                up.send(format!("{:x}\r\n", piece.len())).send(piece).send("\r\n");
            }
            up.send("0\r\n\r\n");
        });
        client.read_head();
        assert!(client.read_chunks().0 == body);
    });
}

/// The origin writes 60 MiB and reads 64 KiB of the 40 MiB upload after each 8 MiB it has written; the client reads
/// and writes beside one another. Each direction must go on while the other is stuck.
#[test]
fn bulk_in_both_directions_does_not_stall() {
    const DOWN: usize = 60 << 20;
    const UP: usize = 40 << 20;
    let (mut client, mut up, _bench) = exchange(&format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {UP}\r\n\r\n"));
    let piece = vec![7u8; 1 << 20];
    let mut writer = client.socket.try_clone().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            up.send(format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {DOWN}\r\n\r\n"));
            for sent in 1..=DOWN >> 20 {
                up.send(&piece);
                if sent % 8 == 0 {
                    up.read_exact(64 << 10);
                }
            }
            up.read_exact(UP - (DOWN >> 23) * (64 << 10));
        });
        scope.spawn(|| (0..UP >> 20).for_each(|_| writer.write_all(&piece).unwrap()));
        client.read_head();
        (0..DOWN >> 20).for_each(|_| assert!(client.read_exact(1 << 20) == piece));
    });
}

/// The mirror image: the client writes all of its upload before it reads, the origin sends at once what it reads.
#[test]
fn a_client_that_reads_late_does_not_stall_its_own_upload() {
    const UP: usize = 24 << 20;
    const DOWN: usize = 48 << 20;
    let (mut client, mut up, _bench) = exchange(&format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {UP}\r\n\r\n"));
    let piece = vec![7u8; 1 << 20];
    let mut reader = up.socket.try_clone().unwrap();
    thread::scope(|scope| {
        // The origin writes more than any buffer on the way takes, and reads beside it.
        scope.spawn(|| {
            up.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {DOWN}\r\n\r\n"));
            (0..DOWN >> 20).for_each(|_| {
                up.send(&piece);
            });
        });
        scope.spawn(|| {
            let mut sink = vec![0; 1 << 20];
            (0..UP >> 20).for_each(|_| reader.read_exact(&mut sink).unwrap());
        });
        (0..UP >> 20).for_each(|_| {
            client.send(&piece);
        });
        client.read_head();
        (0..DOWN >> 20).for_each(|_| assert!(client.read_exact(1 << 20) == piece));
    });
}

/// A client that does not read holds the origin back.
#[test]
fn a_slow_client_holds_the_origin_back() {
    let (mut client, up, _bench) = exchange(GET);
    let mut socket = up.socket.try_clone().unwrap();
    socket.set_write_timeout(Some(std::time::Duration::from_secs(1))).unwrap();
    socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n").unwrap();
    let piece = vec![7u8; 1 << 20];
    let mut sent = 0;
    while let Ok(n) = socket.write(&piece) {
        sent += n;
        assert!(sent < 100 << 20, "somebody swallows it all");
    }
    client.read_head();
    client.read_exact(sent); // what was taken arrives
}
