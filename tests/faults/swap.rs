//! Rules change while traffic flows: nothing fails, and no request sees two sets.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Instant;

use super::*;
use crate::support::h2::{Client as H2Client, block_on};

const SWAPS: usize = 1_000;
const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// The set of this generation: each request is marked on its way up, and on its way down, by the rules whose turn it
/// is. The others stay in the set, because a rule that is gone would let go of who suffers it.
fn set(generation: usize) -> String {
    let rules = (0..10).map(|number| {
        let path = if number == generation % 10 { "/**" } else { "/never" };
        let on = |side: &str, name: &str| {
            format!(
                "[[rule]]\nname = \"{name}-{number}\"\nmatch = {{ path = \"{path}\" }}\n\
                 [[rule.fault]]\nkind = \"latency\"\ndelay = \"1us\"\nside = \"{side}\"\n"
            )
        };
        on("request", "up") + &on("response", "down")
    });
    rules.collect()
}

/// A request saw the sets of one generation only.
#[track_caller]
fn saw_one_set(marks: &str) {
    let generations: Vec<_> = marks.split(", ").map(|mark| mark.split(['-', '/']).nth(1).unwrap()).collect();
    assert_eq!(generations.len(), 2, "{marks}");
    assert_eq!(generations[0], generations[1], "{marks}");
}

#[test]
fn a_thousand_swaps_under_load_fail_no_request_and_split_none() {
    let origin = Origin::answering(|_| ok("fine"));
    let bench = Bench::new(origin.address);
    bench.rules(&set(0));
    let (stop, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    let one_more = || {
        served.fetch_add(1, Relaxed);
    };
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut client = bench.connect();
                while !stop.load(Relaxed) {
                    let (head, body) = client.send(GET).read_message();
                    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
                    assert_eq!(body, "fine");
                    saw_one_set(&field(&head, "x-brownout").unwrap());
                    one_more();
                }
            });
        }
        scope.spawn(|| {
            block_on(async {
                let client = H2Client::connect(bench.h2).await;
                while !stop.load(Relaxed) {
                    let answer = client.get("/").await.unwrap();
                    assert_eq!(answer.status(), 200);
                    saw_one_set(answer.headers()["x-brownout"].to_str().unwrap());
                    one_more();
                }
            });
        });
        let deadline = Instant::now() + PATIENCE;
        for generation in 1..=SWAPS {
            let seen = served.load(Relaxed);
            bench.rules(&set(generation));
            // Now and then traffic is waited for, so that the swaps do not run ahead of it.
            while generation % 10 == 0 && served.load(Relaxed) == seen && Instant::now() < deadline {
                thread::yield_now();
            }
        }
        stop.store(true, Relaxed);
    });
    assert!(served.load(Relaxed) >= SWAPS / 10);
    bench.rules("");
    let (head, _) = bench.say(GET).read_message();
    assert_eq!(field(&head, "x-brownout"), None);
    assert_eq!(bench.active(), 0);
}
