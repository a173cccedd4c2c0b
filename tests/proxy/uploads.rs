//! Uploads, and answers that do not wait for their end.

use super::*;

fn exchange(request: &str) -> (Client, Client, Setting) {
    let origin = Origin::new();
    let bench = Bench::new(origin.address);
    let client = bench.say(request);
    let mut up = origin.accept();
    up.read_head();
    (client, up, Setting { bench, origin })
}

const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345";
const EXPECT: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";

#[test]
fn an_early_answer_passes_at_once_and_the_rest_of_the_upload_still_goes_up() {
    let (mut client, mut up, _setting) = exchange(POST);
    up.send(ok("early"));
    assert_eq!(client.read_message().1, "early");
    assert_eq!(up.read_exact(5), b"12345");
    client.send("67890");
    assert_eq!(up.read_exact(5), b"67890");
    client.send("GET /again HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(up.read_head().starts_with("GET /again "), "both connections are kept");
}

#[test]
fn an_early_answer_of_an_origin_that_closes_passes_and_the_rest_of_the_upload_is_dropped() {
    let (mut client, mut up, setting) = exchange(POST);
    assert_eq!(up.read_exact(5), b"12345");
    up.send("HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno");
    drop(up);
    let (head, body) = client.read_message();
    assert!(head.starts_with("HTTP/1.1 413 Too Large\r\n"));
    assert_eq!(body, "no");
    client.send("67890GET /again HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut up = setting.origin.accept();
    assert!(up.read_head().starts_with("GET /again "), "the client's connection is kept");
    up.send(ok("again"));
    assert_eq!(client.read_message().1, "again");
    assert_eq!(setting.bench.ledger.entries(2)[0].status, Some(413));
}

#[test]
fn an_early_answer_of_an_origin_that_does_not_read_passes() {
    let body = noise(20 << 20);
    let (mut client, mut up, setting) =
        exchange(&format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len()));
    let mut writer = client.socket.try_clone().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| std::io::Write::write_all(&mut writer, &body));
        up.send("HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno");
        assert_eq!(client.read_message().1, "no");
        drop(up); // with all of it unread: a RST
        assert_eq!(setting.bench.ledger.only().status, Some(413));
    });
}

#[test]
fn a_client_that_waits_is_told_to_continue_by_the_origin() {
    let (mut client, mut up, _setting) = exchange(EXPECT);
    up.send("HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(client.read_head(), "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("hello");
    assert_eq!(up.read_exact(5), b"hello");
    up.send(ok("done"));
    let (head, body) = client.read_message();
    assert_eq!((field(&head, "connection").as_deref(), body.as_str()), (Some("keep-alive"), "done"));
}

#[test]
fn a_client_that_does_not_wait_to_be_told_is_heard() {
    let (mut client, mut up, _setting) = exchange(EXPECT);
    client.send("hello");
    assert_eq!(up.read_exact(5), b"hello");
    up.send("HTTP/1.1 100 Continue\r\n\r\n");
    up.send(ok("done"));
    assert_eq!(client.read_head(), "HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(client.read_message().1, "done");
}

#[test]
fn a_client_that_is_refused_before_it_was_told_to_continue_need_not_send_its_body() {
    let (mut client, mut up, _setting) = exchange(EXPECT);
    up.send("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\n\r\nno");
    let (head, body) = client.read_message();
    assert_eq!((field(&head, "connection").as_deref(), body.as_str()), (Some("close"), "no"));
    client.expect_end();
    up.expect_end();
}

#[test]
fn the_proxy_invents_no_continue() {
    let (mut client, mut up, _setting) = exchange(EXPECT);
    client.send("hello");
    assert_eq!(up.read_exact(5), b"hello");
    up.send(ok("done"));
    assert!(client.read_message().0.starts_with("HTTP/1.1 200 "));
}

#[test]
fn an_upload_that_is_cut_short_is_not_passed_off_as_complete() {
    for request in [POST, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"] {
        let (mut client, mut up, setting) = exchange(request);
        client.finish_sending();
        let (got, _) = up.read_to_end();
        assert!(!got.ends_with(b"0\r\n\r\n"));
        assert_eq!(setting.bench.ledger.only().outcome, brownout::telemetry::events::ExchangeOutcome::ClientGone);
    }
}

#[test]
fn a_broken_chunk_of_a_client_is_a_bad_request() {
    let (mut client, mut up, _setting) = exchange("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send("5\r\nhello\r\nnonsense\r\n");
    let (head, _) = client.read_message();
    assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
    assert_eq!(field(&head, "x-brownout-error").as_deref(), Some("bad-request"));
    client.expect_end();
    assert!(!up.read_to_end().0.ends_with(b"0\r\n\r\n"));
}
