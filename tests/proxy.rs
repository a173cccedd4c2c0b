//! The proxy between raw sockets: what goes in comes out.

mod support;

use support::*;

#[test]
fn a_request_and_its_answer_pass_and_the_connection_is_kept() {
    let origin = Origin::new();
    let bench = Bench::new(origin.address);
    let mut client = bench.connect();
    client.send("GET /a/../b?x=%2F HTTP/1.1\r\nHost: shop\r\nX-CaSe: 1\r\n\r\n");
    let mut up = origin.accept();
    assert_eq!(up.read_head(), "GET /a/../b?x=%2F HTTP/1.1\r\nHost: shop\r\nX-CaSe: 1\r\n\r\n");
    up.send(ok("hello"));
    let (head, body) = client.read_response();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert_eq!(body, "hello");
    client.send("GET /again HTTP/1.1\r\nHost: shop\r\n\r\n");
    assert!(up.read_head().starts_with("GET /again "), "the upstream's connection is reused");
    up.send(ok("again"));
    assert_eq!(client.read_response().1, "again");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let origin = Origin::answering(|head| ok(head.split(' ').nth(1).unwrap()));
    let bench = Bench::new(origin.address);
    let mut client = bench.connect();
    client
        .send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\n");
    for n in 1..=3 {
        assert_eq!(client.read_response().1, format!("/{n}"));
    }
}

#[test]
fn a_body_that_comes_slowly_with_a_length_is_not_held_back() {
    let origin = Origin::new();
    let bench = Bench::new(origin.address);
    let mut client = bench.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut up = origin.accept();
    up.read_head();
    up.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345");
    client.read_head();
    assert_eq!(client.read_exact(5), b"12345");
    up.send("67890");
    assert_eq!(client.read_exact(5), b"67890");
}

#[test]
fn a_client_that_leaves_takes_its_request_along() {
    let origin = Origin::new();
    let bench = Bench::new(origin.address);
    let mut client = bench.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut up = origin.accept();
    up.read_head();
    drop(client);
    assert!(up.read_to_end().0.is_empty());
}

#[test]
fn a_refused_upstream_is_a_502_that_says_so() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let bench = Bench::new(gone);
    let mut client = bench.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let (head, body) = client.read_response();
    assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
    assert_eq!(field(&head, "x-brownout-error").as_deref(), Some("upstream-refused"));
    assert_eq!(body, "brownout: upstream-refused\n");
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.read_response().0.starts_with("HTTP/1.1 502 "), "the connection is kept");
}

#[test]
fn an_idle_connection_is_closed_and_a_busy_one_waited_for_when_the_proxy_stops() {
    let origin = Origin::new();
    let mut bench = Bench::new(origin.address);
    let mut idle = bench.connect();
    idle.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut first = origin.accept();
    first.read_head();
    // Not to be reused, so that the next request comes on a connection of its own.
    first.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nidle");
    idle.read_response();
    let mut busy = bench.connect();
    busy.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut up = origin.accept();
    up.read_head();
    let stopping = std::thread::spawn(move || bench.stop(PATIENCE));
    assert!(idle.read_to_end().0.is_empty());
    up.send(ok("busy"));
    assert_eq!(busy.read_response().1, "busy");
    assert_eq!(stopping.join().unwrap(), 0);
}

#[test]
fn a_websocket_is_a_tunnel() {
    let origin = Origin::new();
    let bench = Bench::new(origin.address);
    let mut client = bench.connect();
    client.send("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    let mut up = origin.accept();
    up.read_head();
    up.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nfirst");
    client.read_head();
    assert_eq!(client.read_exact(5), b"first");
    client.send("ping");
    assert_eq!(up.read_exact(4), b"ping");
    up.send("pong");
    assert_eq!(client.read_exact(4), b"pong");
    drop(up);
    assert!(client.read_to_end().0.is_empty());
}

#[test]
fn an_upload_and_its_answer_stream_in_both_directions_at_once() {
    let origin = Origin::new();
    let bench = Bench::new(origin.address);
    let mut client = bench.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    let mut up = origin.accept();
    up.read_head();
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
}
