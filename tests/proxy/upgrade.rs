//! Connections that become something else.

use super::*;

const ASK: &str =
    "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: eA==\r\n\r\n";
const AGREE: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

fn asked() -> (Client, Client, Bench) {
    let origin = Origin::new();
    let bench = Bench::new(origin.address);
    let client = bench.say(ASK);
    let mut up = origin.accept();
    assert_eq!(up.read_head(), ASK);
    (client, up, bench)
}

#[test]
fn a_websocket_is_a_tunnel() {
    let (mut client, mut up, _bench) = asked();
    up.send(AGREE);
    assert_eq!(client.read_head(), AGREE);
    for n in 0..3 {
        client.send(format!("ping{n}"));
        assert_eq!(up.read_exact(5), format!("ping{n}").as_bytes());
        up.send(format!("pong{n}"));
        assert_eq!(client.read_exact(5), format!("pong{n}").as_bytes());
    }
}

#[test]
fn bytes_around_the_switch_pass() {
    let (mut client, mut up, _bench) = asked();
    client.send("eager");
    up.send(format!("{AGREE}first"));
    client.read_head();
    assert_eq!(client.read_exact(5), b"first");
    assert_eq!(up.read_exact(5), b"eager");
}

#[test]
fn the_origin_ends_a_tunnel_with_its_last_words() {
    let (mut client, mut up, _bench) = asked();
    up.send(AGREE);
    client.read_head();
    up.send("last words");
    drop(up);
    let (words, ended) = client.read_to_end();
    assert_eq!(words, b"last words");
    assert!(ended.is_ok());
}

#[test]
fn the_client_ends_a_tunnel_with_its_last_words() {
    let (mut client, mut up, bench) = asked();
    up.send(AGREE);
    client.read_head();
    client.send("last words");
    drop(client);
    assert_eq!(up.read_to_end().0, b"last words");
    assert_eq!(bench.ledger.only().status, Some(101));
}

#[test]
fn much_passes_through_a_tunnel_both_ways_at_once() {
    let (mut client, mut up, _bench) = asked();
    up.send(AGREE);
    client.read_head();
    let bytes = noise(8 << 20);
    let (mut client_writer, mut up_writer) = (client.socket.try_clone().unwrap(), up.socket.try_clone().unwrap());
    std::thread::scope(|scope| {
        use std::io::Write;
        scope.spawn(|| client_writer.write_all(&bytes).unwrap());
        scope.spawn(|| up_writer.write_all(&bytes).unwrap());
        scope.spawn(|| assert!(up.read_exact(bytes.len()) == bytes));
        assert!(client.read_exact(bytes.len()) == bytes);
    });
}

#[test]
fn any_protocol_may_be_switched_to() {
    let origin = Origin::new();
    let bench = Bench::new(origin.address);
    let mut client =
        bench.say("POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: foo/1\r\nContent-Length: 2\r\n\r\nhi");
    let mut up = origin.accept();
    up.read_until("hi");
    up.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: foo/1\r\n\r\n");
    client.read_head();
    client.send("a");
    assert_eq!(up.read_exact(1), b"a");
    up.send("b");
    assert_eq!(client.read_exact(1), b"b");
}

#[test]
fn an_upgrade_that_the_origin_declines_is_an_ordinary_request() {
    let (mut client, mut up, _bench) = asked();
    up.send(ok("no"));
    assert_eq!(client.read_message().1, "no");
    client.send("GET /again HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(up.read_head().starts_with("GET /again "));
}

#[test]
fn a_switch_that_nobody_asked_for_is_malformed() {
    let origin = Origin::new();
    let bench = Bench::new(origin.address);
    let mut client = bench.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut up = origin.accept();
    up.read_head();
    up.send(AGREE);
    let (head, _) = client.read_message();
    assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
    assert_eq!(field(&head, "x-brownout-error").as_deref(), Some("upstream-malformed"));
}
