//! What the origin answers arrives as it was answered.

use super::*;

/// Lets the origin answer a request with these bytes, and gives the client to read them.
fn answered(request: &str, answer: impl AsRef<[u8]>) -> (Client, Client, Setting) {
    let origin = Origin::new();
    let bench = Bench::new(origin.address);
    let client = bench.say(request);
    let mut up = origin.accept();
    up.read_head();
    up.send(answer);
    (client, up, Setting { bench, origin })
}

const GET: &str = "GET / HTTP/1.1\r\nHost: shop\r\n\r\n";
const HEAD: &str = "HEAD / HTTP/1.1\r\nHost: shop\r\n\r\n";
const GET_1_0: &str = "GET / HTTP/1.0\r\n\r\n";

/// The lines of a head without those that pingora always writes anew.
fn end_to_end(head: &str) -> Vec<&str> {
    let ours = |line: &&str| !line.starts_with("Date: ") && !line.starts_with("Connection: ");
    head.split("\r\n").filter(|line| !line.is_empty()).filter(ours).collect()
}

/// The connection serves another request.
fn still_serves(client: &mut Client, up: &mut Client) {
    client.send("GET /again HTTP/1.1\r\nHost: shop\r\n\r\n");
    assert!(up.read_head().starts_with("GET /again "));
    up.send(ok("again"));
    assert_eq!(client.read_message().1, "again");
}

#[test]
fn a_response_passes_with_its_reason_its_headers_and_every_byte_of_their_values() {
    let answer = "HTTP/1.1 299 Somehow Fine\r\nsErVer: x\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nVia: 1.1 a\r\n\
                  X-Empty: \r\nX-Tab: a\tb\r\nContent-Length: 5\r\nKeep-Alive: timeout=5\r\n\r\nhello";
    let (mut client, mut up, _setting) = answered(GET, answer);
    let (head, body) = client.read_message();
    let (sent, _) = answer.split_once("\r\n\r\n").unwrap();
    assert_eq!(end_to_end(&head), sent.split("\r\n").collect::<Vec<_>>());
    assert_eq!(body, "hello");
    still_serves(&mut client, &mut up);
}

#[test]
fn bytes_above_ascii_pass_in_values() {
    let (mut client, _up, _setting) =
        answered(GET, b"HTTP/1.1 200 OK\r\nX-B: \x80\xff\xe9\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(field(&client.read_head(), "x-b").unwrap(), "\u{80}\u{ff}\u{e9}");
}

#[test]
fn any_status_passes() {
    for status in [200, 206, 301, 404, 418, 429, 500, 503, 599, 799, 999] {
        let (mut client, mut up, _setting) =
            answered(GET, format!("HTTP/1.1 {status} X\r\nContent-Length: 2\r\n\r\nhi"));
        let (head, body) = client.read_message();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} X\r\n")), "{head}");
        assert_eq!(body, "hi");
        still_serves(&mut client, &mut up);
    }
}

#[test]
fn answers_without_a_body_end_with_their_head() {
    for (request, answer) in [
        (HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n"),
        (HEAD, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        (HEAD, "HTTP/1.1 200 OK\r\nX-A: 1\r\n\r\n"),
        (HEAD, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
        (GET, "HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n"),
        (GET, "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n"),
        (GET, "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"),
        (GET, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ] {
        let (mut client, mut up, _setting) = answered(request, answer);
        let head = client.read_head();
        let sent = answer.trim_end();
        assert_eq!(end_to_end(&head), sent.split("\r\n").collect::<Vec<_>>());
        still_serves(&mut client, &mut up);
    }
}

#[test]
fn a_chunked_answer_passes_and_keeps_the_connection() {
    let (mut client, mut up, _setting) =
        answered(GET, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n");
    assert_eq!(field(&client.read_head(), "transfer-encoding").unwrap(), "chunked");
    assert_eq!(client.read_chunks().0, b"hello world");
    still_serves(&mut client, &mut up);
}

#[test]
fn interim_answers_pass_before_the_final_one() {
    let (mut client, mut up, _setting) = answered(GET, "HTTP/1.1 102 Processing\r\n\r\n");
    assert_eq!(client.read_head(), "HTTP/1.1 102 Processing\r\n\r\n");
    up.send("HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\nLink: </b>\r\n\r\n");
    assert_eq!(client.read_head(), "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\nLink: </b>\r\n\r\n");
    up.send(ok("done"));
    assert_eq!(client.read_message().1, "done");
    still_serves(&mut client, &mut up);
}

#[test]
fn interim_and_final_answer_in_one_packet_pass() {
    let (mut client, _up, _setting) =
        answered(GET, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    assert!(client.read_head().starts_with("HTTP/1.1 103 "));
    assert_eq!(client.read_message().1, "hi");
}

#[test]
fn an_http_1_0_client_gets_a_chunked_answer_as_plain_bytes_up_to_the_end() {
    let (mut client, _up, _setting) =
        answered(GET_1_0, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    let head = client.read_head();
    assert_eq!(field(&head, "transfer-encoding"), None);
    assert_eq!(field(&head, "connection").as_deref(), Some("close"));
    assert_eq!(client.read_exact(5), b"hello");
    client.expect_end();
}

#[test]
fn an_http_1_0_client_gets_no_interim_answers() {
    let (mut client, _up, _setting) = answered(
        GET_1_0,
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    );
    let (head, body) = client.read_message();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_eq!(body, "hi");
    client.expect_end();
}

#[test]
fn an_http_1_0_client_that_asks_for_it_keeps_its_connection() {
    let (mut client, mut up, _setting) =
        answered("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    let (head, body) = client.read_message();
    assert_eq!(field(&head, "connection").as_deref(), Some("keep-alive"));
    assert_eq!(body, "hi");
    client.send("GET /again HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert!(up.read_head().starts_with("GET /again HTTP/1.0\r\n"));
}

#[test]
fn an_answer_that_ends_with_its_connection_passes_to_its_end() {
    for version in ["1.0", "1.1"] {
        let (mut client, mut up, setting) = answered(GET, format!("HTTP/{version} 200 OK\r\nX-A: 1\r\n\r\nhel"));
        assert_eq!(field(&client.read_head(), "transfer-encoding").as_deref(), Some("chunked"));
        up.send("lo");
        drop(up);
        assert_eq!(client.read_chunks().0, b"hello");
        // The client's connection is none of the origin's business.
        client.send(GET);
        let _up = setting.origin.answer(ok("again"));
        assert_eq!(client.read_message().1, "again");
    }
}

#[test]
fn an_empty_answer_that_ends_with_its_connection_is_empty() {
    let (mut client, up, _setting) = answered(GET, "HTTP/1.1 200 OK\r\n\r\n");
    drop(up);
    client.read_head();
    assert_eq!(client.read_chunks().0, b"");
}

#[test]
fn the_origins_wish_to_close_is_between_it_and_the_proxy() {
    let (mut client, up, setting) =
        answered(GET, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!(client.read_message().1, "hi");
    client.send(GET);
    let _another = setting.origin.answer(ok("again"));
    assert_eq!(client.read_message().1, "again");
    drop(up);
}

#[test]
fn large_answer_headers_pass() {
    for size in [64 * 1024, 256 * 1024] {
        let value = "x".repeat(size);
        let (mut client, _up, _setting) =
            answered(GET, format!("HTTP/1.1 200 OK\r\nX-Large: {value}\r\nContent-Length: 2\r\n\r\nhi"));
        let (head, body) = client.read_message();
        assert_eq!(field(&head, "x-large").unwrap().len(), size);
        assert_eq!(body, "hi");
    }
}

#[test]
fn an_answer_that_comes_byte_by_byte_passes() {
    let (mut client, mut up, _setting) = answered(GET, "H");
    for byte in "TTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".bytes() {
        up.send([byte]);
    }
    client.read_head();
    assert_eq!(client.read_chunks().0, b"hello");
    still_serves(&mut client, &mut up);
}

#[test]
fn bytes_after_an_answer_are_not_the_next_ones() {
    let (mut client, _up, setting) =
        answered(GET, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 200 Evil\r\n\r\n");
    assert_eq!(client.read_message().1, "hi");
    client.send(GET);
    let _another = setting.origin.answer(ok("good"));
    assert_eq!(client.read_message().1, "good");
}
