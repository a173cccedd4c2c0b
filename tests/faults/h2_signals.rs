//! `stream-reset` and `goaway`: HTTP/2's own signals, which HTTP/1 does not have.

use crate::over_h2::{Setting, answer};
use crate::support::h2::{Client, block_on, get, response};
use crate::support::*;

#[test]
fn a_stream_is_reset_with_the_code_at_the_place() {
    for (keys, code) in [
        ("", 7),
        ("code = \"ENHANCE_YOUR_CALM\"", 11),
        ("at = \"headers\"\ncode = 2", 2),
        ("at = \"body\"\nafter_bytes = 4", 8),
    ] {
        block_on(async {
            let mut at = Setting::new(&format!("kind = \"stream-reset\"\n{keys}")).await;
            let ended = if keys.contains("at") {
                at.ask(get("/"), answer(200, &[]), b"0123456789").await.1
            } else {
                at.client.get("/").await.map(|_| (Vec::new(), None)).map_err(|error| error.reason())
            };
            assert_eq!(ended.unwrap_err(), Some(::h2::Reason::from(code)), "{keys}");
            at.bench.ledger.only();
            assert_eq!((at.bench.counts().injected, at.bench.active()), (1, 0));
        });
    }
}

#[test]
fn on_http_1_they_are_skipped_and_counted_as_such() {
    for fault in [
        "kind = \"stream-reset\"",
        "kind = \"stream-reset\"\nat = \"headers\"",
        "kind = \"stream-reset\"\nat = \"body\"",
        "kind = \"goaway\"",
    ] {
        let origin = Origin::answering(|_| ok("fine"));
        let bench = Bench::new(origin.address);
        bench.rules(&rule("r", fault));
        let mut client = bench.connect();
        for _ in 0..2 {
            let (head, body) = client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").read_message();
            assert_eq!((body.as_str(), field(&head, "x-brownout")), ("fine", None), "{fault}");
        }
        bench.ledger.entries(2);
        assert_eq!((bench.counts().skipped, bench.active()), (2, 0), "{fault}");
    }
}

#[test]
fn a_goodbye_lets_requests_under_way_end_and_then_the_connection() {
    block_on(async {
        let mut at = Setting::new("kind = \"goaway\"").await;
        let (first, _) = at.client.start(get("/first"), true).await;
        let (_, mut respond) = at.origin.asked().await;
        respond.send_response(response(200), true).unwrap();
        assert_eq!(first.await.unwrap().headers()["x-brownout"], "r/goaway");
        let Setting { bench, client: Client { requests, connection }, mut origin } = at;
        drop(requests);
        // The connection ends by itself, in peace.
        connection.await.unwrap().unwrap();
        bench.rules("");
        let again = Client::connect(bench.address).await;
        let (second, _) = again.start(get("/second"), true).await;
        origin.asked().await.1.send_response(response(204), true).unwrap();
        assert_eq!(second.await.unwrap().status(), 204);
    });
}

#[test]
fn a_whole_connection_can_be_aborted() {
    for how in ["close", "reset"] {
        block_on(async {
            let fault = format!("kind = \"abort\"\nhow = \"{how}\"\nscope = \"connection\"");
            let fault = rule("r", &fault).replace("[[rule.fault]]", "match = { path = \"/cut\" }\n[[rule.fault]]");
            let mut at = Setting::new("kind = \"goaway\"").await;
            at.bench.rules(&fault);
            let (other, _) = at.client.start(get("/other"), true).await;
            let _asked = at.origin.asked().await;
            assert!(at.client.get("/cut").await.is_err());
            let error = other.await.unwrap_err();
            assert!(error.is_io() || error.is_go_away(), "the other stream goes down with it: {error:?}");
            let ended = at.client.connection.await.unwrap();
            if how == "reset" {
                let error = ended.unwrap_err();
                assert_eq!(error.get_io().unwrap().kind(), std::io::ErrorKind::ConnectionReset);
            }
            at.bench.ledger.entries(2);
            assert_eq!(at.bench.active(), 0);
        });
    }
}
