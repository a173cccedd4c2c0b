//! `websocket`: later, lost or garbled messages, and goodbyes; other tunnels pass unread.

use std::time::{Duration, Instant};

use crate::support::*;

const UPGRADE: &str =
    "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// A short unmasked text frame.
fn text(payload: &str) -> Vec<u8> {
    [&[0x81, payload.len() as u8], payload.as_bytes()].concat()
}

/// The same as a client has to send it.
fn masked(payload: &str) -> Vec<u8> {
    let mask = [5u8, 6, 7, 8];
    let bytes = payload.bytes().enumerate().map(|(n, byte)| byte ^ mask[n % 4]);
    [0x81, 0x80 | payload.len() as u8].into_iter().chain(mask).chain(bytes).collect()
}

fn talking(fault: &str) -> (Bench, Client, Client) {
    let origin = Origin::new();
    let bench = Bench::new(origin.address);
    bench.rules(&rule("r", &format!("kind = \"websocket\"\n{fault}")));
    let mut client = bench.say(UPGRADE);
    let up = origin.answer("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert_eq!(field(&client.read_head(), "x-brownout").as_deref(), Some("r/websocket"));
    (bench, client, up)
}

#[test]
fn messages_of_one_direction_come_later_in_order_and_the_others_at_once() {
    let (bench, mut client, mut up) = talking("delay = \"200ms\"\ndirection = \"response\"");
    let started = Instant::now();
    up.send(text("one")).send(text("two"));
    client.send(masked("three"));
    assert_eq!(up.read_exact(11), masked("three"));
    assert_eq!(client.read_exact(10), [text("one"), text("two")].concat());
    assert!(started.elapsed() >= Duration::from_millis(200));
    assert!(started.elapsed() < PATIENCE);
    drop(client);
    up.await_end();
    bench.ledger.only();
    assert_eq!((bench.counts().injected, bench.active()), (1, 0));
}

#[test]
fn a_release_lets_delayed_messages_go() {
    let (bench, mut client, mut up) = talking("delay = \"1h\"");
    up.send(text("down"));
    client.send(masked("up"));
    bench.rules.off();
    assert_eq!(client.read_exact(6), text("down"));
    assert_eq!(up.read_exact(8), masked("up"));
}

#[test]
fn messages_get_lost_in_whole_and_control_frames_do_not() {
    let (_bench, mut client, mut up) = talking("drop = 1\ndirection = \"response\"");
    let ping = b"\x89\x01p";
    let compressed = [&[0xc1u8, 3], &b"zip"[..]].concat();
    up.send(text("lost")).send(ping).send(&compressed).send(text("lost too"));
    assert_eq!(client.read_exact(ping.len() + compressed.len()), [&ping[..], &compressed].concat());
    client.send(masked("kept"));
    assert_eq!(up.read_exact(10), masked("kept"));
    drop(up);
    client.expect_end();
}

#[test]
fn a_share_of_the_messages_is_garbled_and_keeps_its_length() {
    let (_bench, mut client, mut up) = talking("corrupt = 0.5");
    let sent = text("0123456789").repeat(100);
    up.send(&sent);
    let got = client.read_exact(sent.len());
    let garbled = got.chunks(12).zip(sent.chunks(12)).filter(|(a, b)| a != b).count();
    assert!((10..90).contains(&garbled), "{garbled} of 100");
    assert!(got.chunks(12).all(|frame| frame[..2] == [0x81, 10]), "headers stay");
}

#[test]
fn both_sides_are_told_goodbye_and_the_connection_ends() {
    let (bench, mut client, mut up) =
        talking("close = 1013\nreason = \"later\"\nclose_after = 1\ndirection = \"response\"");
    up.send(text("first")).send(text("second")).send(text("third"));
    let (got, ended) = client.read_to_end();
    assert_eq!((got, ended.is_ok()), ([&text("first")[..], b"\x88\x07\x03\xf5later"].concat(), true));
    let (got, _) = up.read_to_end();
    assert_eq!(got, b"\x88\x87\0\0\0\0\x03\xf5later");
    let entry = bench.ledger.only();
    assert_eq!(entry.outcome, brownout::telemetry::events::ExchangeOutcome::Injected);
    assert_eq!((bench.counts().injected, bench.active()), (1, 0));
}

#[test]
fn large_messages_pass_piece_by_piece() {
    let (_bench, mut client, mut up) = talking("delay = \"10ms\"");
    let body = noise(3_000_000);
    let mut frame = vec![0x82, 127];
    frame.extend((body.len() as u64).to_be_bytes());
    frame.extend(&body);
    let mut writer = up.socket.try_clone().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| std::io::Write::write_all(&mut writer, &frame).unwrap());
        assert!(client.read_exact(frame.len()) == frame);
    });
    up.send(text("after"));
    assert_eq!(client.read_exact(7), text("after"));
}

#[test]
fn what_opens_no_websocket_is_skipped_and_passes_unread() {
    let origin = Origin::new();
    let bench = Bench::new(origin.address);
    bench.rules(&rule("r", "kind = \"websocket\"\ndrop = 1"));
    let mut client = bench.say("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\n");
    let mut up = origin.answer("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\n");
    assert_eq!(field(&client.read_head(), "x-brownout"), None);
    up.send(text("anything"));
    assert_eq!(client.read_exact(10), text("anything"));
    drop(up);
    client.expect_end();
    assert_eq!(bench.counts().skipped, 1);
}
