//! `brownout run` as its users meet it when something is in the way.

use std::net::TcpListener;

use super::file::{ERROR, Folder, Program, experiment, free_address, own_proxy};
use super::support::{Client, Origin, field, ok};

/// Load on a proxy of the run's own, in front of a service that is always fine.
fn in_front(origin: &Origin, rules: &str) -> (Folder, std::net::SocketAddr) {
    let proxy = free_address();
    (Folder::with(&experiment(&own_proxy(proxy, origin.address), proxy, rules)), proxy)
}

#[test]
fn ctrl_c_in_the_fault_phase_removes_the_faults_and_writes_what_was_measured() {
    let origin = Origin::answering(|_| ok("ordered"));
    // Requests hang until they are let go: an end that leaves them hanging would be seen.
    let (folder, _) = in_front(&origin, "[[rule]]\nname = \"silent\"\n[[rule.fault]]\nkind = \"timeout\"\n");
    let mut program = folder.start(&[]);
    program.says("fault on").signal(libc::SIGINT);
    let ended = program.ends();
    assert_eq!(ended.code, Some(130), "{}", ended.stderr);
    let result = folder.result();
    assert_eq!(result["exit_code"], 130);
    let recovery = &result["runs"][0]["recovery"];
    assert_eq!(recovery["outcome"], "interrupted");
    assert!(recovery["ttr_s"].is_null());
    let windows = result["runs"][0]["windows"].as_array().expect("windows");
    assert!(windows.iter().any(|window| window["phase"] == "steady"), "what was measured is kept");
    assert!(folder.path().join("out/report.html").is_file());
}

#[test]
fn sigterm_before_the_fault_phase_ends_with_its_own_code() {
    let origin = Origin::answering(|_| ok("ordered"));
    let (folder, _) = in_front(&origin, ERROR);
    let mut program = folder.start(&[]);
    program.says("steady").signal(libc::SIGTERM);
    let ended = program.ends();
    assert_eq!(ended.code, Some(143), "{}", ended.stderr);
    assert_eq!(folder.result()["runs"][0]["rules"], serde_json::json!([]), "no rule was in force");
}

#[test]
fn kill_9_takes_the_runs_own_proxies_with_it() {
    let origin = Origin::answering(|_| ok("ordered"));
    let (folder, proxy) = in_front(&origin, ERROR);
    let mut program = folder.start(&[]);
    program.says("warm-up").signal(libc::SIGKILL);
    assert_eq!(program.ends().code, None);
    assert!(std::net::TcpStream::connect(proxy).is_err());
    let (head, _) = Client::connect(origin.address).send("GET / HTTP/1.1\r\nHost: o\r\n\r\n").read_message();
    assert_eq!((&head[..15], field(&head, "x-brownout")), ("HTTP/1.1 200 OK", None));
}

#[test]
fn a_bare_run_says_what_to_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let ended = Program::start(folder.path(), &["run"]).ends();
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("no experiment file") && ended.stderr.contains("brownout demo"), "{}", ended.stderr);
}

#[test]
fn a_target_that_is_neither_loopback_nor_private_is_refused() {
    let text =
        experiment(&own_proxy(free_address(), free_address()), "192.0.2.1:80".parse().expect("an address"), ERROR);
    let folder = Folder::with(&text.replace("192.0.2.1:80", "8.8.8.8:80"));
    let ended = folder.start(&[]).ends();
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("8.8.8.8"), "{}", ended.stderr);
    assert!(!folder.path().join("out").exists(), "nothing was run, nothing is reported");
}

#[test]
fn a_port_that_is_taken_ends_it_before_any_load() {
    let origin = Origin::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let proxy = taken.local_addr().expect("an address");
    let folder = Folder::with(&experiment(&own_proxy(proxy, origin.address), origin.address, ERROR));
    let ended = folder.start(&[]).ends();
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    assert!(ended.stderr.contains(&proxy.to_string()), "{}", ended.stderr);
    assert!(origin.try_accept().is_none(), "no load was sent");
}

#[test]
fn five_mistakes_are_told_at_once_each_with_its_line() {
    let text = experiment(&own_proxy(free_address(), free_address()), free_address(), ERROR)
        .replace("seed = 7", "sed = 7")
        .replace("rate = \"100/s\"", "rate = \"fast\"")
        .replace("success = \"90%\"", "success = \"190%\"")
        .replace("fault = \"2s\"", "fault = 2")
        .replace("status = 503", "status = 42");
    let line = |key: &str| 1 + text.lines().position(|line| line.starts_with(key)).expect("a line with it");
    let lines = ["sed = 7", "rate = \"fast\"", "success = \"190%\"", "fault = 2", "status = 42"].map(line);
    let folder = Folder::with(&text);
    let ended = folder.start(&[]).ends();
    assert_eq!(ended.code, Some(2));
    for line in lines {
        assert!(ended.stderr.contains(&format!("experiment.toml:{line}: ")), "line {line} in {}", ended.stderr);
    }
    assert!(ended.stderr.contains("5 problems"), "{}", ended.stderr);
}

#[test]
fn the_experiments_that_are_shipped_are_right() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/config/experiments");
    let files = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let mut check = std::process::Command::new(env!("CARGO_BIN_EXE_brownout"));
    let ports = [("NGINX_PORT", "1"), ("HAPROXY_PORT", "2"), ("BROWNOUT_PORT", "3")];
    let output = check.arg("check").args(files).envs(ports).output().expect("the program can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
