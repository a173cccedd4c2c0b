//! Heads that two servers might read in two ways: the origin gets one meaning, or nothing.

use std::sync::{Arc, Mutex};

use crate::support::*;

/// What came of some bytes.
#[derive(Debug)]
pub(crate) struct Met {
    /// The statuses that the client was answered with.
    pub(crate) statuses: Vec<u16>,
    /// The request lines that the origin saw.
    pub(crate) asked: Vec<String>,
    /// What the proxy counted as requests.
    pub(crate) counted: usize,
}

/// Sends bytes to a proxy with little patience, and waits until it has closed the connection.
pub(crate) fn meet(bytes: impl AsRef<[u8]>) -> Met {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let notes = seen.clone();
    let origin = Origin::answering(move |head| {
        notes.lock().unwrap().push(head.lines().next().unwrap_or_default().to_owned());
        ok("")
    });
    let patience = "keepalive_timeout = \"100ms\"\nread_timeout = \"200ms\"\nlimits = { head_timeout = \"200ms\" }";
    let bench = Bench::also(origin.address, patience);
    let mut client = bench.connect();
    // A proxy that has heard enough does not read the rest.
    let _ = std::io::Write::write_all(&mut client.socket, bytes.as_ref());
    let (answers, _) = client.read_to_end();
    bench.ledger.settled();
    let answers = raw::latin1(&answers);
    let statuses = answers.split("HTTP/1.1 ").skip(1).map(|answer| answer[..3].parse().unwrap()).collect();
    let asked = seen.lock().unwrap().clone();
    Met { statuses, asked, counted: bench.ledger.entries(0).len() }
}

/// The bytes are refused, the connection ends, and the origin hears nothing.
#[track_caller]
pub(crate) fn is_refused(bytes: impl AsRef<[u8]>) {
    let shown = raw::latin1(bytes.as_ref());
    let met = meet(bytes);
    assert_eq!((&met.statuses[..], met.asked.len()), (&[400][..], 0), "{shown:?}: {met:?}");
}

/// The origin sees exactly these requests, each answered, and the proxy knows of each.
#[track_caller]
pub(crate) fn is_read_as(bytes: impl AsRef<[u8]>, requests: &[&str]) {
    let shown = raw::latin1(bytes.as_ref());
    let met = meet(bytes);
    let asked: Vec<_> = met.asked.iter().filter_map(|line| line.strip_suffix(" HTTP/1.1")).collect();
    assert_eq!(asked, requests, "{shown:?}: {met:?}");
    assert_eq!(met.statuses, vec![200; requests.len()], "{shown:?}: {met:?}");
    assert_eq!(met.counted, requests.len(), "{shown:?}: {met:?}");
}

fn post(fields: &str, body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n{body}")
}

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn a_length_beside_chunks_is_dropped_and_nothing_follows_on_the_connection() {
    let chunks = format!("0\r\n\r\n{SMUGGLED}");
    is_read_as(post("Content-Length: 6\r\nTransfer-Encoding: chunked", &chunks), &["POST /"]);
    is_read_as(post("Transfer-Encoding: chunked\r\nContent-Length: 99", &chunks), &["POST /"]);
    let inside = format!("{:x}\r\n{SMUGGLED}\r\n0\r\n\r\n", SMUGGLED.len());
    is_read_as(post("Content-Length: 4\r\nTransfer-Encoding: chunked", &inside), &["POST /"]);
}

#[test]
fn a_coding_that_somebody_might_not_see_is_refused() {
    for fields in [
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding\t: chunked",
        "Transfer-Encoding: 'chunked'",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: \x0bchunked",
        "Transfer-Encoding: \x0cchunked",
        "Transfer-Encoding: chunked\0",
        "Transfer-Encoding: chunked\x7f",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: identity, chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: x",
        "Transfer-Encoding: chunked;q=0.5",
        "Transfer-Encoding:",
        "Transfer-Encoding: ,chunked,",
        "Transfer-Encoding\r\n : chunked",
        "Transfer-Encoding:\r\n chunked",
        " Transfer-Encoding: chunked",
        "X: y\r\n Transfer-Encoding: chunked",
        "X: y\r\n\tTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\rX: y",
        "X: y\rTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r",
    ] {
        is_refused(post(fields, &format!("0\r\n\r\n{SMUGGLED}")));
    }
}

#[test]
fn a_length_that_somebody_might_read_otherwise_is_refused() {
    for length in [
        "+1",
        "-1",
        "0x1",
        "1 1",
        "1,1",
        "1, 2",
        "",
        "1_0",
        "1.0",
        "1e0",
        "\u{b2}",
        "a",
        ";1",
        "18446744073709551616",
        "99999999999999999999999",
    ] {
        let length: Vec<u8> = length.chars().map(|c| c as u8).collect();
        let head = [&b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: "[..], &length, b"\r\n\r\na"].concat();
        is_refused([&head[..], SMUGGLED.as_bytes()].concat());
    }
    for twice in ["1\r\nContent-Length: 1", "1\r\nContent-Length: 2", "1\r\ncontent-length: 01"] {
        is_refused(post(&format!("Content-Length: {twice}"), &format!("a{SMUGGLED}")));
    }
    is_refused(post("Content-Length : 1", "a"));
    is_refused(post("Content-Length\r\n: 1", "a"));
}

#[test]
fn a_length_is_kept_to_and_what_follows_is_the_next_request() {
    is_read_as(post("Content-Length: 5", "hello") + SMUGGLED, &["POST /", "GET /smuggled"]);
    is_read_as(post("Content-Length:   5\t", "hello") + SMUGGLED, &["POST /", "GET /smuggled"]);
    is_read_as(post("content-LENGTH: 005", "hello") + SMUGGLED, &["POST /", "GET /smuggled"]);
    let get = "GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    is_read_as(format!("{get}{SMUGGLED}"), &["GET /a", "GET /smuggled"]);
    is_read_as(format!("GET /b HTTP/1.1\r\nHost: a\r\n\r\n{SMUGGLED}"), &["GET /b", "GET /smuggled"]);
}

#[test]
fn bare_line_feeds_end_lines_for_us_and_so_for_the_origin() {
    is_read_as("GET /a HTTP/1.1\nHost: a\n\n", &["GET /a"]);
    is_read_as(post("X: y\nTransfer-Encoding: chunked", "0\r\n\r\n") + SMUGGLED, &["POST /", "GET /smuggled"]);
    is_read_as(post("X: y\nContent-Length: 5", "hello") + SMUGGLED, &["POST /", "GET /smuggled"]);
    is_refused(format!("GET /a HTTP/1.1\r\nHost: a\nX\n\n{SMUGGLED}"));
}

#[test]
fn bare_carriage_returns_are_refused() {
    for head in [
        "GET / HTTP/1.1\rHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n",
        "GET / HTTP/1.1\r\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX\r: b\r\n\r\n",
    ] {
        is_refused(format!("{head}{SMUGGLED}"));
    }
}

#[test]
fn control_bytes_are_refused() {
    for byte in (0..0x20u8).filter(|byte| !b"\t\r\n".contains(byte)).chain([0x7f]) {
        let field =
            |name: &[u8], value: &[u8]| [b"GET / HTTP/1.1\r\nHost: a\r\n", name, b": ", value, b"\r\n\r\n"].concat();
        is_refused(field(&[b'X', byte], b"y"));
        is_refused(field(b"X", &[b'y', byte, b'z']));
        is_refused([b"GE", &[byte][..], b"T / HTTP/1.1\r\nHost: a\r\n\r\n"].concat());
    }
}

#[test]
fn what_is_no_request_line_is_refused() {
    for line in [
        "GET / HTTP/0.9",
        "GET / HTTP/1.2",
        "GET / HTTP/2.0",
        "GET / HTTP/3",
        "GET / http/1.1",
        "GET / HTTP/1.1x",
        "GET / HTTP/01.1",
        "GET / HTTP/11",
        "GET",
        "GET /",
        "/ HTTP/1.1",
        " GET / HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "G@T / HTTP/1.1",
        "GET:/ HTTP/1.1",
    ] {
        is_refused(format!("{line}\r\nHost: a\r\n\r\n"));
    }
}

#[test]
fn what_cannot_stand_in_a_target_is_refused_and_not_escaped() {
    for target in ["/a b", "/a HTTP/1.1", "/a\tb", "/\r", "/\0", "/\"<", "/a\nX: y", "/a\r\nX: y"] {
        is_refused(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n{SMUGGLED}"));
    }
}

#[test]
fn a_length_beyond_all_bounds_is_a_body_that_never_ends() {
    for length in [u64::MAX, 1 << 63, i64::MAX as u64] {
        let met = meet(post(&format!("Content-Length: {length}"), SMUGGLED));
        assert!(met.asked.len() <= 1 && !met.asked.concat().contains("smuggled"), "{length}: {met:?}");
        assert_eq!(met.counted, 1);
    }
}

#[test]
fn what_is_no_field_is_refused() {
    for field in [": x", "X", "X Y: z", "X@: y", "\"X\": y", "X(: y", "X[]: y", "X\u{e9}: y"] {
        is_refused(format!("GET / HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n"));
    }
}

#[test]
fn hosts_that_disagree_are_refused() {
    for host in [
        "Host: a\r\nHost: b",
        "Host: a\r\nhost: a",
        "Host: a@b",
        "Host: a/b",
        "Host: a b",
        "Host: a, b",
        "Host: a#b",
        "Host: a?b",
        "Host: a\\b",
    ] {
        is_refused(format!("GET / HTTP/1.1\r\n{host}\r\n\r\n"));
    }
    is_refused("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n");
    is_refused("GET http://a@b/ HTTP/1.1\r\nHost: b\r\n\r\n");
}

#[test]
fn framing_that_the_next_server_is_asked_to_drop_is_refused() {
    for name in
        ["Content-Length", "transfer-encoding", "HOST", "close, content-length", "keep-alive\r\nConnection: Host"]
    {
        is_refused(post(&format!("Connection: {name}\r\nContent-Length: 1"), "a"));
    }
}
