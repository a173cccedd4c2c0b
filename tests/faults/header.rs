//! `header`: fields set, added or taken away, in either direction, also a length that lies.

use crate::over_h2::{Setting, answer};
use crate::support::h2::{block_on, get};
use crate::support::*;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: secret\r\nX-Keep: 1\r\n\r\n";

fn editing(keys: &str) -> (Origin, Bench) {
    let origin = Origin::new();
    let bench = Bench::new(origin.address);
    bench.rules(&rule("r", &format!("kind = \"header\"\n{keys}")));
    (origin, bench)
}

#[test]
fn a_response_s_head_is_changed_and_its_body_is_not() {
    let (origin, bench) = editing(
        "set = { content-type = \"text/html\" }\nremove = [\"etag\"]\nappend = { set-cookie = [\"a=1\", \"b=2\"] }",
    );
    let mut client = bench.say(GET);
    let mut up = origin.answer(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nETag: x\r\nSet-Cookie: c=3\r\nContent-Length: 2\r\n\r\n{}",
    );
    let (head, body) = client.read_message();
    assert_eq!((field(&head, "content-type").as_deref(), field(&head, "etag")), (Some("text/html"), None));
    let cookies = head.lines().filter(|line| line.to_ascii_lowercase().starts_with("set-cookie:")).count();
    assert_eq!((cookies, body.as_str()), (3, "{}"));
    assert_eq!(field(&head, "x-brownout").as_deref(), Some("r/header"));
    client.send(GET);
    up.read_head();
    assert_eq!((bench.ledger.only().status, bench.counts().injected), (Some(200), 1));
}

#[test]
fn a_request_s_head_is_changed_before_the_upstream_sees_it() {
    let (origin, bench) =
        editing("direction = \"request\"\nremove = \"authorization\"\nset = { host = \"other\", x-new = \"2\" }");
    let mut client = bench.say(GET);
    let mut up = origin.accept();
    let head = up.read_head();
    assert_eq!((field(&head, "authorization"), field(&head, "x-keep").as_deref()), (None, Some("1")));
    assert_eq!((field(&head, "host").as_deref(), field(&head, "x-new").as_deref()), (Some("other"), Some("2")));
    up.send(ok("hello"));
    assert_eq!(field(&client.read_message().0, "x-brownout").as_deref(), Some("r/header"));
}

#[test]
fn a_length_that_lies_is_sent_as_it_is_and_the_connection_ends_with_the_body() {
    for (length, framing) in [(3, "length"), (30, "length"), (3, "chunked")] {
        let (origin, bench) = editing(&format!("set = {{ content-length = \"{length}\" }}"));
        let mut client = bench.say(GET);
        let answer = if framing == "length" {
            ok("0123456789")
        } else {
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n".to_vec()
        };
        let _up = origin.answer(answer);
        let head = client.read_head();
        assert_eq!(field(&head, "content-length"), Some(length.to_string()));
        assert_eq!((field(&head, "transfer-encoding"), field(&head, "connection").as_deref()), (None, Some("close")));
        let (rest, ended) = client.read_to_end();
        assert_eq!((&rest[..], ended.is_ok()), (&b"0123456789"[..], true), "{length}");
    }
}

#[test]
fn a_head_without_a_body_may_lie_too() {
    let (origin, bench) = editing("set = { content-length = \"7\" }");
    let mut client = bench.say("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut up = origin.answer("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n");
    assert_eq!(field(&client.read_head(), "content-length").as_deref(), Some("7"));
    client.send(GET);
    up.read_head();
}

#[test]
fn on_http_2_heads_are_changed_in_both_directions() {
    block_on(async {
        let fault = "kind = \"header\"\nset = { content-type = \"a/b\", content-length = \"99\" }\nremove = \"etag\"";
        let mut at = Setting::new(fault).await;
        let fields = [("content-type", "text/plain"), ("etag", "x"), ("content-length", "5")];
        let (head, ended) = at.ask(get("/"), answer(200, &fields), b"hello").await;
        assert_eq!((head["content-type"].as_bytes(), head.get("etag")), (&b"a/b"[..], None));
        assert_eq!(head["content-length"], "99");
        // The client's library holds the length against the frames, as it should.
        assert!(ended.is_err());
        let fault = "kind = \"header\"\ndirection = \"request\"\nset = { host = \"other\", x-new = \"2\" }";
        let mut at = Setting::new(fault).await;
        let (head, _) = at.upload(b"x").await;
        assert_eq!((head.uri.authority().unwrap().as_str(), head.headers.get("host")), ("other", None));
        assert_eq!(head.headers["x-new"], "2");
    });
}
