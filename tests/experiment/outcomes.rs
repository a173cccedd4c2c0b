//! What a run says about systems whose behaviour is known.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use brownout::cli::run::{Settings, conduct};
use brownout::diagnostics::Node;
use brownout::experiment::spec::Experiment;
use brownout::results::{AmplificationSource, ExperimentResult, Impact, Outcome, Verdict};

use super::file::{ERROR, Folder, experiment, free_address, own_proxy};
use super::support::{Origin, ok};

fn run(text: &str) -> ExperimentResult {
    let document = Node::from_toml("experiment.toml", text).unwrap_or_else(|wrong| panic!("{wrong}"));
    let experiment = Experiment::resolve("experiment.toml", &document).unwrap_or_else(|wrong| panic!("{wrong}"));
    let target = experiment.scenario.target.resolve(&[]).expect("loopback is allowed");
    conduct(&experiment, target, &Settings::default()).expect("the run can begin").result
}

/// A service that asks its dependency for every order, until one call fails: then it fails for a second without asking.
fn breaker(dependency: SocketAddr) -> Origin {
    let open_until = Arc::new(Mutex::new(Instant::now()));
    Origin::answering(move |_| {
        let is_open = || Instant::now() < *open_until.lock().expect("nobody panics with it");
        if !is_open() && call(dependency) {
            return ok("ordered");
        }
        if !is_open() {
            *open_until.lock().expect("nobody panics with it") = Instant::now() + Duration::from_secs(1);
        }
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n".to_vec()
    })
}

fn call(dependency: SocketAddr) -> bool {
    let answer = || {
        let mut socket = TcpStream::connect(dependency)?;
        socket.write_all(b"GET /stock HTTP/1.1\r\nHost: stock\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        std::io::Result::Ok(answer)
    };
    answer().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200 "))
}

#[test]
fn a_service_behind_a_circuit_breaker_is_bad_in_the_fault_and_recovers_after_it() {
    let stock = Origin::answering(|_| ok("in stock"));
    let proxy = free_address();
    let shop = breaker(proxy);
    let result = run(&experiment(&own_proxy(proxy, stock.address), shop.address, ERROR));
    let run = &result.runs[0];
    let recovery = &run.recovery;
    assert_eq!(recovery.outcome, Outcome::Recovered, "{}", recovery.reason);
    assert_eq!((result.verdict, result.exit_code), (Verdict::Pass, 0));
    assert_eq!((recovery.impact, run.windows.len()), (Impact::Attainment, 23));
    let (ttr, (low, high)) = recovery.ttr_s.zip(recovery.ttr_interval_s).expect("a recovery time and its interval");
    assert!(low <= ttr && ttr <= high, "{low} <= {ttr} <= {high}");
    assert!(recovery.onset_at_s.is_some() && recovery.depth.is_some_and(|depth| depth > 0.9), "{recovery:?}");
    // While its breaker is open the service does not call: the opposite of a retry storm.
    assert_eq!(result.plan.amplification_seen_by, AmplificationSource::Proxy);
    assert!(recovery.retry_amplification.is_some_and(|calls| calls < 1.0), "{recovery:?}");
    let rule = &run.rules[0];
    assert!(rule.injected > 0 && rule.injected == rule.matched, "{rule:?}");
    assert!(run.edges.on_sent >= 3.5 && run.edges.off_acknowledged >= run.edges.off_sent, "{:?}", run.edges);
}

#[test]
fn a_fault_that_nobody_feels_is_withstood() {
    let origin = Origin::answering(|_| ok("ordered"));
    let proxy = free_address();
    let rule = "[[rule]]\nname = \"faint\"\n[[rule.fault]]\nkind = \"latency\"\ndelay = \"1ms\"\n";
    let result = run(&experiment(&own_proxy(proxy, origin.address), proxy, rule));
    let run = &result.runs[0];
    assert_eq!(run.recovery.outcome, Outcome::Withstood, "{}", run.recovery.reason);
    assert_eq!((result.exit_code, run.recovery.ttr_s), (0, None));
    assert!(run.rules[0].injected > 0);
    // The load arrives at the proxy itself: what the service behind it repeats is not seen there.
    assert_eq!(result.plan.amplification_seen_by, AmplificationSource::Driver);
}

#[test]
fn a_rule_that_hits_nothing_makes_the_run_no_test() {
    let origin = Origin::answering(|_| ok("ordered"));
    let proxy = free_address();
    let elsewhere = ERROR.replace("stock-503\"", "stock-503\"\nmatch = { path = \"/elsewhere\" }");
    let folder = Folder::with(&experiment(&own_proxy(proxy, origin.address), proxy, &elsewhere));
    let ended = folder.start(&[]).ends();
    assert_eq!(ended.code, Some(4), "{}", ended.stderr);
    let result = folder.result();
    assert_eq!((&result["verdict"], &result["exit_code"]), (&"invalid".into(), &4.into()));
    assert_eq!(result["runs"][0]["recovery"]["outcome"], "not_exercised");
    assert!(result["runs"][0]["recovery"]["ttr_s"].is_null(), "nothing was measured");
    assert!(folder.path().join("out/report.html").is_file());
}

#[test]
fn a_service_that_fails_without_any_fault_has_no_steady_state_and_is_not_degraded() {
    let origin = Origin::answering(|_| b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n".to_vec());
    let proxy = free_address();
    let result = run(&experiment(&own_proxy(proxy, origin.address), proxy, ERROR));
    let run = &result.runs[0];
    assert_eq!((run.recovery.outcome, result.exit_code), (Outcome::NoSteadyState, 4), "{}", run.recovery.reason);
    assert!(run.windows.len() <= 10, "it ended before the fault phase was over: {}", run.windows.len());
}
