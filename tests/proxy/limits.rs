//! What one proxy takes from its clients, and what it says when that is enough.

use std::time::Duration;

use brownout::telemetry::events::{ExchangeOutcome, Trouble};

use crate::support::h2::{Client as H2Client, block_on, get};
use crate::support::*;

const GET: &str = "GET / HTTP/1.1\r\nHost: shop\r\n\r\n";

fn limited(limits: &str) -> (Origin, Bench) {
    let origin = Origin::answering(|_| ok("hi"));
    let bench = Bench::also(origin.address, &format!("limits = {{ {limits} }}"));
    (origin, bench)
}

/// Reads an answer that refuses, and the end of the connection.
#[track_caller]
fn refuses(client: &mut Client, status: u16, trouble: Trouble) {
    let (head, body) = client.read_message();
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
    assert_eq!(field(&head, "x-brownout-error").as_deref(), Some(trouble.name()));
    assert_eq!(field(&head, "connection").as_deref(), Some("close"));
    assert_eq!(body, format!("brownout: {trouble}\n"));
    client.expect_end();
}

#[test]
fn a_connection_too_many_is_told_so_and_the_next_one_has_room_again() {
    let (_origin, bench) = limited("connections = 1");
    let mut first = bench.say(GET);
    assert_eq!(first.read_message().1, "hi");
    refuses(&mut bench.say(GET), 503, Trouble::TooManyConnections);
    let refused = &bench.ledger.entries(2)[1];
    assert_eq!((refused.status, refused.outcome), (Some(503), ExchangeOutcome::Refused));
    first.send(GET);
    assert_eq!(first.read_message().1, "hi", "whoever is in stays in");
    drop(first);
    bench.ledger.settled();
    assert_eq!(bench.say(GET).read_message().1, "hi");
}

#[test]
fn a_connection_too_many_is_told_so_on_http_2_too() {
    let (_origin, bench) = limited("connections = 1");
    let mut first = bench.say(GET);
    assert_eq!(first.read_message().1, "hi");
    let mut second = bench.say("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    let (frames, ended) = second.read_to_end();
    assert!(ended.is_ok());
    assert_eq!((frames[3], frames[9 + 3]), (4, 7), "SETTINGS and GOAWAY");
    assert_eq!(frames[18..], [0, 0, 0, 0, 0, 0, 0, 11], "no stream was looked at: ENHANCE_YOUR_CALM");
    let refused = &bench.ledger.entries(2)[1];
    assert_eq!((refused.status, refused.trouble), (None, Some(Trouble::TooManyConnections)));
}

#[test]
fn a_connection_too_many_that_says_nothing_is_closed() {
    let (_origin, bench) = limited("connections = 1");
    let mut first = bench.say(GET);
    assert_eq!(first.read_message().1, "hi");
    bench.connect().expect_end();
}

#[test]
fn a_head_that_is_too_large_is_a_431_whether_it_ends_or_not() {
    let (origin, bench) = limited("head_size = \"1KiB\"");
    let rest = "GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n".len();
    let sized = |size: usize| format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(size - rest));
    assert_eq!(bench.say(sized(1024)).read_message().1, "hi");
    refuses(&mut bench.say(sized(1025)), 431, Trouble::HeadTooLarge);
    refuses(&mut bench.say(&sized(8000)[..6000]), 431, Trouble::HeadTooLarge);
    refuses(&mut bench.say(format!("GET /{}", "x".repeat(6000))), 431, Trouble::HeadTooLarge);
    let mut client = bench.say(GET);
    assert_eq!(client.read_message().1, "hi");
    client.send(sized(1025));
    refuses(&mut client, 431, Trouble::HeadTooLarge);
    let entries = bench.ledger.entries(6);
    assert_eq!(entries.iter().filter(|e| e.outcome == ExchangeOutcome::BadRequest).count(), 4);
    drop(origin);
}

#[test]
fn a_body_that_comes_with_its_head_is_not_part_of_it() {
    let (_origin, bench) = limited("head_size = \"1KiB\"");
    let body = "x".repeat(100_000);
    let mut client = bench.say(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n{body}{GET}{GET}"));
    for _ in 0..3 {
        assert_eq!(client.read_message().1, "hi");
    }
}

#[test]
fn a_head_with_too_many_fields_is_a_431() {
    let (_origin, bench) = limited("headers = 3");
    let with = |count: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: 1\r\n".repeat(count - 1));
    assert_eq!(bench.say(with(3)).read_message().1, "hi");
    refuses(&mut bench.say(with(4)), 431, Trouble::HeadTooLarge);
}

#[test]
fn a_head_that_is_too_large_is_a_431_on_http_2_too() {
    let (_origin, bench) = limited("head_size = \"1KiB\", headers = 10");
    block_on(async {
        let client = H2Client::connect(bench.address).await;
        let with = |count: usize, size: usize| {
            let mut request = get("/");
            for n in 0..count {
                let name = http::HeaderName::try_from(format!("x-{n}")).unwrap();
                request.headers_mut().insert(name, "x".repeat(size).parse().unwrap());
            }
            request
        };
        for (count, size, status) in [(1, 100, 200), (1, 2000, 431), (11, 1, 431), (1, 100, 200)] {
            let answer = client.start(with(count, size), true).await.0.await.unwrap();
            assert_eq!(answer.status(), status, "{count} of {size}");
        }
    });
}

#[test]
fn a_head_that_takes_too_long_is_a_408_however_busy_its_sender_is() {
    let origin = Origin::new();
    let bench = Bench::also(origin.address, "limits = { head_timeout = \"200ms\" }");
    refuses(&mut bench.say("GET / HTT"), 408, Trouble::HeadTimeout);
    let mut client = bench.connect();
    client.socket.set_nonblocking(false).unwrap();
    for byte in b"GET / HTTP/1.1\r\nX: ".iter().chain(std::iter::repeat_n(&b'x', 400)) {
        if std::io::Write::write_all(&mut client.socket, &[*byte]).is_err() {
            break;
        }
        std::thread::sleep(Duration::from_millis(5)); // the case itself: never silent, never done
    }
    assert!(client.read_head().starts_with("HTTP/1.1 408 "));
    bench.ledger.settled();
    assert!(origin.try_accept().is_none());
}

#[test]
fn between_two_requests_a_client_has_the_time_of_an_idle_one() {
    let origin = Origin::answering(|_| ok("hi"));
    let bench = Bench::also(origin.address, "limits = { head_timeout = \"50ms\" }\nkeepalive_timeout = \"20s\"");
    let mut client = bench.say(GET);
    assert_eq!(client.read_message().1, "hi");
    std::thread::sleep(Duration::from_millis(150)); // the case itself: idle for longer than a head may take
    client.send(GET);
    assert_eq!(client.read_message().1, "hi");
}

#[test]
fn the_last_request_that_a_connection_may_have_says_so_and_ends_it() {
    let (_origin, bench) = limited("requests = 2");
    let mut client = bench.say([GET, GET, GET].concat());
    let (head, _) = client.read_message();
    assert_ne!(field(&head, "connection").as_deref(), Some("close"));
    let (head, _) = client.read_message();
    assert_eq!(field(&head, "connection").as_deref(), Some("close"));
    client.expect_end();
    assert_eq!(bench.ledger.entries(2).len(), 2);
}

#[test]
fn on_http_2_the_last_request_is_followed_by_a_goodbye_and_still_answered() {
    let (_origin, bench) = limited("requests = 2");
    block_on(async {
        let client = H2Client::connect(bench.address).await;
        for _ in 0..2 {
            assert_eq!(client.get("/").await.unwrap().status(), 200);
        }
        client.connection.await.unwrap().unwrap();
    });
}

#[test]
fn http_2_clients_are_told_how_many_streams_and_how_much_head_they_may_have() {
    let (_origin, bench) = limited("h2_streams = 3, head_size = \"5KiB\"");
    let mut client = bench.say(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    let head = client.read_exact(9);
    assert_eq!(head[3], 4, "the first frame is SETTINGS");
    let settings = client.read_exact(usize::from(head[2]));
    let setting = |id: u8| {
        let found = settings.chunks(6).find(|setting| setting[..2] == [0, id]);
        found.map(|setting| u32::from_be_bytes(setting[2..].try_into().unwrap()))
    };
    assert_eq!((setting(3), setting(6)), (Some(3), Some(5 * 1024)));
}

#[test]
fn the_upstream_is_told_who_asked_if_it_is_to_be() {
    let origin = Origin::new();
    let claims = "GET / HTTP/1.1\r\nHost: shop:81\r\nX-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n\r\n";
    for (policy, expected) in [
        ("off", [Some("6.6.6.6"), None, None, Some("for=6.6.6.6")]),
        ("append", [Some("6.6.6.6, 127.0.0.1"), Some("http"), Some("shop:81"), Some("for=6.6.6.6")]),
        ("replace", [Some("127.0.0.1"), Some("http"), Some("shop:81"), None]),
    ] {
        let bench = Bench::also(origin.address, &format!("forwarded = \"{policy}\""));
        let _client = bench.say(claims);
        let head = origin.accept().read_head();
        let names = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded"];
        assert_eq!(names.map(|name| field(&head, name)), expected.map(|value| value.map(str::to_owned)), "{policy}");
    }
}
