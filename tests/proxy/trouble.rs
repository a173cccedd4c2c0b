//! What is wrong with an upstream or a request is said, and never passed off as something right.

use std::net::{SocketAddr, TcpListener};

use brownout::telemetry::events::{ExchangeOutcome, Trouble};

use super::*;

const GET: &str = "GET / HTTP/1.1\r\nHost: shop\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 2\r\n\r\nhi";

/// An address that nobody listens on.
fn nowhere() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Reads an answer of the proxy's own and checks that it says what is wrong.
#[track_caller]
fn says(client: &mut Client, status: u16, trouble: Trouble) -> String {
    let (head, body) = client.read_message();
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
    assert_eq!(field(&head, "x-brownout-error").as_deref(), Some(trouble.name()));
    assert_eq!(field(&head, "content-type").as_deref(), Some("text/plain; charset=utf-8"));
    assert_eq!(body, format!("brownout: {trouble}\n"));
    head
}

#[test]
fn a_refused_upstream_is_a_502_and_the_clients_connection_is_kept() {
    let bench = Bench::new(nowhere());
    let mut client = bench.say(GET);
    says(&mut client, 502, Trouble::UpstreamRefused);
    client.send(POST);
    says(&mut client, 502, Trouble::UpstreamRefused);
    let entry = &bench.ledger.entries(2)[1];
    assert_eq!((entry.status, entry.outcome), (Some(502), ExchangeOutcome::UpstreamError));
    assert_eq!(entry.trouble, Some(Trouble::UpstreamRefused));
}

#[test]
fn of_several_addresses_one_that_refuses_makes_room_for_the_next() {
    let origin = Origin::answering(|_| ok("here"));
    let bench = Bench::with(&format!("upstream = [\"http://{}\", \"http://{}\"]", nowhere(), origin.address));
    let mut client = bench.connect();
    for _ in 0..4 {
        client.send(GET);
        assert_eq!(client.read_message().1, "here");
    }
}

#[test]
fn several_addresses_are_asked_in_turn() {
    let origins = ["one", "two"].map(|name| Origin::answering(move |_| ok(name)));
    let bench =
        Bench::with(&format!("upstream = [\"http://{}\", \"http://{}\"]", origins[0].address, origins[1].address));
    let mut client = bench.connect();
    let mut answers: Vec<String> = (0..4).map(|_| client.send(GET).read_message().1).collect();
    answers.sort();
    assert_eq!(answers, ["one", "one", "two", "two"]);
}

#[test]
fn an_unknown_name_is_a_502() {
    let bench = Bench::with("upstream = \"http://nowhere.invalid:80\"");
    says(&mut bench.say(GET), 502, Trouble::UpstreamUnresolved);
}

#[test]
fn an_upstream_that_does_not_accept_is_a_504() {
    // A backlog of one that is full: the kernel lets further connections wait.
    let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    full.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    full.listen(0).unwrap();
    let address = full.local_addr().unwrap().as_socket().unwrap();
    let _waiting: Vec<_> = (0..2)
        .map(|_| {
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            let _ = socket.connect(&address.into());
            socket
        })
        .collect();
    let bench = Bench::also(address, "connect_timeout = \"100ms\"");
    says(&mut bench.say(GET), 504, Trouble::UpstreamConnectTimeout);
}

#[test]
fn a_silent_upstream_is_a_504_and_is_left() {
    let origin = Origin::new();
    let bench = Bench::also(origin.address, "read_timeout = \"200ms\"");
    for request in [GET, POST] {
        let mut client = bench.say(request);
        let mut up = origin.accept();
        up.read_head();
        says(&mut client, 504, Trouble::UpstreamTimeout);
        up.await_end();
        client.send(GET);
        let _up = origin.answer(ok("again"));
        assert_eq!(client.read_message().1, "again");
    }
}

#[test]
fn an_upstream_that_waits_for_more_of_the_upload_is_not_blamed_for_its_silence() {
    let origin = Origin::new();
    let bench = Bench::also(origin.address, "read_timeout = \"200ms\"");
    let mut client = bench.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel");
    let mut up = origin.accept();
    up.read_until("hel");
    client.expect_end();
    assert_eq!(bench.ledger.only().outcome, ExchangeOutcome::ClientGone);
}

#[test]
fn an_upload_that_goes_on_is_not_silence() {
    let origin = Origin::new();
    let bench = Bench::also(origin.address, "read_timeout = \"500ms\"");
    let mut client = bench.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n");
    let mut up = origin.accept();
    up.read_head();
    for _ in 0..20 {
        std::thread::sleep(std::time::Duration::from_millis(50)); // the case itself: a client that takes its time
        client.send("x");
    }
    up.read_exact(20);
    up.send(ok("done"));
    assert_eq!(client.read_message().1, "done");
}

#[test]
fn an_answer_that_falls_silent_is_cut_short() {
    let origin = Origin::new();
    let bench = Bench::also(origin.address, "read_timeout = \"200ms\"");
    let mut client = bench.say(GET);
    let _up = origin.answer("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    client.read_head();
    assert_eq!(client.read_exact(5), b"hello");
    client.expect_end();
    let entry = bench.ledger.only();
    assert_eq!((entry.status, entry.outcome), (Some(200), ExchangeOutcome::UpstreamError));
    assert_eq!(entry.trouble, Some(Trouble::UpstreamTimeout));
}

#[test]
fn an_upstream_that_closes_without_an_answer_is_a_502() {
    let origin = Origin::new();
    let bench = Bench::new(origin.address);
    for request in [GET, POST] {
        let mut client = bench.say(request);
        let mut up = origin.accept();
        up.read_until(&request[request.len() - 2..]);
        drop(up);
        says(&mut client, 502, Trouble::UpstreamReset);
        let mut client = bench.say(request);
        let mut up = origin.accept();
        up.read_head();
        up.reset();
        says(&mut client, 502, Trouble::UpstreamReset);
    }
    assert!(origin.try_accept().is_none(), "a fresh connection that fails is not tried again");
}

#[test]
fn an_upstream_that_closes_in_the_middle_of_its_head_is_a_502() {
    let origin = Origin::new();
    let bench = Bench::new(origin.address);
    let mut client = bench.say(GET);
    drop(origin.answer("HTTP/1.1 200 OK\r\nContent-"));
    says(&mut client, 502, Trouble::UpstreamReset);
}

#[test]
fn an_answer_that_is_not_http_is_a_502() {
    let origin = Origin::new();
    let bench = Bench::new(origin.address);
    for garbage in [
        "garbage\r\n\r\n",
        "SSH-2.0-OpenSSH\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX\u{1}: 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\u{1}b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n\r\n",
    ] {
        let mut client = bench.say(GET);
        let _up = origin.answer(garbage);
        says(&mut client, 502, Trouble::UpstreamMalformed);
    }
}

#[test]
fn a_body_that_is_cut_short_is_never_passed_off_as_complete() {
    let origin = Origin::new();
    let bench = Bench::new(origin.address);
    let length = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n";
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (count, (head, body)) in
        [(length, "hello"), (chunked, "5\r\nhello\r\n"), (chunked, "a\r\nhello"), (chunked, "5\r\nhello\r\n0\r\n")]
            .iter()
            .enumerate()
    {
        for reset in [false, true] {
            let mut client = bench.say(GET);
            let up = origin.answer(format!("{head}{body}"));
            client.read_head();
            let got = client.read_until("hello");
            if reset {
                up.reset()
            } else {
                drop(up)
            };
            let (rest, ended) = client.read_to_end();
            assert!(ended.is_ok(), "{ended:?}");
            assert!(!format!("{got}{}", raw::latin1(&rest)).contains("0\r\n"), "{head}{body}: {got}{rest:?}");
            let entry = bench.ledger.entries(2 * count + 1 + usize::from(reset)).pop().unwrap();
            assert_eq!((entry.outcome, entry.trouble), (ExchangeOutcome::UpstreamError, Some(Trouble::UpstreamReset)));
        }
    }
}

#[test]
fn a_chunk_that_is_not_one_ends_the_answer() {
    let origin = Origin::new();
    let bench = Bench::new(origin.address);
    let mut client = bench.say(GET);
    let _up = origin.answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nnonsense\r\n");
    client.read_head();
    assert!(!client.read_to_end().0.ends_with(b"0\r\n\r\n"));
    assert_eq!(bench.ledger.only().trouble, Some(Trouble::UpstreamMalformed));
}

#[test]
fn what_cannot_be_read_as_a_request_is_a_400_and_closes() {
    let origin = Origin::new();
    let bench = Bench::new(origin.address);
    let bad = [
        "garbage\r\n\r\n",
        "GET / HTTP/3.0\r\n\r\n",
        "GET /a b HTTP/1.1 x\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nName : x\r\n\r\n",
        "GET / HTTP/1.1\r\nX: a\u{1}b\r\n\r\n",
        "GET / HTTP/1.1\r\nX: a\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\na",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{2}\r\n\r\n",
    ];
    for request in bad {
        let mut client = bench.say(request);
        let head = says(&mut client, 400, Trouble::BadRequest);
        assert_eq!(field(&head, "connection").as_deref(), Some("close"));
        client.expect_end();
    }
    let entries = bench.ledger.entries(bad.len());
    assert!(entries.iter().all(|e| e.outcome == ExchangeOutcome::BadRequest && e.status == Some(400)));
    bench.ledger.settled();
    assert!(origin.try_accept().is_none());
}

#[test]
fn two_framings_at_once_are_read_as_chunks_and_end_the_connection() {
    let origin = Origin::new();
    let bench = Bench::new(origin.address);
    let mut client = bench.say(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n\
         5\r\nhello\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    let mut up = origin.accept();
    let head = up.read_head();
    assert_eq!(field(&head, "content-length"), None);
    assert_eq!(up.read_chunks().0, b"hello");
    up.send(ok("done"));
    assert_eq!(client.read_message().1, "done");
    client.expect_end();
}
