//! `duplicate`: the upstream gets the request again.

use crate::over_h2::Setting;
use crate::support::h2::{block_on, post, read_all, response, send_all};
use crate::support::*;

fn twice() -> (Origin, Bench) {
    let origin = Origin::new();
    let bench = Bench::new(origin.address);
    bench.rules(&rule("r", "kind = \"duplicate\""));
    (origin, bench)
}

#[test]
fn the_upstream_gets_both_and_the_client_one_answer() {
    for request in
        ["POST /pay HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", "GET /pay HTTP/1.1\r\nHost: a\r\n\r\n"]
    {
        let (origin, bench) = twice();
        let mut client = bench.say(request);
        let mut ups = [origin.accept(), origin.accept()];
        let body = if request.starts_with("POST") { "hello" } else { "" };
        for up in &mut ups {
            let (head, got) = up.read_message();
            assert!(head.contains("/pay"));
            assert_eq!(got, body);
            up.send(ok("done"));
        }
        let (head, got) = client.read_message();
        assert_eq!((got.as_str(), field(&head, "x-brownout").as_deref()), ("done", Some("r/duplicate")));
        bench.ledger.only();
        assert_eq!((bench.counts().injected, bench.active()), (1, 0));
        assert!(client.is_silent(), "the other answer is dropped");
    }
}

#[test]
fn what_is_too_large_or_not_all_known_is_sent_once_and_counted_as_skipped() {
    let (origin, bench) = twice();
    let body = noise(1_100_000);
    for head in ["Content-Length: 1100000", "Transfer-Encoding: chunked"] {
        let mut client = bench.connect();
        let mut writer = client.socket.try_clone().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut send = |bytes: &[u8]| std::io::Write::write_all(&mut writer, bytes).unwrap();
                send(format!("POST / HTTP/1.1\r\nHost: a\r\n{head}\r\n\r\n").as_bytes());
                if head.contains("chunked") {
                    for piece in body.chunks(50_000) {
                        send(format!("{:x}\r\n", piece.len()).as_bytes());
                        send(piece);
                        send(b"\r\n");
                    }
                    send(b"0\r\n\r\n");
                } else {
                    send(&body);
                }
            });
            let mut up = origin.accept();
            let head = up.read_head();
            let got = match field(&head, "content-length") {
                Some(length) => up.read_exact(length.parse().unwrap()),
                None => up.read_chunks().0,
            };
            assert!(got == body);
            up.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        });
        assert_eq!(field(&client.read_message().0, "x-brownout"), None);
    }
    bench.ledger.entries(2);
    assert!(origin.try_accept().is_none());
    assert_eq!((bench.counts().skipped, bench.active()), (2, 0));
}

#[test]
fn a_client_that_waits_to_be_asked_for_its_body_is_not_made_to_wait() {
    let (origin, bench) = twice();
    let mut client = bench.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    let mut up = origin.answer("HTTP/1.1 100 Continue\r\n\r\n");
    client.read_head();
    client.send("hi");
    assert_eq!(up.read_exact(2), b"hi");
    up.send(ok("once"));
    assert_eq!(client.read_message().1, "once");
    bench.ledger.only();
    assert_eq!(bench.counts().skipped, 1);
}

#[test]
fn on_http_2_the_copy_is_a_stream_of_its_own() {
    block_on(async {
        let mut at = Setting::new("kind = \"duplicate\"").await;
        let (answer, mut stream) = at.client.start(post("/pay"), false).await;
        let body = bytes::Bytes::from(noise(200_000));
        let sent = body.clone();
        tokio::spawn(async move { send_all(&mut stream, sent, true).await });
        for _ in 0..2 {
            let (request, mut respond) = at.origin.asked().await;
            assert_eq!(request.uri().path(), "/pay");
            assert!(read_all(request.into_body()).await.unwrap().0 == body);
            respond.send_response(response(201), true).unwrap();
        }
        let answer = answer.await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.headers()["x-brownout"].as_bytes()), (201, &b"r/duplicate"[..]));
    });
}
