//! `rate-limit`: 429 beyond the rate, and whether clients obey.

use crate::over_h2::Setting;
use crate::support::h2::{block_on, get};
use crate::support::*;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
/// Slow enough that no busy machine earns a second token.
const LIMIT: &str = "kind = \"rate-limit\"\nrate = \"0.001/s\"\nburst = 2";

fn figures(bench: &Bench) -> Vec<(&'static str, u64)> {
    bench.rules.status()[0].faults[0].figures.iter().map(|(name, count)| (*name, *count)).collect()
}

#[test]
fn beyond_the_burst_the_client_is_told_to_wait_and_found_out_if_it_does_not() {
    let origin = Origin::answering(|_| ok("served"));
    let bench = Bench::new(origin.address);
    bench.rules(&rule("r", LIMIT));
    let mut client = bench.connect();
    for n in 0..4 {
        let (head, body) = client.send(GET).read_message();
        if n < 2 {
            assert_eq!((body.as_str(), field(&head, "x-brownout")), ("served", None));
            continue;
        }
        assert!(head.starts_with("HTTP/1.1 429"), "{head}");
        assert!((990..=1_000).contains(&field(&head, "retry-after").unwrap().parse::<u32>().unwrap()));
        assert_eq!(field(&head, "ratelimit-policy").as_deref(), Some("\"brownout\";q=2;w=2000"));
        assert!(field(&head, "ratelimit").unwrap().starts_with("\"brownout\";r=0;t="));
        assert_eq!(field(&head, "x-brownout").as_deref(), Some("r/rate-limit"));
    }
    assert_eq!(figures(&bench), [("returned_early", 1), ("returned_in_time", 0)]);
    bench.ledger.entries(4);
    assert_eq!((bench.counts().injected, bench.counts().skipped), (2, 2));
}

#[test]
fn the_budget_survives_a_reload_that_does_not_change_the_rule() {
    let origin = Origin::answering(|_| ok("served"));
    let bench = Bench::new(origin.address);
    bench.rules(&rule("r", LIMIT));
    let mut client = bench.connect();
    for _ in 0..2 {
        assert_eq!(client.send(GET).read_message().1, "served");
    }
    let other = "[[rule]]\nname = \"other\"\nmatch = { path = \"/x\" }\n[[rule.fault]]\nkind = \"abort\"\n";
    bench.rules(&(rule("r", LIMIT) + other));
    assert!(client.send(GET).read_message().0.starts_with("HTTP/1.1 429"));
    bench.rules(&rule("r", &LIMIT.replace("burst = 2", "burst = 1")));
    assert_eq!(client.send(GET).read_message().1, "served", "a changed rule begins afresh");
}

#[test]
fn clients_may_have_budgets_of_their_own() {
    let origin = Origin::answering(|_| ok("served"));
    let bench = Bench::new(origin.address);
    for (by, fields) in [("client", ["", ""]), ("header:x-key", ["X-Key: a\r\n", "X-Key: b\r\n"])] {
        bench.rules(&rule("r", &format!("{LIMIT}\nby = \"{by}\"").replace("burst = 2", "burst = 1")));
        let statuses = fields.map(|field| {
            let mut client = bench.say(format!("GET / HTTP/1.1\r\nHost: a\r\n{field}\r\n"));
            client.read_message().0[9..12].to_owned()
        });
        assert_eq!(statuses, ["200", if by == "client" { "429" } else { "200" }], "{by}");
    }
}

#[test]
fn on_http_2_a_stream_is_answered_the_same() {
    block_on(async {
        let at = Setting::new(&LIMIT.replace("burst = 2", "burst = 1")).await;
        let first = tokio::spawn(at.client.start(get("/"), true).await.0);
        let answer = loop {
            // The first one waits for its origin, whose turn has not come.
            let answer = at.client.get("/").await.unwrap();
            if answer.status() == 429 {
                break answer;
            }
        };
        assert!(answer.headers()["retry-after"].to_str().unwrap().parse::<u32>().unwrap() > 900);
        first.abort();
    });
}
