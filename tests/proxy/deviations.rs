//! Where the proxy is not invisible. Each test pins one line of `docs/invisible.md`: when one of them fails, the
//! library has changed for better or worse, and the page is wrong.

use bytes::Bytes;
use http::{HeaderMap, Request};

use super::*;
use crate::support::h2::{Client as H2Client, Origin as H2Origin, block_on, get, post, read_all, response};

/// Sends a request and gives what the origin was asked, up to these bytes.
fn asked(request: impl AsRef<[u8]>, end: &str) -> String {
    let origin = Origin::new();
    let bench = Bench::new(origin.address);
    let _client = bench.say(request);
    origin.accept().read_until(end)
}

/// Lets the origin answer a GET with these bytes, and gives what the client reads, up to these bytes.
fn answered(answer: impl AsRef<[u8]>, end: &str) -> String {
    let origin = Origin::new();
    let bench = Bench::new(origin.address);
    let mut client = bench.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let _up = origin.answer(answer);
    client.read_until(end)
}

/// Sends a request that is refused, and gives the status.
fn refused(request: impl AsRef<[u8]>) -> String {
    refused_by("", request)
}

/// As above, by a proxy that is configured so.
fn refused_by(lines: &str, request: impl AsRef<[u8]>) -> String {
    let origin = Origin::new();
    let bench = Bench::also(origin.address, lines);
    let head = bench.say(request).read_head();
    assert!(origin.try_accept().is_none());
    head.split(' ').nth(1).unwrap().to_owned()
}

#[test]
fn request_headers_of_one_name_are_pulled_together() {
    let sent = "GET / HTTP/1.1\r\nHost: a\r\nX-b: 1\r\nAccept: x\r\nX-A: 2\r\nx-B: 3\r\n\r\n";
    assert_eq!(asked(sent, "\r\n\r\n"), "GET / HTTP/1.1\r\nHost: a\r\nX-b: 1\r\nx-B: 3\r\nAccept: x\r\nX-A: 2\r\n\r\n");
}

#[test]
fn whitespace_around_request_values_becomes_one_space_before_them() {
    let sent = "GET / HTTP/1.1\r\nHost:a\r\nX-A:  1  \r\nX-B:\tb\tb\t\r\nX-E:\r\n\r\n";
    assert_eq!(asked(sent, "\r\n\r\n"), "GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nX-B: b\tb\r\nX-E: \r\n\r\n");
}

#[test]
fn a_fragment_is_cut_off() {
    assert_eq!(asked("GET /a?b#c HTTP/1.1\r\nHost: a\r\n\r\n", "\r\n"), "GET /a?b HTTP/1.1\r\n");
}

#[test]
fn an_empty_line_before_a_request_is_dropped_and_bare_line_feeds_become_lines() {
    assert_eq!(asked("\r\nGET / HTTP/1.1\nHost: a\n\n", "\r\n\r\n"), "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
}

#[test]
fn request_chunks_lose_their_boundaries_extensions_and_trailers() {
    let sent = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n\
                1;ext=1\r\na\r\n01\r\nb\r\n0\r\nX-T: 1\r\n\r\n";
    let got = asked(sent, "0\r\n\r\n");
    let (head, body) = got.split_once("\r\n\r\n").unwrap();
    assert_eq!(field(head, "trailer").as_deref(), Some("X-T"));
    assert!(["2\r\nab\r\n0\r\n\r\n", "1\r\na\r\n1\r\nb\r\n0\r\n\r\n"].contains(&body), "{body:?}");
}

#[test]
fn of_two_framings_the_length_is_dropped() {
    let sent = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_eq!(field(&asked(sent, "\r\n\r\n"), "content-length"), None);
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_eq!(field(&answered(answer, "\r\n\r\n"), "content-length"), None);
}

#[test]
fn targets_that_are_no_uris_are_refused() {
    for target in [&b"/<"[..], b"/>", b"/`", b"/\xff", &[b'/'; 70_000]] {
        let request = [b"GET ", target, b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
        assert_eq!(refused_by("limits = { head_size = \"1MiB\" }", request), "400");
    }
}

#[test]
fn more_than_256_headers_are_refused() {
    let headers = |count: usize| (0..count).map(|n| format!("X-{n}: 1\r\n")).collect::<String>();
    assert_eq!(refused(format!("GET / HTTP/1.1\r\n{}\r\n", headers(257))), "400");
    assert!(answered(format!("HTTP/1.1 200 OK\r\n{}\r\n", headers(257)), "\r\n").starts_with("HTTP/1.1 502 "));
    assert!(asked(format!("GET / HTTP/1.1\r\n{}\r\n", headers(256)), "\r\n\r\n").contains("X-255: 1"));
}

#[test]
fn more_than_a_megabyte_of_headers_is_refused() {
    let value = "x".repeat(1 << 20);
    let most = "limits = { head_size = \"1MiB\" }";
    assert_eq!(refused_by(most, format!("GET / HTTP/1.1\r\nHost: a\r\nX: {value}")), "431");
    assert!(answered(format!("HTTP/1.1 200 OK\r\nX: {value}"), "\r\n").starts_with("HTTP/1.1 502 "));
}

#[test]
fn two_hosts_or_another_one_in_the_target_are_refused() {
    assert_eq!(refused("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"), "400");
    assert_eq!(refused("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n"), "400");
    assert_eq!(refused("GET http://a:80/ HTTP/1.1\r\nHost: a\r\n\r\n"), "400");
    assert_eq!(refused("GET / HTTP/1.1\r\nHost: me@a\r\n\r\n"), "400");
}

#[test]
fn a_tunnel_to_anywhere_is_refused() {
    assert_eq!(refused("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n"), "400");
}

#[test]
fn date_and_connection_are_the_proxys_own_on_http_1() {
    let head = answered(
        "HTTP/1.1 200 OK\r\nDate: Mon, 01 Jan 2001 00:00:00 GMT\r\nConnection: close, X-Hop\r\nContent-Length: 0\r\n\r\n",
        "\r\n\r\n",
    );
    let date = field(&head, "date").unwrap();
    assert!(date.ends_with(" GMT") && !date.contains("2001"), "{date}");
    assert_eq!(field(&head, "connection").as_deref(), Some("keep-alive"));
    let head = answered("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "\r\n\r\n");
    assert!(field(&head, "date").is_some());
}

#[test]
fn response_headers_are_respaced_unfolded_and_pulled_together() {
    let head = answered("HTTP/1.1 200 OK\nX-B:1\nX-A:  a\n  b  \nx-b: 2\nContent-Length: 0\n\n", "\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\nX-B: 1\r\nx-b: 2\r\nX-A: a b\r\n"), "{head}");
}

#[test]
fn a_missing_reason_becomes_an_empty_one() {
    let line = answered("HTTP/1.1 299\r\nContent-Length: 0\r\n\r\n", "\r\n");
    assert_eq!(line, "HTTP/1.1 299 \r\n");
}

#[test]
fn response_chunks_lose_their_boundaries_extensions_and_trailers() {
    let got = answered(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n1;e=1\r\na\r\n1\r\nb\r\n0\r\nX-T: 1\r\n\r\n",
        "0\r\n\r\n",
    );
    let (head, body) = got.split_once("\r\n\r\n").unwrap();
    assert_eq!(field(head, "trailer").as_deref(), Some("X-T"));
    assert!(["2\r\nab\r\n0\r\n\r\n", "1\r\na\r\n1\r\nb\r\n0\r\n\r\n"].contains(&body), "{body:?}");
}

#[test]
fn an_answer_that_ends_with_its_connection_becomes_chunked_and_http_1_1() {
    let head = answered("HTTP/1.0 200 OK\r\n\r\n", "\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"));
    assert_eq!(field(&head, "transfer-encoding").as_deref(), Some("chunked"));
}

#[test]
fn an_origins_rst_becomes_a_fin() {
    let origin = Origin::new();
    let bench = Bench::new(origin.address);
    let mut client = bench.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    origin.answer("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello").reset();
    client.read_head();
    assert!(client.read_to_end().1.is_ok());
}

#[test]
fn http_1_trailers_do_not_reach_http_2_nor_the_other_way_round() {
    block_on(async {
        let origin = Origin::new();
        let bench = Bench::new(origin.address);
        let client = H2Client::connect(bench.h2).await;
        let (answer, _) = client.start(get("/"), true).await;
        let _up = origin.answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-T: 1\r\n\r\n");
        assert_eq!(read_all(answer.await.unwrap().into_body()).await.unwrap().1, None);

        let mut origin = H2Origin::new().await;
        let bench = Bench::h2c(origin.address);
        let mut client = bench.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let (_, mut respond) = origin.asked().await;
        let mut body = respond.send_response(response(200), false).unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("x-t", "1".parse().unwrap());
        body.send_trailers(trailers).unwrap();
        let got = tokio::task::spawn_blocking(move || {
            client.read_head();
            client.read_until("0\r\n\r\n")
        });
        assert_eq!(got.await.unwrap(), "0\r\n\r\n");
    });
}

#[test]
fn http_2_request_trailers_are_lost() {
    block_on(async {
        let mut origin = H2Origin::new().await;
        let bench = Bench::h2c(origin.address);
        let client = H2Client::connect(bench.h2).await;
        let (_answer, mut body) = client.start(post("/"), false).await;
        body.send_data(Bytes::from_static(b"hi"), false).unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("x-t", "1".parse().unwrap());
        body.send_trailers(trailers).unwrap();
        let (asked, _respond) = origin.asked().await;
        assert_eq!(read_all(asked.into_body()).await.unwrap(), (b"hi".to_vec(), None));
    });
}

#[test]
fn interim_answers_do_not_reach_http_2() {
    block_on(async {
        let origin = Origin::new();
        let bench = Bench::new(origin.address);
        let client = H2Client::connect(bench.h2).await;
        let (answer, _) = client.start(get("/"), true).await;
        let _up = origin.answer("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n");
        assert_eq!(answer.await.unwrap().status(), 204);
    });
}

#[test]
fn date_is_the_proxys_own_on_http_2() {
    block_on(async {
        let mut origin = H2Origin::new().await;
        let bench = Bench::h2c(origin.address);
        let client = H2Client::connect(bench.h2).await;
        let (answer, _) = client.start(get("/"), true).await;
        let mut head = response(200);
        head.headers_mut().insert("date", "Mon, 01 Jan 2001 00:00:00 GMT".parse().unwrap());
        origin.asked().await.1.send_response(head, true).unwrap();
        assert!(!answer.await.unwrap().headers()["date"].to_str().unwrap().contains("2001"));
    });
}

#[test]
fn on_the_way_from_http_2_some_names_get_capitals_and_cookies_are_joined() {
    block_on(async {
        let origin = Origin::new();
        let bench = Bench::new(origin.address);
        let client = H2Client::connect(bench.h2).await;
        let request = Request::builder()
            .uri("http://a/")
            .header("content-type", "x")
            .header("x-a", "1")
            .header("cookie", "a=1")
            .header("cookie", "b=2")
            .body(());
        let (_answer, _) = client.start(request.unwrap(), true).await;
        let head = tokio::task::spawn_blocking(move || origin.accept().read_head()).await.unwrap();
        assert_eq!(head, "GET / HTTP/1.1\r\nHost: a\r\nContent-Type: x\r\nx-a: 1\r\ncookie: a=1; b=2\r\n\r\n");
    });
}

#[test]
fn a_malformed_http_2_request_is_refused_by_the_library_without_a_mark() {
    block_on(async {
        let bench = Bench::new(Origin::new().address);
        let client = H2Client::connect(bench.h2).await;
        let mut request = get("/");
        request.headers_mut().insert("host", "other".parse().unwrap());
        let (answer, _) = client.start(request, true).await;
        let answer = answer.await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.headers().get("x-brownout-error")), (400, None));
    });
}

#[test]
fn tunnels_over_http_2_are_not_offered() {
    block_on(async {
        let bench = Bench::new(Origin::new().address);
        let client = H2Client::connect(bench.h2).await;
        client.get("/").await.ok();
        assert!(!client.requests.is_extended_connect_protocol_enabled());
    });
}

/// The names of the tests of a source file.
fn tests_of(source: &str) -> Vec<&str> {
    let tests = source.split("#[test]\nfn ").skip(1);
    tests.filter_map(|rest| rest.split('(').next()).collect()
}

#[test]
fn the_page_names_every_test_and_every_test_is_there() {
    let page = include_str!("../../docs/invisible.md");
    let others = [
        include_str!("leaving.rs"),
        include_str!("connections.rs"),
        include_str!("responses.rs"),
        include_str!("uploads.rs"),
        include_str!("h2.rs"),
        include_str!("h2_streams.rs"),
        include_str!("trouble.rs"),
    ];
    let here = tests_of(include_str!("deviations.rs"));
    let this = "the_page_names_every_test_and_every_test_is_there";
    for test in here.iter().filter(|test| **test != this) {
        assert!(page.contains(&format!("`{test}`")), "docs/invisible.md does not name {test}");
    }
    let known: Vec<&str> = others.iter().flat_map(|source| tests_of(source)).chain(here).collect();
    let named = page.split('`').skip(1).step_by(2).filter(|name| name.len() > 20 && name.contains('_'));
    for name in named.filter(|name| !name.contains([' ', '=', '.'])) {
        assert!(known.contains(&name), "docs/invisible.md names {name}, which is no test");
    }
}
