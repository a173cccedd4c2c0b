//! `brownout load` as its users run it, against targets on loopback.

#![allow(clippy::expect_used, reason = "a helper of a test may fail the test")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};

use serde_json::Value;

/// A target that answers every request with 200, and tells of each.
fn target() -> (SocketAddr, Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    let (seen, requests) = channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let seen = seen.clone();
            std::thread::spawn(move || {
                // Small requests, one at a time per connection: each arrives in one read.
                let mut request = [0; 4096];
                while stream.read(&mut request).is_ok_and(|n| n > 0) {
                    let _ = seen.send(());
                    if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_err() {
                        break;
                    }
                }
            });
        }
    });
    (address, requests)
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_brownout"));
    command.arg("load").args(arguments).env_remove("NO_COLOR").stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn load(arguments: &[&str]) -> Output {
    command(arguments).output().expect("the program can be started")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("the program writes text")
}

#[test]
fn the_json_has_every_documented_key() {
    let (address, _requests) = target();
    let url = format!("http://{address}/items/{{{{id}}}}");
    let output = load(&[&url, "--rate", "100/s", "--duration", "1s", "--arrivals", "constant", "--format", "json"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let totals: Value = serde_json::from_slice(&output.stdout).expect("JSON on stdout and nothing else");
    assert_eq!(totals["offered_per_s"], 100.0);
    let counted = totals["requests"].as_u64().expect("a number") + totals["missed"].as_u64().expect("a number");
    assert_eq!(counted, 100, "every arrival is accounted for");
    for key in ["achieved_per_s", "good", "errors", "driver_limited"] {
        assert!(!totals[key].is_null(), "{key}");
    }
    for block in ["latency_s", "service_s", "lag_s"] {
        for quantile in ["p50", "p90", "p99", "p999", "max"] {
            assert!(totals[block][quantile].is_f64(), "{block}.{quantile}");
        }
    }
    let progress = text(&output.stderr);
    assert!(progress.starts_with(&format!("load: {url} ({address}), up to 100/s")), "{progress}");
}

#[test]
fn a_closed_loop_offers_no_rate() {
    let (address, _requests) = target();
    let url = format!("http://{address}");
    let output = load(&[&url, "--users", "2", "--duration", "1s", "--format", "json", "--quiet"]);
    let totals: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(totals["offered_per_s"].is_null() && totals["lag_s"].is_null(), "{totals}");
    assert!(totals["good"].as_u64().is_some_and(|good| good > 2), "{totals}");
}

#[test]
fn a_target_that_refuses_is_a_result_and_said_loudly_and_once() {
    let gone = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("an address");
    for flags in [&["--quiet"][..], &[]] {
        let output = load(&[&[&*format!("http://{gone}"), "--rate", "50", "--duration", "2s"], flags].concat());
        assert_eq!(output.status.code(), Some(0));
        assert!(text(&output.stdout).contains("refused"), "{}", text(&output.stdout));
        let said = text(&output.stderr).matches(&format!("NOTHING REACHED {gone}")).count();
        assert_eq!(said, 1, "{flags:?}: {}", text(&output.stderr));
    }
}

#[test]
fn a_target_that_is_neither_loopback_nor_private_is_refused_by_naming_the_flag() {
    for (target, cure) in [
        ("http://192.0.2.7/", "--allow-target 192.0.2.7"),
        ("http://[2001:db8::1]:8080/", "--allow-target 2001:db8::1"),
        ("https://127.0.0.1/", "does not speak https"),
        ("http://127.0.0.1/{{user}}", "{{user}}"),
    ] {
        let output = load(&[target, "--rate", "1/s"]);
        assert_eq!(output.status.code(), Some(2), "{target}");
        assert!(text(&output.stderr).contains(cure), "{}", text(&output.stderr));
        assert_eq!(text(&output.stdout), "");
    }
}

#[test]
fn rate_or_users_must_be_given_and_not_both() {
    for arguments in [&["http://127.0.0.1:1"][..], &["http://127.0.0.1:1", "--rate", "5/s", "--users", "3"]] {
        assert_eq!(load(arguments).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn an_interrupt_ends_early_and_what_was_measured_is_printed() {
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let (address, requests) = target();
        let url = format!("http://{address}");
        let child = command(&[&url, "--rate", "200/s", "--duration", "1h", "--format", "json"]).spawn();
        let child = child.expect("the program can be started");
        requests.recv().expect("a request");
        let killed = Command::new("kill").args([signal, &child.id().to_string()]).status().expect("kill");
        assert!(killed.success());
        let output = child.wait_with_output().expect("the program ends");
        assert_eq!(output.status.code(), Some(code), "{}", text(&output.stderr));
        let totals: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert!(totals["requests"].as_u64().is_some_and(|n| (1..100_000).contains(&n)), "{totals}");
    }
}
