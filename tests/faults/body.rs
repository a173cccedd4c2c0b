//! `body`: a wrong but well-formed body, in either direction.

use crate::over_h2::{Setting, answer};
use crate::support::h2::{block_on, get};
use crate::support::*;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n";
const MERGE: &str = "kind = \"body\"\nmerge = '{\"price\": 0, \"tax\": null}'\nlimit = 100";

fn changing(fault: &str) -> (Origin, Bench) {
    let origin = Origin::new();
    let bench = Bench::new(origin.address);
    bench.rules(&rule("r", fault));
    (origin, bench)
}

fn json(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn members_of_a_json_body_change_and_the_length_with_them() {
    let (origin, bench) = changing(MERGE);
    let chunked = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n\
                   5\r\n{\"id\"\r\n18\r\n:7,\"price\":12.5,\"tax\":2}\r\n0\r\n\r\n";
    let mut client = bench.connect();
    let mut up = None;
    for answer in [json(r#"{"id":7,"price":12.5,"tax":2}"#), chunked.to_owned()] {
        client.send(GET);
        let connection = up.get_or_insert_with(|| origin.accept());
        assert_eq!(field(&connection.read_head(), "accept-encoding").as_deref(), Some("identity"));
        connection.send(answer);
        let (head, body) = client.read_message();
        assert_eq!((field(&head, "transfer-encoding"), body.as_str()), (None, r#"{"id":7,"price":0}"#));
        assert_eq!(field(&head, "x-brownout").as_deref(), Some("r/body"));
    }
    bench.ledger.entries(2);
    assert_eq!((bench.counts().injected, bench.active()), (2, 0));
}

#[test]
fn what_cannot_be_merged_into_passes_as_it_is_and_is_counted_as_skipped() {
    let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(100));
    let chunk = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{long}\r\n0\r\n\r\n",
        long.len()
    );
    let gzip =
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}";
    let text = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}";
    for (sent, got) in [
        (json(&long), long.as_str()),
        (chunk, &long),
        (json("no JSON"), "no JSON"),
        (json(""), ""),
        (gzip.to_owned(), "{}"),
        (text.to_owned(), "{}"),
    ] {
        let (origin, bench) = changing(MERGE);
        let mut client = bench.say(GET);
        let _up = origin.answer(&sent);
        let head = client.read_head();
        let body = match field(&head, "content-length") {
            Some(length) => client.read_exact(length.parse().unwrap()),
            None => client.read_chunks().0,
        };
        assert_eq!((body, field(&head, "x-brownout")), (got.as_bytes().to_vec(), None), "{sent}");
        bench.ledger.only();
        assert_eq!((bench.counts().skipped, bench.active()), (1, 0), "{sent}");
    }
}

#[test]
fn a_stream_is_never_held_back() {
    let (origin, bench) = changing(MERGE);
    let mut client = bench.say(GET);
    let mut up = origin.answer("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
    client.read_head();
    for event in ["data: 1\n\n", "data: 2\n\n"] {
        up.send(event);
        client.read_until(event);
    }
}

#[test]
fn a_body_is_replaced_whatever_it_was_also_one_without_an_end() {
    let replace = "kind = \"body\"\nreplace = \"<html>\"\ncontent_type = \"text/html\"";
    for sent in [json("{}"), json(""), "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata".to_owned()] {
        let (origin, bench) = changing(replace);
        let mut client = bench.say(GET);
        let mut up = origin.answer(&sent);
        let (head, body) = client.read_message();
        assert_eq!((field(&head, "content-type").as_deref(), body.as_str()), (Some("text/html"), "<html>"), "{sent}");
        assert_eq!(field(&head, "x-brownout").as_deref(), Some("r/body"));
        client.send(GET);
        if sent.contains("event-stream") {
            up.await_end();
        }
        bench.ledger.only();
    }
}

#[test]
fn a_head_has_no_body_to_replace() {
    let (origin, bench) = changing("kind = \"body\"\nreplace = \"x\"");
    let mut client = bench.say("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut up = origin.answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(field(&client.read_head(), "content-length").as_deref(), Some("5"));
    client.send(GET);
    up.read_head();
}

#[test]
fn a_rule_that_is_released_lets_a_held_back_body_go_as_it_is() {
    let (origin, bench) = changing(MERGE);
    let mut client = bench.say(GET);
    let mut up =
        origin.answer("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{\"price\"");
    // The half that has come is held back: the rule is released by hand.
    while bench.counts().active == 0 {
        std::thread::yield_now();
    }
    assert!(client.is_silent());
    bench.rules.off();
    client.read_head();
    assert_eq!(client.read_exact(8), b"{\"price\"");
    up.send(": 1}");
    assert_eq!(client.read_exact(4), b": 1}");
    assert_eq!((bench.counts().released, bench.active()), (1, 0));
}

#[test]
fn the_body_of_a_request_is_changed_too() {
    for (fault, wanted) in [
        ("kind = \"body\"\nmerge = { qty = -1 }\ndirection = \"request\"", r#"{"id":1,"qty":-1}"#),
        ("kind = \"body\"\nreplace = \"{}\"\ndirection = \"request\"", "{}"),
    ] {
        let (origin, bench) = changing(fault);
        let body = r#"{"id":1,"qty":2}"#;
        let head = format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let mut client = bench.say(head + body);
        let mut up = origin.accept();
        assert_eq!(up.read_message().1, wanted);
        up.send(ok("fine"));
        assert_eq!(field(&client.read_message().0, "x-brownout").as_deref(), Some("r/body"));
        client.send(GET);
        up.read_head();
    }
}

#[test]
fn on_http_2_bodies_are_changed_in_both_directions() {
    block_on(async {
        let mut at = Setting::new(MERGE).await;
        let fields = [("content-type", "application/json"), ("content-length", "11")];
        let (head, ended) = at.ask(get("/"), answer(200, &fields), br#"{"price":5}"#).await;
        assert_eq!((ended.unwrap().0, head["content-length"].as_bytes()), (br#"{"price":0}"#.to_vec(), &b"11"[..]));
        let mut at = Setting::new("kind = \"body\"\nreplace = \"tiny\"\ndirection = \"request\"").await;
        let (head, got) = at.upload(&noise(100_000)).await;
        assert_eq!((got, head.headers["content-length"].as_bytes()), (b"tiny".to_vec(), &b"4"[..]));
    });
}
