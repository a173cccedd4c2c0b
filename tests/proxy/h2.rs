//! HTTP/2 with prior knowledge, on either side or both.

use bytes::Bytes;
use http::{HeaderMap, Request, Version};

use super::{Bench, Origin as RawOrigin, field, noise, ok};
use crate::support::h2::{Client, Origin, block_on, get, post, read_all, response, send_all};

/// The methods and headers of a request as `name: value` lines, sorted.
fn lines(headers: &HeaderMap) -> Vec<String> {
    let mut lines: Vec<_> =
        headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    lines.sort();
    lines
}

#[test]
fn h2_to_h2_a_request_and_its_answer_pass() {
    block_on(async {
        let mut origin = Origin::new().await;
        let bench = Bench::h2c(origin.address);
        let client = Client::connect(bench.h2).await;
        let request = Request::builder()
            .method("PURGE")
            .uri("http://shop:81/a/../b//%2f?x=1&")
            .header("x-a", "1")
            .header("x-a", "2")
            .header("cookie", "a=1")
            .header("cookie", "b=2")
            .header("te", "trailers")
            .body(());
        let (answer, _) = client.start(request.unwrap(), true).await;
        let (asked, mut respond) = origin.asked().await;
        assert_eq!((asked.version(), asked.method().as_str()), (Version::HTTP_2, "PURGE"));
        assert_eq!(asked.uri().to_string(), format!("{}://shop:81/a/../b//%2f?x=1&", Bench::SCHEME_KEPT));
        assert_eq!(lines(asked.headers()), ["cookie: a=1", "cookie: b=2", "te: trailers", "x-a: 1", "x-a: 2"]);
        assert!(asked.body().is_end_stream());
        let mut head = response(299);
        head.headers_mut().append("set-cookie", "a=1".parse().unwrap());
        head.headers_mut().append("set-cookie", "b=2".parse().unwrap());
        let mut body = respond.send_response(head, false).unwrap();
        body.send_data(Bytes::from_static(b"hello"), true).unwrap();
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), 299);
        let mut headers = answer.headers().clone();
        headers.remove("date");
        assert_eq!(lines(&headers), ["set-cookie: a=1", "set-cookie: b=2"]);
        assert_eq!(read_all(answer.into_body()).await.unwrap().0, b"hello");
    });
}

#[test]
fn h2_to_h2_response_trailers_pass() {
    block_on(async {
        let mut origin = Origin::new().await;
        let bench = Bench::h2c(origin.address);
        let client = Client::connect(bench.h2).await;
        let request = Request::builder()
            .method("POST")
            .uri("http://shop/pkg.Service/Method")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(());
        let (answer, mut body) = client.start(request.unwrap(), false).await;
        body.send_data(Bytes::from_static(b"ask"), true).unwrap();
        let (asked, mut respond) = origin.asked().await;
        assert_eq!(read_all(asked.into_body()).await.unwrap().0, b"ask");
        let mut body = respond.send_response(response(200), false).unwrap();
        body.send_data(Bytes::from_static(b"tell"), false).unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        trailers.insert("grpc-message", "fine".parse().unwrap());
        body.send_trailers(trailers.clone()).unwrap();
        let (told, got) = read_all(answer.await.unwrap().into_body()).await.unwrap();
        assert_eq!((told.as_slice(), got.unwrap()), (&b"tell"[..], trailers));
    });
}

#[test]
fn h2_to_h2_an_answer_of_a_head_alone_passes_as_one() {
    block_on(async {
        let mut origin = Origin::new().await;
        let bench = Bench::h2c(origin.address);
        let client = Client::connect(bench.h2).await;
        for (method, status) in [("GET", 200), ("GET", 204), ("GET", 304), ("HEAD", 200)] {
            let request = Request::builder().method(method).uri("http://shop/").body(()).unwrap();
            let (answer, _) = client.start(request, true).await;
            let (_, mut respond) = origin.asked().await;
            let mut head = response(status);
            head.headers_mut().insert("grpc-status", "14".parse().unwrap());
            respond.send_response(head, true).unwrap();
            let answer = answer.await.unwrap();
            assert_eq!((answer.status().as_u16(), &answer.headers()["grpc-status"]), (status, &"14".parse().unwrap()));
            assert!(answer.body().is_end_stream());
        }
    });
}

#[test]
fn h2_to_h1_a_request_becomes_http_1_1() {
    block_on(async {
        let origin = RawOrigin::new();
        let bench = Bench::new(origin.address);
        let client = Client::connect(bench.h2).await;
        let request = Request::builder()
            .uri("http://shop:81/a//b?x")
            .header("cookie", "a=1")
            .header("x-a", "1")
            .header("cookie", "b=2")
            .body(());
        let (answer, _) = client.start(request.unwrap(), true).await;
        let serving = tokio::task::spawn_blocking(move || {
            let mut up = origin.accept();
            let head = up.read_head();
            up.send(
                "HTTP/1.1 200 Fine\r\nX-B: 1\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\n\
                 Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            );
            head
        });
        let head = serving.await.unwrap();
        assert_eq!(head.to_lowercase(), "get /a//b?x http/1.1\r\nhost: shop:81\r\nx-a: 1\r\ncookie: a=1; b=2\r\n\r\n");
        let answer = answer.await.unwrap();
        let mut headers = answer.headers().clone();
        headers.remove("date");
        assert_eq!(lines(&headers), ["x-b: 1"]);
        assert_eq!(read_all(answer.into_body()).await.unwrap().0, b"hello");
    });
}

#[test]
fn h2_to_h1_bodies_are_framed_for_http_1_1() {
    block_on(async {
        for length in [None, Some(5)] {
            let origin = RawOrigin::new();
            let bench = Bench::new(origin.address);
            let client = Client::connect(bench.h2).await;
            let mut request = post("/");
            if let Some(length) = length {
                request.headers_mut().insert("content-length", length.into());
            }
            let (answer, mut body) = client.start(request, false).await;
            body.send_data(Bytes::from_static(b"he"), false).unwrap();
            body.send_data(Bytes::from_static(b"llo"), true).unwrap();
            let serving = tokio::task::spawn_blocking(move || {
                let mut up = origin.accept();
                let head = up.read_head();
                let body = if length.is_some() { up.read_exact(5) } else { up.read_chunks().0 };
                up.send(ok("done"));
                (head, body)
            });
            let (head, body) = serving.await.unwrap();
            assert_eq!(field(&head, "transfer-encoding").is_some(), length.is_none(), "{head}");
            assert_eq!(body, b"hello");
            assert_eq!(read_all(answer.await.unwrap().into_body()).await.unwrap().0, b"done");
        }
    });
}

#[test]
fn h1_to_h2_a_request_becomes_http_2() {
    block_on(async {
        let mut origin = Origin::new().await;
        let bench = Bench::h2c(origin.address);
        let mut client = bench.say(
            "POST /a//b?x HTTP/1.1\r\nHost: shop:81\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nTE: gzip\r\n\
             X-CaSe: 1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        );
        let (asked, mut respond) = origin.asked().await;
        assert_eq!(asked.method(), "POST");
        assert_eq!(asked.uri().to_string(), format!("{}://shop:81/a//b?x", Bench::SCHEME));
        assert_eq!(lines(asked.headers()), ["x-case: 1"]);
        assert_eq!(read_all(asked.into_body()).await.unwrap().0, b"hello");
        let mut body = respond.send_response(response(200), false).unwrap();
        body.send_data(Bytes::from_static(b"told"), true).unwrap();
        let reading = tokio::task::spawn_blocking(move || {
            let head = client.read_head();
            let body = client.read_chunks().0;
            (head, body, client)
        });
        let (head, body, mut client) = reading.await.unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert_eq!(body, b"told");
        client.send("HEAD /b HTTP/1.1\r\nHost: shop\r\n\r\n");
        let (asked, mut respond) = origin.asked().await;
        assert_eq!(asked.method(), "HEAD");
        let mut head = response(200);
        head.headers_mut().insert("content-length", 99.into());
        respond.send_response(head, true).unwrap();
        let head = tokio::task::spawn_blocking(move || client.read_head()).await.unwrap();
        assert_eq!(field(&head, "content-length").as_deref(), Some("99"));
    });
}

#[test]
fn h1_to_h2_what_names_no_host_is_for_the_upstream_itself() {
    block_on(async {
        let mut origin = Origin::new().await;
        let bench = Bench::h2c(origin.address);
        let mut client = bench.say("GET /check HTTP/1.0\r\n\r\n");
        let (asked, mut respond) = origin.asked().await;
        let upstream = bench.proxy.as_ref().unwrap().config().upstreams[0].authority();
        assert_eq!(asked.uri().to_string(), format!("{}://{upstream}/check", Bench::SCHEME));
        respond.send_response(response(200), true).unwrap();
        tokio::task::spawn_blocking(move || {
            assert!(client.read_head().starts_with("HTTP/1.1 200 "));
            client.expect_end();
        })
        .await
        .unwrap();
    });
}

#[test]
fn h1_to_h2_options_for_the_whole_server_passes() {
    block_on(async {
        let mut origin = Origin::new().await;
        let bench = Bench::h2c(origin.address);
        let _client = bench.say("OPTIONS * HTTP/1.1\r\nHost: shop\r\n\r\n");
        let (asked, _respond) = origin.asked().await;
        assert_eq!((asked.method().as_str(), asked.uri().path()), ("OPTIONS", "*"));
    });
}

#[test]
fn large_headers_pass_on_http_2() {
    block_on(async {
        let mut options = h2::server::Builder::new();
        options.max_header_list_size(1 << 20);
        let mut origin = Origin::with(options).await;
        let bench =
            Bench::with(&format!("upstream = \"h2c://{}\"\nlimits = {{ head_size = \"1MiB\" }}", origin.address));
        let client = Client::with(bench.h2, h2::client::Builder::new().max_header_list_size(1 << 20)).await;
        for size in [64 * 1024, 256 * 1024] {
            let value = "x".repeat(size);
            let mut request = get("/");
            request.headers_mut().insert("x-large", value.parse().unwrap());
            let (answer, _) = client.start(request, true).await;
            let (asked, mut respond) = origin.asked().await;
            assert_eq!(asked.headers()["x-large"].len(), size);
            let mut head = response(200);
            head.headers_mut().insert("x-large", value.parse().unwrap());
            respond.send_response(head, true).unwrap();
            assert_eq!(answer.await.unwrap().headers()["x-large"].len(), size);
        }
    });
}

#[test]
fn large_bodies_pass_whole_both_ways_at_once() {
    for h1_upstream in [false, true] {
        block_on(async {
            let body = Bytes::from(noise(6_000_001));
            let echo = |down: Vec<u8>| assert!(down == body, "{} of {}", down.len(), body.len());
            let mut origin = Origin::new().await;
            let raw = RawOrigin::new();
            let bench = if h1_upstream { Bench::new(raw.address) } else { Bench::h2c(origin.address) };
            let client = Client::connect(bench.h2).await;
            let (answer, mut up) = client.start(post("/"), false).await;
            if h1_upstream {
                std::thread::spawn(move || {
                    let mut up = raw.accept();
                    up.read_head();
                    up.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
                    loop {
                        let size = up.read_until("\r\n");
                        let size = usize::from_str_radix(size.trim(), 16).unwrap();
                        let piece = up.read_exact(size + 2);
                        up.send(format!("{size:x}\r\n")).send(piece);
                        if size == 0 {
                            return up.expect_end();
                        }
                    }
                });
            } else {
                tokio::spawn(async move {
                    let (asked, mut respond) = origin.asked().await;
                    let mut down = respond.send_response(response(200), false).unwrap();
                    let mut up = asked.into_body();
                    while let Some(piece) = up.data().await {
                        let piece = piece.unwrap();
                        let length = piece.len();
                        send_all(&mut down, piece, false).await.unwrap();
                        up.flow_control().release_capacity(length).unwrap();
                    }
                    down.send_data(Bytes::new(), true).unwrap();
                });
            }
            let (sent, got) = tokio::join!(send_all(&mut up, body.clone(), true), async {
                read_all(answer.await.unwrap().into_body()).await.unwrap().0
            });
            sent.unwrap();
            echo(got);
        });
    }
}
