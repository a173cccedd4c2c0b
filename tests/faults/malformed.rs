//! `malformed`: what parsers must survive.

use brownout::telemetry::events::ExchangeOutcome;

use crate::over_h2::{Setting, answer};
use crate::support::h2::{block_on, get};
use crate::support::*;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn each_kind_of_nonsense_arrives_as_it_is_then_a_fin() {
    for what in ["status-line", "chunk", "random", "empty"] {
        let origin = Origin::new();
        let bench = Bench::new(origin.address);
        bench.rules(&rule("r", &format!("kind = \"malformed\"\nwhat = \"{what}\"")));
        let (bytes, ended) = bench.say(GET).read_to_end();
        assert!(ended.is_ok());
        let text = raw::latin1(&bytes);
        match what {
            "status-line" => assert!(text.starts_with("HTTP/1.1 two hundred"), "{text}"),
            "chunk" => assert!(text.contains("chunked\r\n\r\n5\r\nhello\r\nno size\r\n"), "{text}"),
            "random" => assert!(bytes.len() == 512 && !text.starts_with("HTTP")),
            _ => assert_eq!(text, ""),
        }
        assert!(origin.try_accept().is_none());
        let entry = bench.ledger.only();
        assert_eq!((entry.outcome, entry.marks.as_str()), (ExchangeOutcome::Injected, "r/malformed"));
        assert_eq!((bench.counts().injected, bench.active()), (1, 0));
    }
}

#[test]
fn on_the_response_side_the_upstream_has_done_its_work() {
    let origin = Origin::new();
    let bench = Bench::new(origin.address);
    bench.rules(&rule("r", "kind = \"malformed\"\nwhat = \"empty\"\nside = \"response\""));
    let mut client = bench.say(GET);
    let _up = origin.answer(ok("never seen"));
    client.expect_end();
}

#[test]
fn on_http_2_empty_is_a_reset_and_the_others_are_skipped() {
    block_on(async {
        for what in ["status-line", "chunk", "random"] {
            let mut at = Setting::new(&format!("kind = \"malformed\"\nwhat = \"{what}\"")).await;
            let (head, ended) = at.ask(get("/"), answer(200, &[]), b"fine").await;
            assert_eq!((ended.unwrap().0, head.get("x-brownout")), (b"fine".to_vec(), None));
            at.bench.ledger.only();
            assert_eq!((at.bench.counts().skipped, at.bench.active()), (1, 0));
        }
        let at = Setting::new("kind = \"malformed\"\nwhat = \"empty\"").await;
        let error = at.client.get("/").await.unwrap_err();
        assert_eq!(error.reason(), Some(::h2::Reason::NO_ERROR));
    });
}
