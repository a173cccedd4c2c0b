//! Bodies that are not what they say, and bytes between messages.

use std::time::Duration;

use brownout::telemetry::events::{ExchangeOutcome, Trouble};

use crate::hostile_head::{is_read_as, meet};
use crate::support::*;

const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

/// The chunks are not taken for a whole body: the origin's request never ends, if it ever begins, and nothing follows.
#[track_caller]
fn is_never_whole(chunks: &str) {
    let origin = Origin::new();
    let bench = Bench::also(origin.address, "read_timeout = \"200ms\"");
    let (answer, _) = bench.say(format!("{CHUNKED}{chunks}")).read_to_end();
    let answer = raw::latin1(&answer);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{chunks:?}: {answer:?}");
    bench.ledger.settled();
    assert_eq!(bench.ledger.entries(1).len(), 1);
    let passed = origin.try_accept().map(|mut up| raw::latin1(&up.read_to_end().0)).unwrap_or_default();
    assert!(!passed.contains("0\r\n\r\n") && !passed.contains("GET"), "{chunks:?} passed as {passed:?}");
    assert!(origin.try_accept().is_none());
}

#[test]
fn chunks_that_are_none_are_never_a_whole_body() {
    for start in [
        "\r\n5\r\nhello\r\n",
        "5\r\nhello\r\n\r\n",
        "5\nhello\r\n",
        "5\rhello\r\n",
        "5\r\nhelloXX",
        "5\r\nhello\n",
        "5\r\nhello0",
        "0x5\r\nhello\r\n",
        "-5\r\nhello\r\n",
        "+5\r\nhello\r\n",
        "5g\r\nhello\r\n",
        "5;a\nb\r\nhello\r\n",
        "5;a\rb\r\nhello\r\n",
        "5 5\r\nhello\r\n",
        "10000000000000005\r\nhello\r\n",
        "fffffffffffffffff5\r\nhello\r\n",
        "5\0\r\nhello\r\n",
    ] {
        is_never_whole(&format!("{start}0\r\n\r\n{SMUGGLED}"));
    }
}

#[test]
fn an_end_that_is_none_is_never_the_end() {
    for end in
        ["0\r\n", "0\r\nX", "0\n\n", "0\r\n\n", "0\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "00000000000000000\r\n\r\n"]
    {
        is_never_whole(&format!("5\r\nhello\r\n{end}"));
    }
}

#[test]
fn an_end_in_two_packets_is_one_end_and_the_next_clients_request_is_untouched() {
    let origin = Origin::new();
    let bench = Bench::also(origin.address, "shards = 1");
    let mut first = bench.say(format!("{CHUNKED}5\r\nhello\r\n0\r\n"));
    let mut up = origin.accept();
    up.read_until("hello\r\n");
    std::thread::sleep(Duration::from_millis(50)); // the case itself: the end's two halves come apart
    assert!(up.is_silent(), "the end has not come");
    first.send("X: trailer\r\n");
    first.send("\r\n");
    assert_eq!(up.read_until("\r\n\r\n"), "0\r\n\r\n");
    up.send(ok("done"));
    assert_eq!(first.read_message().1, "done");
    let _second = bench.say(SMUGGLED);
    assert_eq!(up.read_head(), SMUGGLED, "on the same connection, and nothing before it");
}

#[test]
fn extensions_and_trailers_end_here_whatever_they_say() {
    for body in [
        "5;a=b\r\nhello\r\n0\r\n\r\n",
        "5;a=\"0\\r\\n\\r\\n\"\r\nhello\r\n0;last\r\n\r\n",
        "5\r\nhello\r\n0\r\nContent-Length: 99\r\nTransfer-Encoding: x\r\n\r\n",
        "00005\r\nhello\r\n00\r\nHost: b\r\n\r\n",
    ] {
        is_read_as(format!("{CHUNKED}{body}GET /next HTTP/1.1\r\nHost: a\r\n\r\n"), &["POST /", "GET /next"]);
    }
}

#[test]
fn an_extension_or_a_trailer_without_an_end_is_not_read_for_ever() {
    for endless in ["5;", "5\r\nhello\r\n0\r\nX: "] {
        let met = meet(format!("{CHUNKED}{endless}{}", "x".repeat(4 << 20)));
        assert!(met.statuses.iter().all(|status| *status == 400), "{met:?}");
        assert_eq!(met.counted, 1);
    }
}

#[test]
fn a_body_that_stops_coming_is_given_up() {
    let origin = Origin::new();
    let bench = Bench::also(origin.address, "read_timeout = \"200ms\"");
    for body in [
        "Content-Length: 100\r\n\r\nhello",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "Transfer-Encoding: chunked\r\n\r\n6",
    ] {
        let mut client = bench.say(format!("POST / HTTP/1.1\r\nHost: a\r\n{body}"));
        let mut up = origin.accept();
        up.read_head();
        up.await_end();
        client.expect_end();
    }
    let entries = bench.ledger.entries(3);
    assert!(entries.iter().all(|entry| entry.outcome == ExchangeOutcome::ClientGone), "{entries:?}");
}

#[test]
fn a_body_that_drips_for_ever_holds_only_itself() {
    let origin = Origin::new();
    let bench = Bench::also(origin.address, "read_timeout = \"500ms\"");
    let mut dripping = bench.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n");
    let mut up = origin.accept();
    up.read_head();
    for _ in 0..20 {
        dripping.send("x");
        assert_eq!(up.read_exact(1), b"x");
        std::thread::sleep(Duration::from_millis(50)); // the case itself: never silent for long
    }
    let mut other = bench.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let _up = origin.answer(ok("here"));
    assert_eq!(other.read_message().1, "here");
    dripping.reset();
    up.await_end();
    bench.ledger.entries(2);
}

#[test]
fn an_answer_to_nobody_is_not_the_next_clients() {
    // The origin says more than it was asked: what it says goes to nobody.
    let origin = Origin::new();
    let bench = Bench::also(origin.address, "shards = 1");
    let mut first = bench.say("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut up = origin.accept();
    up.read_head();
    up.send("HTTP/1.1 200 OK\r\nContent-Length: 47\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npoisoned");
    first.read_head();
    let mut second = bench.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let _up = origin.answer(ok("clean"));
    assert_eq!(second.read_message().1, "clean");
    assert_eq!(bench.ledger.entries(2)[1].trouble, None::<Trouble>);
}
