//! What curl makes of faults, over HTTP/1.1 and HTTP/2: its exit code is how a client of the world tells them apart.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper of a test may fail the test")]

#[path = "support/mod.rs"]
mod support;

use std::process::{Command, Output};

use support::*;

/// Runs curl against the proxy; `h2` with prior knowledge.
fn curl(bench: &Bench, h2: bool, more: &[&str]) -> Output {
    let version = if h2 { "--http2-prior-knowledge" } else { "--http1.1" };
    let url = format!("http://{}/item.json", bench.address);
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--max-time", "20", version, "-i", &url]).args(more);
    curl.output().expect("curl is not installed")
}

fn faulty(fault: &str) -> Bench {
    let body = r#"{"id":1,"price":12.5}"#;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
    let origin = Origin::answering(move |_| format!("{head}{body}").into_bytes());
    let bench = Bench::new(origin.address);
    bench.rules(&rule("r", fault));
    bench
}

/// Exit codes: 0 fine, 1 unsupported protocol (a status line that is none), 18 partial file, 52 empty reply, 56 failure
/// to receive, 92 stream error.
#[test]
fn curl_tells_the_ends_of_an_exchange_apart() {
    for (fault, http1, h2) in [
        ("kind = \"abort\"\nhow = \"close\"", 52, 92),
        ("kind = \"abort\"\nhow = \"reset\"", 56, 92),
        ("kind = \"abort\"\nat = \"body\"\nafter_bytes = 5\nhow = \"close\"", 18, 92),
        ("kind = \"truncate\"\nafter_bytes = 5", 18, 92),
        ("kind = \"truncate\"\nafter_bytes = 5\nend = \"complete\"", 0, 0),
        ("kind = \"malformed\"\nwhat = \"status-line\"", 1, 0),
        ("kind = \"malformed\"\nwhat = \"chunk\"", 56, 0),
        ("kind = \"malformed\"\nwhat = \"empty\"", 52, 92),
        ("kind = \"header\"\nset = { content-length = \"99\" }", 18, 92),
        ("kind = \"stream-reset\"\ncode = \"ENHANCE_YOUR_CALM\"", 0, 92),
        ("kind = \"goaway\"", 0, 0),
    ] {
        let bench = faulty(fault);
        for (is_h2, wanted) in [(false, http1), (true, h2)] {
            let output = curl(&bench, is_h2, &[]);
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(wanted), "{fault}, HTTP/2: {is_h2}: {told}");
        }
    }
}

#[test]
fn curl_reads_what_faults_answer_and_change() {
    for (fault, wanted) in [
        ("kind = \"error\"\nstatus = 503\nbody = \"sorry\"", &["503", "sorry", "r/error"][..]),
        ("kind = \"rate-limit\"\nrate = \"0.001/s\"\nburst = 1", &["200", "price"]),
        ("kind = \"body\"\nreplace = \"<html>\"\ncontent_type = \"text/html\"", &["200", "text/html", "<html>"]),
        ("kind = \"header\"\nremove = \"content-type\"\nset = { x-new = \"1\" }", &["x-new: 1", "price"]),
        ("kind = \"slow-body\"\nrate = \"100B/s\"", &["price"]),
    ] {
        for is_h2 in [false, true] {
            let bench = faulty(fault);
            let output = curl(&bench, is_h2, &[]);
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success(), "{fault}: {}", String::from_utf8_lossy(&output.stderr));
            assert!(wanted.iter().all(|part| text.contains(part)), "{fault}, HTTP/2: {is_h2}: {text}");
        }
    }
}

#[test]
fn curl_waits_as_long_as_it_is_told_before_it_tries_again() {
    let bench = faulty("kind = \"rate-limit\"\nrate = \"1/s\"\nburst = 1");
    assert!(curl(&bench, false, &[]).status.success());
    // Its --retry obeys Retry-After.
    let output = curl(&bench, false, &["--retry", "3", "--fail"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let figures = &bench.rules.status()[0].faults[0].figures;
    assert_eq!(figures["returned_early"], 0, "{figures:?}");
}
