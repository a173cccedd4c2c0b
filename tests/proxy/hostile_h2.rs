//! HTTP/2 clients that keep the proxy busy instead of asking, and heads that would become something else on HTTP/1.

use std::io::Write;

use brownout::telemetry::events::{ExchangeOutcome, Trouble};

use crate::support::*;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// `GET / http` of the static table, and `:authority: a`.
const GET: &[u8] = &[0x82, 0x86, 0x84, 0x41, 1, b'a'];
/// The same as a POST.
const POST: &[u8] = &[0x83, 0x86, 0x84, 0x41, 1, b'a'];

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A literal field, not indexed.
fn literal(name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    [vec![0], text(name), text(value)].concat()
}

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

fn read_frame(client: &mut Client) -> Frame {
    let head = client.read_exact(9);
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let stream = u32::from_be_bytes(head[5..9].try_into().unwrap());
    Frame { kind: head[3], flags: head[4], stream, payload: client.read_exact(length as usize) }
}

/// Sends until it is all sent or the proxy has had enough; then reads to the end: the reason of the GOAWAY, if one came.
fn overwhelm(client: &mut Client, piece: &[u8], times: usize) -> Option<u32> {
    for _ in 0..times {
        if client.socket.write_all(piece).is_err() {
            break;
        }
    }
    goaway(&client.read_to_end().0)
}

fn goaway(mut bytes: &[u8]) -> Option<u32> {
    while bytes.len() >= 9 {
        let length = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]) as usize;
        if bytes[3] == GOAWAY {
            return bytes.get(13..17).map(|reason| u32::from_be_bytes(reason.try_into().unwrap()));
        }
        bytes = bytes.get(9 + length..)?;
    }
    None
}

fn limited(limits: &str) -> (Origin, Bench) {
    let origin = Origin::new();
    let bench = Bench::also(origin.address, &format!("limits = {{ {limits} }}"));
    (origin, bench)
}

#[track_caller]
fn is_told_of_a_flood(bench: &Bench) {
    bench.ledger.settled();
    let entries = bench.ledger.entries(1);
    let floods: Vec<_> = entries.iter().filter(|entry| entry.trouble == Some(Trouble::Flood)).collect();
    assert_eq!(floods.len(), 1, "{entries:?}");
    assert_eq!((floods[0].status, floods[0].outcome), (None, ExchangeOutcome::Refused));
}

#[test]
fn rapid_resets_end_the_connection_and_cost_the_origin_little() {
    let (origin, bench) = limited("h2_resets = \"100/s\"");
    let mut client = bench.say(PREFACE);
    let mut burst = Vec::new();
    for stream in (0..20_000).map(|n| 2 * n + 1) {
        burst.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream, GET));
        burst.extend(frame(RST_STREAM, 0, stream, &8u32.to_be_bytes()));
    }
    overwhelm(&mut client, &burst, 1);
    bench.ledger.settled();
    let asked = std::iter::from_fn(|| origin.try_accept()).count();
    assert!(asked <= 200, "{asked} connections to the origin");
    let mut other = bench.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let _up = origin.answer(ok("here"));
    assert_eq!(other.read_message().1, "here");
}

#[test]
fn streams_that_are_opened_and_reset_one_by_one_may_be_so_only_so_often() {
    let (origin, bench) = limited("h2_resets = \"5/m\"");
    let mut client = bench.say(PREFACE);
    for stream in [1, 3] {
        client.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, GET));
        let mut up = origin.accept();
        up.read_head();
        client.send(frame(RST_STREAM, 0, stream, &8u32.to_be_bytes()));
        up.await_end();
    }
    client.await_end();
    is_told_of_a_flood(&bench);
}

#[test]
fn settings_pings_priorities_and_empty_pieces_may_be_sent_only_so_often() {
    let setting = [0, 4, 0, 1, 0, 0];
    for (name, flood) in [
        ("SETTINGS", frame(SETTINGS, 0, 0, &setting)),
        ("SETTINGS ACK", frame(SETTINGS, ACK, 0, &[])),
        ("PING", frame(PING, 0, 0, &[7; 8])),
        ("PRIORITY", frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1])),
        ("unknown", frame(0xfa, 0, 0, b"x")),
    ] {
        let (_origin, bench) = limited("h2_frames = \"50/s\"");
        let mut client = bench.say(PREFACE);
        overwhelm(&mut client, &flood.repeat(1000), 10);
        bench.ledger.settled();
        assert!(bench.ledger.entries(0).len() <= 1, "{name}");
    }
}

#[test]
fn a_flood_is_told_and_what_is_below_is_answered() {
    let (_origin, bench) = limited("h2_frames = \"50/s\"");
    let mut client = bench.say(PREFACE);
    for n in 0..20u8 {
        client.send(frame(PING, 0, 0, &[n; 8]));
        let pong = std::iter::repeat_with(|| read_frame(&mut client)).find(|frame| frame.kind == PING).unwrap();
        assert_eq!((pong.flags, pong.payload), (ACK, vec![n; 8]));
    }
    overwhelm(&mut client, &frame(PING, 0, 0, &[7; 8]).repeat(1000), 10);
    is_told_of_a_flood(&bench);
}

#[test]
fn a_head_that_never_ends_ends_the_connection() {
    let (origin, bench) = limited("head_size = \"16KiB\"");
    let mut client = bench.say(PREFACE);
    client.send(frame(HEADERS, END_STREAM, 1, GET));
    let filler: Vec<u8> = (0..100).flat_map(|_| literal("x-a", &"y".repeat(100))).collect();
    overwhelm(&mut client, &frame(CONTINUATION, 0, 1, &filler), 10_000);
    bench.ledger.settled();
    assert!(origin.try_accept().is_none());
}

#[test]
fn a_head_of_empty_pieces_that_never_ends_ends_the_connection() {
    let (origin, bench) = limited("head_size = \"16KiB\"");
    let mut client = bench.say(PREFACE);
    client.send(frame(HEADERS, END_STREAM, 1, GET));
    overwhelm(&mut client, &frame(CONTINUATION, 0, 1, &[]).repeat(1000), 1000);
    bench.ledger.settled();
    assert!(origin.try_accept().is_none());
}

#[test]
fn a_head_that_unfolds_to_a_hundred_times_its_size_is_refused() {
    let (origin, bench) = limited("head_size = \"16KiB\"");
    let mut client = bench.say(PREFACE);
    // One large field goes into the table, and is then named by a byte each.
    let mut block = GET.to_vec();
    block.extend([0x40, 3]);
    block.extend(b"x-a");
    block.extend([0x7f, 0x80 | ((3000u32 - 127) & 0x7f) as u8, ((3000u32 - 127) >> 7) as u8]);
    block.extend(vec![b'y'; 3000]);
    block.extend(vec![0xbe; 2000]);
    client.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, &block));
    let answer = std::iter::repeat_with(|| read_frame(&mut client))
        .find(|frame| matches!(frame.kind, HEADERS | RST_STREAM | GOAWAY));
    let answer = answer.unwrap();
    assert!(answer.kind != HEADERS || answer.stream == 1);
    drop(client);
    bench.ledger.settled();
    assert!(origin.try_accept().is_none());
}

#[test]
fn windows_that_overflow_or_do_not_grow_are_errors() {
    for update in [
        frame(WINDOW_UPDATE, 0, 0, &0x7fff_ffffu32.to_be_bytes()),
        frame(WINDOW_UPDATE, 0, 0, &0u32.to_be_bytes()),
        frame(SETTINGS, 0, 0, &[0, 4, 0xff, 0xff, 0xff, 0xff]),
    ] {
        let (_origin, bench) = limited("h2_frames = \"1000/s\"");
        let mut client = bench.say(PREFACE);
        let reason = overwhelm(&mut client, &update, 2);
        assert!(matches!(reason, Some(1 | 3)), "{reason:?}");
    }
}

#[test]
fn a_client_that_opens_its_window_by_single_bytes_gets_single_bytes() {
    let origin = Origin::new();
    let bench = Bench::new(origin.address);
    let mut client = bench.connect();
    client.send(&PREFACE[..24]).send(frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]));
    client.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, GET));
    let _up = origin.answer(ok("hello"));
    let mut got = Vec::new();
    while got != b"hello" {
        client.send(frame(WINDOW_UPDATE, 0, 1, &1u32.to_be_bytes()));
        let data = std::iter::repeat_with(|| read_frame(&mut client)).find(|frame| frame.kind == DATA).unwrap();
        assert_eq!(data.payload.len(), 1);
        got.extend(data.payload);
    }
}

#[test]
fn a_window_that_never_opens_is_given_up_in_time() {
    let origin = Origin::new();
    let bench = Bench::also(origin.address, "write_timeout = \"200ms\"");
    let mut client = bench.connect();
    client.send(&PREFACE[..24]).send(frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]));
    client.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, GET));
    let mut up = origin.answer(ok("hello"));
    up.await_end();
    assert_eq!(bench.ledger.only().outcome, ExchangeOutcome::ClientGone);
}

/// A request with these fields beside its own; what the origin hears of it, if anything.
fn heard(head: &[u8], fields: &[u8], body: &[u8]) -> Option<String> {
    let origin = Origin::new();
    let bench = Bench::also(origin.address, "read_timeout = \"300ms\"");
    let mut client = bench.say(PREFACE);
    let end = if body.is_empty() { END_STREAM } else { 0 };
    client.send(frame(HEADERS, END_HEADERS | end, 1, &[head, fields].concat()));
    if !body.is_empty() {
        let _ = client.socket.write_all(&frame(DATA, END_STREAM, 1, body));
    }
    let _ = client.socket.write_all(&frame(PING, 0, 0, &[1; 8]));
    // Whether it was refused, answered or cut: something comes for the stream, or the connection ends.
    let mut up = None;
    for _ in 0..400 {
        up = origin.try_accept();
        if up.is_some() || !bench.ledger.entries(0).is_empty() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    drop(client);
    up.map(|mut up| raw::latin1(&up.read_to_end().0))
}

#[test]
fn what_would_be_another_request_on_http_1_is_never_forwarded() {
    for (name, value) in [
        ("transfer-encoding", "chunked"),
        ("connection", "close"),
        ("upgrade", "websocket"),
        ("keep-alive", "1"),
        ("x-a", "1\r\ncontent-length: 5"),
        ("x-a", "1\ntransfer-encoding: chunked"),
        ("x-a", "1\0"),
        ("x-a\r\nhost", "b"),
        ("x a", "1"),
        ("X-A", "1"),
        ("x-a:", "1"),
        (":path", "/smuggled"),
        ("host", "b"),
        ("te", "gzip"),
        ("content-length", "+1"),
        ("content-length", "1, 2"),
    ] {
        assert_eq!(heard(GET, &literal(name, value), b""), None, "{name:?}: {value:?}");
    }
    let twice = [literal("content-length", "1"), literal("content-length", "2")].concat();
    assert_eq!(heard(POST, &twice, b"a"), None);
}

#[test]
fn a_target_that_is_none_is_never_forwarded() {
    for path in ["/ HTTP/1.1\r\nx: y", "/\r\n\r\nGET /smuggled", "/a b", "/\0", "*/", "http://b/", ""] {
        // `GET`, `http`, the authority, and a path of its own.
        let head = [&[0x82, 0x86, 0x41, 1, b'a'][..], &literal(":path", path)].concat();
        let heard = heard(&head, b"", b"");
        assert!(heard.is_none(), "{path:?}: {heard:?}");
    }
}

#[test]
fn an_empty_piece_is_not_the_end_of_a_body() {
    let origin = Origin::new();
    let bench = Bench::also(origin.address, "shards = 1");
    let mut client = bench.say(PREFACE);
    client.send(frame(HEADERS, END_HEADERS, 1, POST));
    for piece in ["", "hello", "", "world"] {
        client.send(frame(DATA, 0, 1, piece.as_bytes()));
    }
    let mut up = origin.accept();
    up.read_until("world\r\n");
    assert!(up.is_silent());
    client.send(frame(DATA, END_STREAM, 1, b""));
    assert_eq!(up.read_until("\r\n\r\n"), "0\r\n\r\n");
    up.send(ok("done"));
    bench.ledger.only();
    client.send(frame(HEADERS, END_HEADERS | END_STREAM, 3, GET));
    assert!(up.read_head().starts_with("GET / "), "on the same connection, and nothing before it");
}

#[test]
fn a_length_that_the_pieces_do_not_keep_to_makes_no_whole_request() {
    for (length, body) in [("0", &b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"[..]), ("3", b"hello"), ("9", b"hello")] {
        let heard = heard(POST, &literal("content-length", length), body).unwrap_or_default();
        assert!(!heard.contains("smuggled"), "{heard:?}");
        let passed = heard.split("\r\n\r\n").nth(1).unwrap_or_default().len();
        assert!(passed < length.parse().unwrap() || passed == 0, "{length}: {heard:?}");
    }
}
