//! What a client asks arrives as it was asked.

use super::*;

/// Sends a request and gives what the origin was asked, byte for byte.
fn asked(request: &str) -> String {
    let origin = Origin::new();
    let bench = Bench::also(origin.address, "limits = { head_size = \"1MiB\" }");
    let _client = bench.say(latin1_bytes(request));
    origin.accept().read_until(request.rsplit("\r\n").next().filter(|body| !body.is_empty()).unwrap_or("\r\n\r\n"))
}

fn latin1_bytes(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(c).unwrap()).collect()
}

#[track_caller]
fn passes(request: &str) {
    assert_eq!(asked(request), request);
}

#[test]
fn a_request_passes_byte_for_byte() {
    passes("GET /a?x=1 HTTP/1.1\r\nHost: shop\r\nUser-Agent: me\r\nAccept: */*\r\n\r\n");
}

#[test]
fn odd_targets_pass_as_they_are() {
    for target in [
        "/",
        "/a%2Fb%zz",
        "//",
        "//a//b/",
        "/../../etc",
        "/a/./b/../c",
        "/?",
        "/a?",
        "/a?b?c&d=%20",
        "/;p=1",
        "/\"^{}|",
        "/caf\u{e9}".replace('\u{e9}', "%C3%A9").as_str(),
        "/a:b@c",
    ] {
        passes(&format!("GET {target} HTTP/1.1\r\nHost: shop\r\n\r\n"));
    }
}

#[test]
fn utf8_in_a_target_passes() {
    let origin = Origin::new();
    let bench = Bench::new(origin.address);
    let _client = bench.say("GET /caf\u{e9} HTTP/1.1\r\nHost: shop\r\n\r\n");
    let line = origin.accept().read_until("\r\n");
    assert_eq!(line.as_bytes(), "GET /caf\u{c3}\u{a9} HTTP/1.1\r\n".as_bytes());
}

#[test]
fn absolute_and_asterisk_form_pass() {
    passes("GET http://shop:80/a?b HTTP/1.1\r\nHost: shop:80\r\n\r\n");
    passes("OPTIONS * HTTP/1.1\r\nHost: shop\r\n\r\n");
}

#[test]
fn any_method_passes_with_its_case() {
    for method in
        ["HEAD", "PUT", "DELETE", "PATCH", "TRACE", "OPTIONS", "PROPFIND", "BREW", "get", "pOST", "M-SEARCH", "!#$%"]
    {
        passes(&format!("{method} / HTTP/1.1\r\nHost: shop\r\n\r\n"));
    }
}

#[test]
fn header_names_keep_their_case_their_order_and_every_byte_of_their_values() {
    passes("GET / HTTP/1.1\r\nhOsT: shop\r\nX-CaSe: 1\r\nZ: \u{80}\u{ff}\u{e9}\r\nA: a\tb  c\r\nB: \"q\", (c)\r\n\r\n");
}

#[test]
fn repeated_headers_stay_repeated() {
    passes("GET / HTTP/1.1\r\nHost: shop\r\nCookie: a=1\r\nCookie: b=2\r\nX-A: 1\r\nx-a: 2\r\nX-A: 1\r\n\r\n");
}

#[test]
fn hop_by_hop_headers_pass_as_sent_and_nothing_is_added() {
    passes(
        "GET / HTTP/1.1\r\nHost: shop\r\nConnection: keep-alive, X-Hop\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\n\
         Proxy-Connection: close\r\nTE: trailers, deflate;q=0.5\r\nProxy-Authorization: Basic eA==\r\nVia: 1.1 a\r\n\
         X-Forwarded-For: 192.0.2.1\r\nForwarded: for=192.0.2.1\r\n\r\n",
    );
}

#[test]
fn connection_close_passes_and_is_obeyed() {
    let origin = Origin::new();
    let bench = Bench::new(origin.address);
    let mut client = bench.say("GET / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n");
    let mut up = origin.accept();
    assert!(up.read_head().contains("Connection: close\r\n"));
    up.send(ok("bye"));
    assert_eq!(client.read_message().1, "bye");
    client.expect_end();
    up.expect_end();
}

#[test]
fn bodies_with_a_length_pass_whatever_the_method() {
    passes("POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 5\r\n\r\nhello");
    passes("GET / HTTP/1.1\r\nHost: shop\r\nContent-Length: 5\r\n\r\nhello");
    passes("BREW / HTTP/1.1\r\nHost: shop\r\nContent-Length: 5\r\n\r\nhello");
    passes("POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 0\r\n\r\n");
    passes("POST / HTTP/1.1\r\nHost: shop\r\n\r\n");
}

#[test]
fn a_chunked_body_passes() {
    let origin = Origin::new();
    let bench = Bench::new(origin.address);
    let mut client = bench.say("POST / HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n");
    let mut up = origin.accept();
    assert!(up.read_head().contains("Transfer-Encoding: chunked\r\n"));
    client.send("5\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\n\r\n");
    assert_eq!(up.read_chunks().0, b"hello world");
}

#[test]
fn large_headers_pass() {
    for size in [64 * 1024, 256 * 1024] {
        let value = "x".repeat(size);
        passes(&format!("GET / HTTP/1.1\r\nHost: shop\r\nX-Large: {value}\r\nX-After: 1\r\n\r\n"));
        let many: String = (0..200).map(|n| format!("X-{n}: {}\r\n", &value[..size / 256])).collect();
        passes(&format!("GET / HTTP/1.1\r\nHost: shop\r\n{many}\r\n"));
    }
}

#[test]
fn http_1_0_stays_1_0_with_and_without_a_host() {
    passes("GET / HTTP/1.0\r\n\r\n");
    passes("GET /check HTTP/1.0\r\nHost: shop\r\nX-A: 1\r\n\r\n");
    passes("OPTIONS / HTTP/1.0\r\n\r\n");
    passes("POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi");
}

#[test]
fn http_1_1_without_a_host_is_the_origins_to_refuse() {
    passes("GET / HTTP/1.1\r\n\r\n");
}

#[test]
fn a_request_that_comes_byte_by_byte_passes() {
    let origin = Origin::new();
    let bench = Bench::new(origin.address);
    let mut client = bench.connect();
    let request = "POST /slow HTTP/1.1\r\nHost: shop\r\nContent-Length: 5\r\n\r\nhello";
    for byte in request.bytes() {
        client.send([byte]);
    }
    assert_eq!(origin.accept().read_until("hello"), request);
}

#[test]
fn a_request_that_starts_like_http_2_but_is_not_passes() {
    let origin = Origin::new();
    let bench = Bench::new(origin.address);
    let mut client = bench.say("PRI");
    client.send("CE /list HTTP/1.1\r\nHost: shop\r\n\r\n");
    assert!(origin.accept().read_head().starts_with("PRICE /list "));
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let origin = Origin::answering(|head| ok(head.split(' ').nth(1).unwrap()));
    let bench = Bench::new(origin.address);
    let mut client = bench.say(
        "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\
         POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\nGET /4 HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    for n in 1..=4 {
        assert_eq!(client.read_message().1, format!("/{n}"));
    }
    client.send("GET /5 HTTP/1.1\r\nHost: a\r\n\r\nGET /6 HT");
    assert_eq!(client.read_message().1, "/5");
    client.send("TP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.read_message().1, "/6");
}

#[test]
fn a_request_pipelined_while_the_first_is_served_waits_its_turn() {
    let origin = Origin::new();
    let bench = Bench::new(origin.address);
    let mut client = bench.say("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut up = origin.accept();
    up.read_head();
    client.send("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
    up.send(ok("one"));
    assert_eq!(client.read_message().1, "one");
    assert!(up.read_head().starts_with("GET /2 "));
    up.send(ok("two"));
    assert_eq!(client.read_message().1, "two");
}
