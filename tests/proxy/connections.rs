//! Connections on both sides: kept, reused, given up.

use std::time::Duration;

use brownout::telemetry::events::Trouble;

use super::*;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// A client and an origin whose connection has served a request and is idle.
fn idle() -> (Client, Client, Setting) {
    let origin = Origin::new();
    let bench = Bench::new(origin.address);
    let mut client = bench.say(GET);
    let up = origin.answer(ok("first"));
    assert_eq!(client.read_message().1, "first");
    (client, up, Setting { bench, origin })
}

#[test]
fn an_upstreams_connection_is_reused() {
    let (mut client, mut up, _setting) = idle();
    for _ in 0..3 {
        client.send(GET);
        up.read_head();
        up.send(ok("again"));
        assert_eq!(client.read_message().1, "again");
    }
}

#[test]
fn an_idle_connection_that_the_upstream_closed_is_not_used() {
    for post in [GET, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"] {
        let (mut client, up, setting) = idle();
        setting.bench.loses(up);
        client.send(post);
        let _up = setting.origin.answer(ok("second"));
        assert_eq!(client.read_message().1, "second");
    }
}

#[test]
fn an_idle_connection_on_which_the_upstream_spoke_is_not_used() {
    let (mut client, mut up, setting) = idle();
    up.send("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n");
    setting.bench.has_heard_upstream(&up);
    client.send(GET);
    let _up = setting.origin.answer(ok("second"));
    assert_eq!(client.read_message().1, "second");
}

#[test]
fn a_get_on_a_connection_that_dies_under_it_is_sent_once_more_on_a_fresh_one() {
    for reset in [false, true] {
        let (mut client, mut up, setting) = idle();
        client.send(GET);
        up.read_head();
        if reset {
            up.reset()
        } else {
            drop(up)
        };
        let second = setting.origin.answer(ok("second"));
        assert_eq!(client.read_message().1, "second");
        drop(second);
        assert_eq!(setting.bench.ledger.entries(2)[1].trouble, None);
    }
}

#[test]
fn a_get_is_not_sent_a_third_time() {
    let (mut client, mut up, setting) = idle();
    client.send(GET);
    up.read_head();
    drop(up);
    let mut up = setting.origin.accept();
    up.read_head();
    drop(up);
    let (head, _) = client.read_message();
    assert_eq!(field(&head, "x-brownout-error").as_deref(), Some(Trouble::UpstreamReset.name()));
    assert!(setting.origin.try_accept().is_none());
}

#[test]
fn a_get_that_the_upstream_has_begun_to_answer_is_not_sent_again() {
    let (mut client, mut up, setting) = idle();
    client.send(GET);
    up.read_head();
    up.send("HTTP/1.1 2");
    drop(up);
    assert!(client.read_message().0.starts_with("HTTP/1.1 502 "));
    assert!(setting.origin.try_accept().is_none());
}

#[test]
fn a_post_is_never_sent_twice() {
    for post in [
        "POST / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
        "PATCH / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        "BREW / HTTP/1.1\r\nHost: a\r\n\r\n",
        "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", // could be repeated, but its body is gone
    ] {
        let (mut client, mut up, setting) = idle();
        client.send(post);
        up.read_until(&post[post.len() - 2..]);
        drop(up);
        let (head, _) = client.read_message();
        assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
        assert_eq!(field(&head, "x-brownout-error").as_deref(), Some("upstream-reset"));
        assert!(setting.origin.try_accept().is_none());
    }
}

#[test]
fn a_connection_whose_exchange_was_cut_is_not_reused() {
    let origin = Origin::new();
    let bench = Bench::also(origin.address, "shards = 1"); // one pool for both clients
    let mut first = bench.say(GET);
    let mut up = origin.answer("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    first.read_head();
    drop(first);
    up.await_end();
    let mut second = bench.say(GET);
    let _up = origin.answer(ok("second"));
    assert_eq!(second.read_message().1, "second");
}

#[test]
fn an_idle_connection_to_the_upstream_is_closed_in_time() {
    let origin = Origin::new();
    let bench = Bench::also(origin.address, "idle_timeout = \"100ms\"");
    let mut client = bench.say(GET);
    let mut up = origin.answer(ok("first"));
    client.read_message();
    up.expect_end();
}

#[test]
fn an_idle_client_is_closed_in_time_and_so_is_one_that_never_speaks() {
    let origin = Origin::answering(|_| ok("hi"));
    let bench = Bench::also(origin.address, "keepalive_timeout = \"200ms\"");
    let mut silent = bench.connect();
    let mut client = bench.say(GET);
    assert_eq!(client.read_message().1, "hi");
    client.expect_end();
    silent.expect_end();
    bench.ledger.settled();
}

#[test]
fn a_head_that_takes_its_time_is_waited_for() {
    let origin = Origin::answering(|_| ok("hi"));
    let bench = Bench::also(origin.address, "keepalive_timeout = \"300ms\"");
    let mut client = bench.connect();
    for byte in GET.bytes() {
        client.send([byte]);
        std::thread::sleep(Duration::from_millis(20)); // the case itself: longer than the timeout in all
    }
    assert_eq!(client.read_message().1, "hi");
}
