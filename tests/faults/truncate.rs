//! `truncate`: a body that ends early, with or without saying so.

use crate::over_h2::{Setting, answer};
use crate::support::h2::{block_on, get};
use crate::support::*;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn truncating(keys: &str) -> (Origin, Bench) {
    let origin = Origin::new();
    let bench = Bench::new(origin.address);
    bench.rules(&rule("r", &format!("kind = \"truncate\"\n{keys}")));
    (origin, bench)
}

#[test]
fn a_broken_body_ends_with_a_fin_before_its_announced_end() {
    for keys in ["after_bytes = 4", "fraction = 0.4"] {
        let (origin, bench) = truncating(keys);
        let mut client = bench.say(GET);
        let _up = origin.answer(ok("0123456789"));
        let head = client.read_head();
        assert_eq!(field(&head, "content-length").as_deref(), Some("10"), "the length is the upstream's");
        assert_eq!(field(&head, "x-brownout").as_deref(), Some("r/truncate"));
        let (rest, ended) = client.read_to_end();
        assert_eq!((&rest[..], ended.is_ok()), (&b"0123"[..], true));
        bench.ledger.only();
        assert_eq!((bench.counts().injected, bench.active()), (1, 0));
    }
}

#[test]
fn a_complete_body_is_framed_as_if_it_were_all_and_the_connection_is_kept() {
    let (origin, bench) = truncating("after_bytes = 4\nend = \"complete\"");
    let mut client = bench.say(GET);
    drop(origin.answer(ok("0123456789")));
    let (head, body) = client.read_message();
    assert_eq!((field(&head, "content-length").as_deref(), body.as_str()), (Some("4"), "0123"));
    client.send(GET);
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n012\r\n3\r\n345\r\n0\r\n\r\n";
    let _up = origin.answer(chunked);
    client.read_head();
    assert_eq!(client.read_chunks().0, b"0123");
    client.send(GET);
    let mut up = origin.answer(ok("short")); // one byte too long, and read to its end
    assert_eq!(client.read_message().1, "shor");
    client.send(GET);
    up.read_head();
    up.send(ok("fits"));
    let (head, body) = client.read_message();
    assert_eq!((field(&head, "content-length").as_deref(), body.as_str()), (Some("4"), "fits"));
    bench.ledger.entries(4);
    assert_eq!((bench.counts().injected, bench.counts().skipped, bench.active()), (3, 1, 0));
}

#[test]
fn a_fraction_of_a_body_without_a_length_is_skipped() {
    let (origin, bench) = truncating("fraction = 0.5");
    let mut client = bench.say(GET);
    let _up = origin.answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    let head = client.read_head();
    assert_eq!((client.read_chunks().0, field(&head, "x-brownout")), (b"abc".to_vec(), None));
    bench.ledger.only();
    assert_eq!((bench.counts().skipped, bench.active()), (1, 0));
}

#[test]
fn on_http_2_a_broken_body_is_a_reset_and_a_complete_one_ends_its_stream() {
    block_on(async {
        let mut at = Setting::new("kind = \"truncate\"\nafter_bytes = 4").await;
        let (head, ended) = at.ask(get("/"), answer(200, &[("content-length", "10")]), b"0123456789").await;
        assert_eq!(head["content-length"], "10");
        assert_eq!(ended.unwrap_err(), Some(::h2::Reason::CANCEL));
        let mut at = Setting::new("kind = \"truncate\"\nfraction = 0.4\nend = \"complete\"").await;
        let (head, ended) = at.ask(get("/"), answer(200, &[("content-length", "10")]), b"0123456789").await;
        assert_eq!((head["content-length"].as_bytes(), ended.unwrap().0), (&b"4"[..], b"0123".to_vec()));
        let (_, ended) = at.ask(get("/"), answer(200, &[("content-length", "2")]), b"01").await;
        assert_eq!(ended.unwrap().0, b"");
        at.bench.ledger.entries(2);
        assert_eq!((at.bench.counts().injected, at.bench.active()), (2, 0));
    });
}
