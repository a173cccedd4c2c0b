//! `corrupt`: changed bytes, same length, in either direction.

use crate::over_h2::{Setting, answer};
use crate::support::h2::{block_on, get};
use crate::support::*;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const TENTH: &str = "kind = \"corrupt\"\nshare = 0.1";

/// How many bytes differ.
fn changed(a: &[u8], b: &[u8]) -> usize {
    assert_eq!(a.len(), b.len(), "the length stays");
    a.iter().zip(b).filter(|(a, b)| a != b).count()
}

#[test]
fn a_share_of_the_bytes_changes_and_nothing_of_the_framing() {
    let body = noise(50_000);
    for framing in ["length", "chunked"] {
        let origin = Origin::new();
        let bench = Bench::new(origin.address);
        bench.rules(&rule("r", TENTH));
        let mut client = bench.say(GET);
        let mut up = origin.accept();
        up.read_head();
        if framing == "length" {
            up.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len())).send(&body);
        } else {
            up.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            for piece in body.chunks(7_000) {
                up.send(format!("{:x}\r\n", piece.len())).send(piece).send("\r\n");
            }
            up.send("0\r\n\r\n");
        }
        let head = client.read_head();
        assert_eq!(field(&head, "x-brownout").as_deref(), Some("r/corrupt"));
        let got = if framing == "length" { client.read_exact(body.len()) } else { client.read_chunks().0 };
        // Eight standard deviations of a binomial around 5,000.
        assert!((4_460..5_540).contains(&changed(&got, &body)), "{}", changed(&got, &body));
        client.send(GET); // the connections are kept
        up.read_head();
        assert_eq!((bench.counts().injected, bench.ledger.only().marks.as_str()), (1, "r/corrupt"));
    }
}

#[test]
fn the_same_seed_corrupts_the_same_bytes_however_they_come() {
    let body = noise(20_000);
    let asked = |pieces: usize| {
        let origin = Origin::new();
        let bench = Bench::new(origin.address);
        bench.rules(&rule("r", TENTH));
        let mut client = bench.say(GET);
        let mut up = origin.answer(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()));
        client.read_head();
        let mut got = Vec::new();
        for piece in body.chunks(body.len() / pieces) {
            up.send(piece);
            got.extend(client.read_exact(piece.len()));
        }
        got
    };
    assert!(asked(1) == asked(8));
}

#[test]
fn an_upload_is_corrupted_on_its_way_up() {
    let origin = Origin::new();
    let bench = Bench::new(origin.address);
    bench.rules(&rule("r", "kind = \"corrupt\"\nbytes = 3\noffset = 2\nmode = \"zero\"\ndirection = \"request\""));
    let mut client = bench.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234");
    let mut up = origin.accept();
    up.read_head();
    assert_eq!(up.read_exact(5), b"01\0\0\0");
    client.send("56789");
    assert_eq!(up.read_exact(5), b"56789");
    up.send(ok("fine"));
    assert_eq!(client.read_message().1, "fine");
    client.send(GET);
    up.read_head();
    up.send(ok("without a body"));
    client.read_message();
    bench.ledger.entries(2);
    assert_eq!((bench.counts().injected, bench.counts().skipped, bench.active()), (1, 1, 0));
}

#[test]
fn on_http_2_both_directions_are_corrupted_alike() {
    block_on(async {
        let body = noise(50_000);
        let mut at = Setting::new(TENTH).await;
        let (head, ended) = at.ask(get("/"), answer(200, &[]), &body).await;
        assert_eq!(head["x-brownout"], "r/corrupt");
        assert!((4_460..5_540).contains(&changed(&ended.unwrap().0, &body)));
        let mut at = Setting::new(&format!("{TENTH}\ndirection = \"request\"")).await;
        let (_, got) = at.upload(&body).await;
        assert!((4_460..5_540).contains(&changed(&got, &body)));
        at.bench.ledger.entries(1);
        assert_eq!((at.bench.counts().injected, at.bench.active()), (1, 0));
    });
}
