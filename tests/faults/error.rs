//! `error`: an answer that the upstream never gave.

use brownout::telemetry::events::ExchangeOutcome;
use bytes::Bytes;

use super::*;
use crate::support::h2::{Client as H2Client, block_on, get, post, read_all};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const FAULT: &str = "kind = \"error\"\nstatus = 503\nbody = \"sorry\"\nheaders = { Retry-After = \"2\", set-cookie = [\"a=1\", \"b=2\"] }";

fn failing() -> (Origin, Bench) {
    let origin = Origin::new();
    let bench = Bench::new(origin.address);
    bench.rules(&rule("down", FAULT));
    (origin, bench)
}

#[track_caller]
fn is_the_fault(client: &mut Client) {
    let (head, body) = client.read_message();
    assert!(head.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{head}");
    assert_eq!(field(&head, "x-brownout").as_deref(), Some("down/error"));
    assert_eq!(field(&head, "retry-after").as_deref(), Some("2"));
    assert_eq!(field(&head, "content-type").as_deref(), Some("text/plain; charset=utf-8"));
    assert_eq!(field(&head, "connection").as_deref(), Some("keep-alive"));
    assert_eq!(head.to_lowercase().matches("set-cookie: ").count(), 2);
    assert_eq!(field(&head, "x-brownout-error"), None);
    assert_eq!(body, "sorry");
}

#[test]
fn the_answer_comes_and_the_upstream_is_untouched() {
    let (origin, bench) = failing();
    let mut client = bench.connect();
    for _ in 0..3 {
        client.send(GET);
        is_the_fault(&mut client);
    }
    assert!(origin.try_accept().is_none());
    let entry = bench.ledger.entries(3).remove(0);
    assert_eq!((entry.status, entry.outcome, entry.trouble), (Some(503), ExchangeOutcome::Injected, None));
    assert_eq!((bench.active(), bench.counts().injected), (0, 3));
}

#[test]
fn keep_alive_survives_an_unread_body_and_the_next_rule_acts_on_the_same_connection() {
    let (origin, bench) = failing();
    let mut client = bench.connect();
    let large = "x".repeat(500_000);
    for request in [
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello".to_owned(),
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".to_owned(),
        format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{large}", large.len()),
    ] {
        client.send(request);
        is_the_fault(&mut client);
    }
    bench.rules("");
    client.send(GET);
    let _up = origin.answer(ok("fine"));
    let (head, body) = client.read_message();
    assert_eq!((field(&head, "x-brownout"), body.as_str()), (None, "fine"));
    bench.rules(&rule("down", FAULT));
    client.send(GET);
    is_the_fault(&mut client);
}

#[test]
fn a_body_that_comes_after_its_answer_is_dropped_and_the_connection_kept() {
    let (_origin, bench) = failing();
    let mut client = bench.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello");
    is_the_fault(&mut client);
    client.send("world");
    client.send(GET);
    is_the_fault(&mut client);
}

#[test]
fn pipelined_requests_all_get_theirs() {
    let (_origin, bench) = failing();
    let mut client = bench.say(GET.repeat(3));
    for _ in 0..3 {
        is_the_fault(&mut client);
    }
}

#[test]
fn a_client_that_waits_to_be_told_to_continue_gets_the_answer_instead() {
    let (_origin, bench) = failing();
    let mut client = bench.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    let (head, body) = client.read_message();
    assert_eq!((field(&head, "connection").as_deref(), body.as_str()), (Some("close"), "sorry"));
    client.expect_end();
}

#[test]
fn answers_that_have_no_body_have_none() {
    let (_origin, bench) = failing();
    let mut client = bench.say("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(field(&client.read_head(), "content-length").as_deref(), Some("5"));
    for status in [204, 304] {
        bench.rules(&rule("none", &format!("kind = \"error\"\nstatus = {status}")));
        client.send(GET);
        let head = client.read_head();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        assert_eq!((field(&head, "content-length"), field(&head, "transfer-encoding")), (None, None));
    }
    bench.rules(&rule("empty", "kind = \"error\"\nstatus = 500"));
    client.send(GET);
    assert_eq!(field(&client.read_head(), "content-length").as_deref(), Some("0"));
    client.send(GET);
    client.read_head();
}

#[test]
fn http_1_0_gets_its_answer_and_its_end() {
    let (_origin, bench) = failing();
    let mut client = bench.say("GET / HTTP/1.0\r\n\r\n");
    let (head, body) = client.read_message();
    assert!(head.starts_with("HTTP/1.1 503 "));
    assert_eq!(body, "sorry");
    client.expect_end();
}

#[test]
fn after_the_upstream_its_work_is_done_and_its_answer_replaced() {
    let origin = Origin::new();
    let bench = Bench::new(origin.address);
    bench.rules(&rule("down", &format!("{FAULT}\nafter_upstream = true")));
    let mut client = bench.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    let mut up = origin.accept();
    assert!(up.read_until("hello").starts_with("POST / "));
    up.send("HTTP/1.1 200 OK\r\nX-Real: 1\r\nContent-Length: 5\r\n\r\nworld");
    is_the_fault(&mut client);
    client.send(GET);
    let _up = origin.answer(ok("again"));
    is_the_fault(&mut client);
}

#[test]
fn marks_can_be_turned_off() {
    let origin = Origin::new();
    let bench = Bench::also(origin.address, "marks = false");
    bench.rules(&(rule("slow", "kind = \"latency\"\ndelay = \"1ms\"") + &rule("down", FAULT)));
    let (head, _) = bench.say(GET).read_message();
    assert_eq!((field(&head, "x-brownout"), field(&head, "server-timing")), (None, None));
    assert_eq!(bench.ledger.only().marks, "slow/latency, down/error");
}

#[test]
fn on_http_2_the_answer_comes_and_the_connection_goes_on() {
    block_on(async {
        let (origin, bench) = failing();
        let client = H2Client::connect(bench.h2).await;
        for _ in 0..2 {
            let answer = client.get("/").await.unwrap();
            assert_eq!(
                (answer.status().as_u16(), &answer.headers()["x-brownout"]),
                (503, &"down/error".parse().unwrap())
            );
            assert_eq!(answer.headers().get_all("set-cookie").iter().count(), 2);
            assert_eq!(read_all(answer.into_body()).await.unwrap().0, b"sorry");
        }
        // Also while the request is still being sent, and after.
        let (answer, mut body) = client.start(post("/"), false).await;
        body.send_data(Bytes::from(vec![1; 10_000]), false).unwrap();
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), 503);
        assert_eq!(read_all(answer.into_body()).await.unwrap().0, b"sorry");
        let head = http::Request::builder().method("HEAD").uri("http://shop/").body(()).unwrap();
        let answer = client.start(head, true).await.0.await.unwrap();
        assert_eq!((&answer.headers()["content-length"], answer.body().is_end_stream()), (&"5".parse().unwrap(), true));
        let (answer, _) = client.start(get("/"), true).await;
        assert_eq!(answer.await.unwrap().status(), 503);
        assert!(origin.try_accept().is_none());
        bench.ledger.entries(5);
        assert_eq!(bench.active(), 0);
    });
}

#[test]
fn a_template_says_what_the_request_was_in_json_that_holds() {
    let origin = Origin::new();
    let bench = Bench::new(origin.address);
    bench.rules(&rule(
        "r",
        "kind = \"error\"\nstatus = 404\ncontent_type = \"application/json\"\ntemplate = true\n\
         body = '{\"no\": \"{{method}} {{path}}\", \"user\": \"{{header.x-user}}\"}'",
    ));
    let mut client = bench.say("GET /a/b?c HTTP/1.1\r\nHost: a\r\nX-User: o\"brien\r\n\r\n");
    let (head, body) = client.read_message();
    assert_eq!(field(&head, "content-type").as_deref(), Some("application/json"));
    assert_eq!(body, r#"{"no": "GET /a/b", "user": "o\"brien"}"#);
}

#[test]
fn a_grpc_failure_is_trailers_only_or_comes_after_the_upstream_s_messages() {
    block_on(async {
        use crate::over_h2::{Setting, answer};
        let fault = "kind = \"error\"\ngrpc_status = \"UNAVAILABLE\"\ngrpc_message = \"later\"";
        let at = Setting::new(fault).await;
        let failed = at.client.get("/pkg.Service/Method").await.unwrap();
        assert_eq!((failed.status().as_u16(), failed.headers()["grpc-status"].as_bytes()), (200, &b"14"[..]));
        assert_eq!(failed.headers()["grpc-message"], "later");
        assert!(failed.into_body().is_end_stream(), "nothing follows the head");
        let mut at = Setting::new(&format!("{fault}\ngrpc_in = \"trailers\"")).await;
        let (head, ended) = at.ask(get("/"), answer(200, &[("content-type", "application/grpc")]), b"message").await;
        let (body, trailers) = ended.unwrap();
        assert_eq!((body, head["x-brownout"].as_bytes()), (b"message".to_vec(), &b"r/error"[..]));
        assert_eq!(trailers.unwrap()["grpc-status"], "14");
        at.bench.ledger.only();
        assert_eq!((at.bench.counts().injected, at.bench.active()), (1, 0));
    });
}

#[test]
fn trailers_that_the_upstream_sends_are_overruled() {
    block_on(async {
        use crate::over_h2::Setting;
        use crate::support::h2::response;
        let mut at = Setting::new("kind = \"error\"\ngrpc_status = 13\ngrpc_in = \"trailers\"").await;
        let (answer, _) = at.client.start(get("/"), true).await;
        let mut stream = at.origin.asked().await.1.send_response(response(200), false).unwrap();
        stream.send_data(Bytes::from_static(b"message"), false).unwrap();
        let sent = [("grpc-status", "0"), ("x-cost", "7")];
        stream
            .send_trailers(sent.into_iter().map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap())).collect())
            .unwrap();
        let (body, trailers) = read_all(answer.await.unwrap().into_body()).await.unwrap();
        let trailers = trailers.unwrap();
        assert_eq!((body.as_slice(), trailers["grpc-status"].as_bytes()), (&b"message"[..], &b"13"[..]));
        assert_eq!(trailers["x-cost"], "7");
    });
}

#[test]
fn trailers_are_skipped_where_the_client_has_none() {
    let origin = Origin::answering(|_| ok("fine"));
    let bench = Bench::new(origin.address);
    bench.rules(&rule("r", "kind = \"error\"\ngrpc_status = 13\ngrpc_in = \"trailers\""));
    let (head, body) = bench.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n").read_message();
    assert_eq!((body.as_str(), field(&head, "x-brownout")), ("fine", None));
    bench.ledger.only();
    assert_eq!(bench.counts().skipped, 1);
}
