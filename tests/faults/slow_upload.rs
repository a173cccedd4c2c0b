//! `slow-body` on the way up, and pauses in both directions.

use std::time::{Duration, Instant};

use crate::over_h2::{Setting, answer};
use crate::support::h2::{block_on, get};
use crate::support::*;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const LENGTH: usize = 30_000;
/// 30,000 bytes at 100,000 B/s; what the drip may catch up on is 20 ms.
const AT_LEAST: Duration = Duration::from_millis(280);
const SLOW: &str = "kind = \"slow-body\"\nrate = \"100kB/s\"\ndirection = \"request\"";
const STALL: &str = "kind = \"slow-body\"\nstall_after = 4\nstall_for = \"300ms\"";

fn slowing(fault: &str) -> (Origin, Bench) {
    let origin = Origin::new();
    let bench = Bench::new(origin.address);
    bench.rules(&rule("r", fault));
    (origin, bench)
}

#[test]
fn an_upload_takes_its_time_and_loses_nothing_whatever_frames_it() {
    let body = noise(LENGTH);
    for framing in ["Content-Length: 30000", "Transfer-Encoding: chunked"] {
        let (origin, bench) = slowing(SLOW);
        let mut client = bench.say(format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n"));
        let mut up = origin.accept();
        let head = up.read_head();
        let started = Instant::now();
        let got = if framing.contains("chunked") {
            client.send("7530\r\n").send(&body).send("\r\n0\r\n\r\n");
            up.read_chunks().0
        } else {
            client.send(&body);
            up.read_exact(LENGTH)
        };
        assert!(got == body, "{head}");
        assert!(started.elapsed() >= AT_LEAST - Duration::from_millis(20), "{framing}: {:?}", started.elapsed());
        up.send(ok("got it"));
        let (head, _) = client.read_message();
        assert_eq!(field(&head, "x-brownout").as_deref(), Some("r/slow-body"));
        client.send(GET);
        up.read_head();
        bench.ledger.only();
        assert_eq!(bench.counts().injected, 1);
    }
}

#[test]
fn an_early_answer_passes_a_slow_upload_by() {
    let (origin, bench) = slowing(SLOW);
    let mut client = bench.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 30000\r\n\r\n");
    client.send(noise(LENGTH));
    let mut up = origin.answer(ok("early"));
    assert_eq!(client.read_message().1, "early");
    assert!(up.read_exact(LENGTH) == noise(LENGTH));
}

#[test]
fn a_release_opens_the_throttle_of_an_upload() {
    let (origin, bench) = slowing(&SLOW.replace("100kB/s", "10B/s"));
    let mut client = bench.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 30000\r\n\r\n");
    client.send(noise(LENGTH));
    let mut up = origin.accept();
    up.read_head();
    up.read_exact(1);
    bench.rules.off();
    assert!(up.read_exact(LENGTH - 1) == noise(LENGTH)[1..]);
    up.send(ok(""));
    client.read_message();
    bench.ledger.only();
    assert_eq!(bench.active(), 0);
}

#[test]
fn a_client_that_leaves_in_the_middle_ends_it() {
    let (origin, bench) = slowing(&SLOW.replace("100kB/s", "10B/s"));
    let client = bench.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 30000\r\n\r\nhello");
    let mut up = origin.accept();
    up.read_head();
    drop(client);
    up.await_end();
    bench.ledger.only();
    assert_eq!(bench.active(), 0);
}

#[test]
fn a_pause_comes_at_its_byte_in_either_direction() {
    for direction in ["response", "request"] {
        let (origin, bench) = slowing(&format!("{STALL}\ndirection = \"{direction}\""));
        let mut client = bench.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789");
        let mut up = origin.accept();
        up.read_head();
        if direction == "request" {
            assert_eq!(up.read_exact(4), b"0123");
            let started = Instant::now();
            assert_eq!(up.read_exact(6), b"456789");
            assert!(started.elapsed() >= Duration::from_millis(250));
        }
        up.send(ok("0123456789"));
        client.read_head();
        assert_eq!(client.read_exact(4), b"0123");
        let started = Instant::now();
        assert_eq!(client.read_exact(6), b"456789");
        assert!(direction == "request" || started.elapsed() >= Duration::from_millis(250));
        bench.ledger.only();
        assert_eq!((bench.counts().injected, bench.active()), (1, 0));
    }
}

#[test]
fn a_pause_without_end_lasts_until_it_is_released() {
    let (origin, bench) = slowing("kind = \"slow-body\"\nstall_after = 4");
    let mut client = bench.say(GET);
    let _up = origin.answer(ok("0123456789"));
    client.read_head();
    assert_eq!(client.read_exact(4), b"0123");
    assert!(client.is_silent());
    bench.rules.off();
    assert_eq!(client.read_exact(6), b"456789");
    bench.ledger.only();
    assert_eq!((bench.counts().injected, bench.active()), (1, 0));
}

#[test]
fn on_http_2_both_directions_are_slowed_alike() {
    block_on(async {
        let body = noise(LENGTH);
        let mut at = Setting::new(SLOW).await;
        let started = Instant::now();
        assert!(at.upload(&body).await.1 == body);
        assert!(started.elapsed() >= AT_LEAST - Duration::from_millis(20));
        let mut at = Setting::new(STALL).await;
        let started = Instant::now();
        assert_eq!(at.ask(get("/"), answer(200, &[]), b"0123456789").await.1.unwrap().0, b"0123456789");
        assert!(started.elapsed() >= Duration::from_millis(250));
    });
}
