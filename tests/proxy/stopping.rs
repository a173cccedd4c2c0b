//! The proxy stops without losing a request.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use brownout::telemetry::events::ExchangeOutcome;

use super::*;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const AT_ONCE: Duration = Duration::ZERO;

#[test]
fn idle_connections_are_closed_and_a_busy_one_is_waited_for() {
    let origin = Origin::new();
    let mut bench = Bench::new(origin.address);
    let mut fresh = bench.connect(); // has not said a word
    let mut idle = bench.say(GET);
    let _first = origin.answer("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    idle.read_message();
    let mut busy = bench.say(GET);
    let mut up = origin.accept();
    up.read_head();
    let ledger = bench.ledger.clone();
    let stopping = thread::spawn(move || bench.stop(PATIENCE));
    idle.expect_end();
    fresh.expect_end();
    up.send(ok("busy"));
    let (head, body) = busy.read_message();
    assert_eq!((field(&head, "connection").as_deref(), body.as_str()), (Some("close"), "busy"));
    busy.expect_end();
    assert_eq!(stopping.join().unwrap(), 0);
    ledger.settled();
}

#[test]
fn a_request_whose_head_has_begun_is_waited_for() {
    let origin = Origin::answering(|_| ok("hi"));
    let mut bench = Bench::new(origin.address);
    let mut idle = bench.say(GET);
    idle.read_message();
    let mut client = bench.say("GET / HTTP/1.1\r\n");
    bench.has_heard(&client);
    let stopping = thread::spawn(move || bench.stop(PATIENCE));
    idle.expect_end();
    client.send("Host: a\r\n\r\n");
    assert_eq!(client.read_message().1, "hi");
    client.expect_end();
    assert_eq!(stopping.join().unwrap(), 0);
}

#[test]
fn what_is_left_after_the_limit_is_cut_and_counted() {
    let origin = Origin::new();
    let mut bench = Bench::new(origin.address);
    let mut client = bench.say(GET);
    let mut up = origin.accept();
    up.read_head();
    assert_eq!(bench.stop(AT_ONCE), 1);
    assert!(client.read_to_end().0.is_empty());
    up.await_end();
    assert_eq!(bench.ledger.only().outcome, ExchangeOutcome::ClientGone);
    bench.ledger.settled();
}

#[test]
fn a_stopped_proxy_listens_no_longer_and_its_port_is_free() {
    let origin = Origin::answering(|_| ok("hi"));
    let mut bench = Bench::new(origin.address);
    let mut client = bench.say(GET);
    client.read_message();
    let address = bench.proxy.as_ref().unwrap().address();
    assert_eq!(bench.stop(PATIENCE), 0);
    assert_eq!(TcpStream::connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    std::net::TcpListener::bind(address).unwrap();
}

#[test]
fn a_proxy_that_is_dropped_ends_at_once() {
    let origin = Origin::new();
    let mut bench = Bench::new(origin.address);
    let mut client = bench.say(GET);
    let mut up = origin.accept();
    up.read_head();
    bench.proxy = None;
    client.await_end();
    up.await_end();
    bench.ledger.settled();
}
