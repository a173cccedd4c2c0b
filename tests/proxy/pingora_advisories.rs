//! The published advisories of pingora as test cases: what was possible there once is not possible here.

use std::sync::{Arc, Mutex};

use crate::hostile_head::{is_refused, meet};
use crate::support::*;

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
const ASK: &str = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
const AGREE: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

#[test]
fn rustsec_2025_0037_and_0070_a_body_that_an_early_answer_left_unread_is_not_the_next_request() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let notes = seen.clone();
    let origin = Origin::answering(move |head| {
        notes.lock().unwrap().push(head.lines().next().unwrap_or_default().to_owned());
        ok("hi")
    });
    let bench = Bench::new(origin.address);
    bench.rules(
        "[[rule]]\nname = \"early\"\nmatch = { path = \"/early\" }\n[[rule.fault]]\nkind = \"error\"\nstatus = 503\n",
    );
    let length = format!("Content-Length: {}\r\n\r\n{SMUGGLED}", SMUGGLED.len());
    let chunked = format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{SMUGGLED}\r\n0\r\n\r\n", SMUGGLED.len());
    for framed in [length, chunked] {
        let mut client =
            bench.say(format!("POST /early HTTP/1.1\r\nHost: a\r\n{framed}GET /next HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert!(client.read_message().0.starts_with("HTTP/1.1 503 "));
        assert_eq!(client.read_message().1, "hi");
    }
    assert_eq!(*seen.lock().unwrap(), ["GET /next HTTP/1.1"; 2]);
}

#[test]
fn rustsec_2026_0033_bytes_after_an_upgrade_request_wait_until_the_origin_has_agreed() {
    let origin = Origin::new();
    let bench = Bench::new(origin.address);
    let mut client = bench.say(format!("{ASK}{SMUGGLED}"));
    let mut up = origin.accept();
    assert_eq!(up.read_head(), ASK);
    assert!(up.is_silent());
    up.send(AGREE);
    client.read_head();
    assert_eq!(up.read_exact(SMUGGLED.len()), SMUGGLED.as_bytes(), "now they are the tunnel's");
}

#[test]
fn rustsec_2026_0033_after_a_declined_upgrade_they_are_a_request_that_the_rules_see() {
    let origin = Origin::new();
    let bench = Bench::new(origin.address);
    bench.rules(
        "[[rule]]\nname = \"no\"\nmatch = { path = \"/smuggled\" }\n[[rule.fault]]\nkind = \"error\"\nstatus = 403\n",
    );
    let mut client = bench.say(format!("{ASK}{SMUGGLED}"));
    let mut up = origin.accept();
    up.read_head();
    up.send(ok("declined"));
    assert_eq!(client.read_message().1, "declined");
    assert!(client.read_message().0.starts_with("HTTP/1.1 403 "));
    assert!(up.is_silent() && origin.try_accept().is_none());
}

#[test]
fn rustsec_2026_0033_an_upgrade_with_a_body_is_framed_by_its_body() {
    let met = meet(
        "POST /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\nContent-Length: 5\r\n\r\nhello"
            .to_owned()
            + SMUGGLED,
    );
    assert_eq!(met.asked, ["POST /ws HTTP/1.1", "GET /smuggled HTTP/1.1"]);
    assert_eq!(met.counted, 2, "the second is one that the proxy knows of");
}

#[test]
fn rustsec_2026_0034_http_1_0_has_no_chunks_and_no_other_coding_ends_a_request() {
    is_refused("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned() + SMUGGLED);
    is_refused(
        "POST / HTTP/1.0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned() + SMUGGLED,
    );
    is_refused("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n".to_owned() + SMUGGLED);
    is_refused("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n".to_owned() + SMUGGLED);
}

#[test]
fn rustsec_2026_0035_nothing_is_cached_so_no_key_can_be_poisoned() {
    let origin = Origin::answering(|head| ok(&field(head, "host").unwrap_or_default()));
    let bench = Bench::new(origin.address);
    let mut client = bench.connect();
    for host in ["a", "b", "a"] {
        client.send(format!("GET /same HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(client.read_message().1, host);
    }
}
