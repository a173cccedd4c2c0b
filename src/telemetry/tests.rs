//! What a scrape shows after something has happened, and what it does not show before.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method};

use super::events::{ConnectionEvent, ExchangeEvent, ExchangeOutcome, HandshakeFailure, Observer, Trouble};
use super::*;
use crate::diagnostics::{Node, Problems, Reader};
use crate::faults::RequestView;
use crate::names::metrics::{ALL, Type};
use crate::results::{Impact, Outcome, Phase, Recovery, SplitAmount};
use crate::rules::{Layer, RuleSet, RuleSpec, Store, read_rules};

fn event<'a>(proxy: &'a str, route: &'a str, status: Option<u16>) -> ExchangeEvent<'a> {
    ExchangeEvent {
        proxy,
        route,
        method: "GET",
        target: "/",
        status,
        outcome: ExchangeOutcome::Forwarded,
        trouble: None,
        duration: Duration::from_millis(3),
        upstream: Some(Duration::from_millis(2)),
        injected: Duration::ZERO,
        trace: None,
        marks: "",
        bytes: (100, 200),
    }
}

fn rules(toml: &str) -> Vec<RuleSpec> {
    let node = Node::from_toml("r.toml", toml).unwrap();
    let problems = RefCell::default();
    let rules = read_rules(&mut Reader::new("r.toml", &node, "", &problems));
    problems.into_inner().or(rules).unwrap()
}

fn error_rule(name: &str) -> String {
    format!("[[rule]]\nname = \"{name}\"\nlease = \"10m\"\n[[rule.fault]]\nkind = \"error\"\nstatus = 503\n")
}

/// Plans one request and lets it go: the rule matched, triggered and was skipped.
fn hit(set: &RuleSet) {
    let headers = HeaderMap::new();
    drop(set.plan("p", &RequestView::of(&Method::GET, "/", &headers)));
}

fn recovery() -> Recovery {
    Recovery {
        outcome: Outcome::Recovered,
        reason: String::new(),
        ttr_s: Some(4.5),
        ttr_interval_s: None,
        censored_at_s: None,
        ttfr_s: None,
        tti_s: Some(0.25),
        onset_at_s: None,
        recovered_at_s: None,
        outage_s: 0.0,
        depth: None,
        depth_of_baseline: None,
        residual: None,
        latency_ratio_max: None,
        impact: Impact::Attainment,
        resilience_loss_s: Some(SplitAmount { during_fault: 1.0, after_fault: 2.0 }),
        goodput_lost: None,
        iso_resiliency: None,
        burn_rate: None,
        retry_amplification: Some(1.5),
        drain_s: None,
    }
}

/// Metrics of a process in which everything has happened once.
fn busy() -> Arc<Metrics> {
    let metrics = Metrics::new();
    let trouble = ExchangeEvent { trouble: Some(Trouble::UpstreamReset), ..event("p", "r", Some(502)) };
    metrics.connections("p", 1);
    metrics.handshake_failed("p", HandshakeFailure::Timeout);
    metrics.request_received("p");
    metrics.exchange(&trouble);
    metrics.exchange(&ExchangeEvent { injected: Duration::from_secs(1), ..event("p", "r", None) });
    metrics.moved("p", 10, 20);
    metrics.connection_ended(&ConnectionEvent {
        proxy: "p",
        outcome: ExchangeOutcome::Forwarded,
        trouble: None,
        duration: Duration::from_secs(1),
        bytes: (10, 20),
    });
    let store = Store::new(1);
    metrics.watch_rules(store.clone());
    store.replace(&Layer::File, rules(&error_rule("broken")));
    hit(&store.load());
    metrics.kill_switch_persisted(true);
    metrics.reloads().record(Problems::default());
    let load = metrics.load();
    load.planned(3);
    load.missed(1);
    load.sent(Duration::from_micros(80));
    load.sent(Duration::from_micros(90));
    load.ended(Duration::from_millis(7), true);
    metrics.run().phase(Some(Phase::Fault));
    metrics.run().attainment(Some(0.5));
    metrics.run().finished(&recovery());
    metrics
}

fn text(metrics: &Metrics) -> String {
    String::from_utf8(metrics.text()).unwrap()
}

/// The value of one series, written as in the text format.
fn value(text: &str, series: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

#[test]
fn every_metric_is_scraped_with_its_type_and_labels_after_its_first_event() {
    let text = text(&busy());
    for metric in ALL {
        let kind = format!("# TYPE {} {}\n", metric.name, metric.kind.name());
        assert_eq!(text.matches(&kind).count(), 1, "{kind}{text}");
        let suffix = if metric.kind == Type::Histogram { "_count" } else { "" };
        let start = format!("{}{suffix}", metric.name);
        let series = text.lines().find(|line| line.starts_with(&start)).unwrap();
        let labels: Vec<_> = series.split(['{', ',']).skip(1).map(|label| label.split_once('=').unwrap().0).collect();
        assert_eq!(labels, metric.labels, "{series}");
    }
    let families: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    assert!(families.is_sorted());
    assert!(families.contains(&"process_resident_memory_bytes gauge"), "{text}");
}

#[test]
fn the_figures_are_those_of_what_happened() {
    let text = text(&busy());
    for (series, expected) in [
        ("brownout_requests_total{proxy=\"p\",route=\"r\",code=\"502\",outcome=\"forwarded\"}", 1.0),
        ("brownout_requests_total{proxy=\"p\",route=\"r\",code=\"none\",outcome=\"forwarded\"}", 1.0),
        ("brownout_requests_received_total{proxy=\"p\"}", 1.0),
        ("brownout_request_duration_seconds_bucket{proxy=\"p\",route=\"r\",le=\"0.0025\"}", 0.0),
        ("brownout_request_duration_seconds_bucket{proxy=\"p\",route=\"r\",le=\"0.005\"}", 2.0),
        ("brownout_request_duration_seconds_bucket{proxy=\"p\",route=\"r\",le=\"+Inf\"}", 2.0),
        ("brownout_request_duration_seconds_sum{proxy=\"p\",route=\"r\"}", 0.006),
        ("brownout_injected_delay_seconds_count{proxy=\"p\",route=\"r\"}", 1.0),
        ("brownout_proxy_errors_total{proxy=\"p\",reason=\"upstream-reset\"}", 1.0),
        ("brownout_tls_handshake_failures_total{proxy=\"p\",reason=\"timeout\"}", 1.0),
        ("brownout_received_bytes_total{proxy=\"p\"}", 210.0),
        ("brownout_sent_bytes_total{proxy=\"p\"}", 420.0),
        ("brownout_tcp_connections_total{proxy=\"p\",outcome=\"forwarded\"}", 1.0),
        ("brownout_faults_total{rule=\"broken\",kind=\"error\",stage=\"matched\"}", 1.0),
        ("brownout_faults_active{rule=\"broken\",kind=\"error\"}", 0.0),
        ("brownout_kill_switch_engaged", 0.0),
        ("brownout_rules_last_reload_successful", 1.0),
        ("brownout_load_sent_total", 2.0),
        ("brownout_load_in_flight", 1.0),
        ("brownout_experiment_phase{phase=\"fault\"}", 1.0),
        ("brownout_experiment_phase{phase=\"steady\"}", 0.0),
        ("brownout_experiment_outcome{outcome=\"recovered\"}", 1.0),
        ("brownout_experiment_outcome{outcome=\"never_recovered\"}", 0.0),
        ("brownout_recovery_time_seconds", 4.5),
        ("brownout_recovery_censored", 0.0),
        ("brownout_resilience_loss_seconds", 3.0),
    ] {
        assert_eq!(value(&text, series), Some(expected), "{series}\n{text}");
    }
}

#[test]
fn what_has_not_happened_is_absent_and_not_zero() {
    let text = text(&Metrics::new());
    let names: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("# TYPE brownout_")).collect();
    assert_eq!(names, ["build_info gauge"], "{text}");
}

#[test]
fn a_run_that_did_not_recover_has_no_recovery_time() {
    let metrics = busy();
    let censored = Recovery {
        outcome: Outcome::NeverRecovered,
        ttr_s: None,
        censored_at_s: Some(60.0),
        tti_s: None,
        ..recovery()
    };
    metrics.run().finished(&censored);
    let text = text(&metrics);
    assert_eq!(value(&text, "brownout_recovery_time_seconds"), None);
    assert_eq!(value(&text, "brownout_time_to_impact_seconds"), None);
    assert_eq!(value(&text, "brownout_recovery_censored"), Some(1.0));
    assert_eq!(value(&text, "brownout_experiment_outcome{outcome=\"never_recovered\"}"), Some(1.0));
    assert_eq!(value(&text, "brownout_experiment_outcome{outcome=\"recovered\"}"), Some(0.0));
}

#[test]
fn the_counts_of_all_threads_are_added_up_and_outlive_them() {
    let metrics = Metrics::new();
    let other = Metrics::new();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (metrics, other) = (&metrics, &other);
            scope.spawn(move || {
                for i in 0..1_000 {
                    metrics.request_received("p");
                    metrics.exchange(&event("p", if i % 2 == 0 { "even" } else { "" }, Some(200 + thread)));
                    other.request_received("q");
                }
                metrics.connections("p", 1);
                metrics.connections("p", if thread == 0 { 0 } else { -1 });
            });
        }
    });
    let text = text(&metrics);
    assert_eq!(metrics.received("p"), 4_000);
    assert_eq!((metrics.received("q"), other.received("q")), (0, 4_000));
    assert_eq!(value(&text, "brownout_connections_open{proxy=\"p\"}"), Some(1.0));
    for code in 200..204 {
        for route in ["even", ""] {
            let series = format!(
                "brownout_requests_total{{proxy=\"p\",route=\"{route}\",code=\"{code}\",outcome=\"forwarded\"}}"
            );
            assert_eq!(value(&text, &series), Some(500.0), "{text}");
        }
    }
    assert_eq!(value(&text, "brownout_request_duration_seconds_count{proxy=\"p\",route=\"even\"}"), Some(2_000.0));
}

#[test]
fn after_a_thousand_rules_the_rest_share_a_label_and_their_number_is_shown() {
    let store = Store::new(1);
    let metrics = Metrics::new();
    metrics.watch_rules(store.clone());
    let toml: String = (0..1_003).map(|i| error_rule(&format!("r{i:04}"))).collect();
    store.replace(&Layer::File, rules(&toml));
    hit(&store.load());
    let first = text(&metrics);
    assert_eq!(value(&first, "brownout_rules_folded"), Some(3.0));
    let matched = |text: &str, rule: &str| {
        value(text, &format!("brownout_faults_total{{rule=\"{rule}\",kind=\"error\",stage=\"matched\"}}"))
    };
    assert_eq!((matched(&first, "r0999"), matched(&first, "r1000")), (Some(1.0), None));
    assert_eq!(matched(&first, "_other"), Some(3.0));
    // A rule keeps its label when others go, and a rule without one does not get theirs: no counter may fall.
    store.replace(&Layer::File, rules(&error_rule("r1002")));
    hit(&store.load());
    let second = text(&metrics);
    assert_eq!((matched(&second, "r0999"), matched(&second, "_other")), (Some(1.0), Some(4.0)));
    assert_eq!(value(&second, "brownout_rules_folded"), Some(3.0));
}

#[test]
fn a_lease_is_shown_by_the_time_at_which_it_ends() {
    let store = Store::new(1);
    let metrics = Metrics::new();
    metrics.watch_rules(store.clone());
    store.replace(&Layer::File, rules(&error_rule("broken")));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    let end = value(&text(&metrics), "brownout_rule_lease_expiry_timestamp_seconds{rule=\"broken\"}").unwrap();
    assert!((end - now - 600.0).abs() < 60.0, "{end} {now}");
    store.remove_layer(&Layer::File);
    assert!(!text(&metrics).contains("lease_expiry"));
}

#[test]
fn the_latch_and_a_failed_reload_are_seen() {
    let store = Store::new(1);
    let metrics = Metrics::new();
    metrics.watch_rules(store.clone());
    metrics.reloads().record(Problems::default());
    metrics.reloads().record(Problems::one("r.toml", "wrong", None));
    store.off();
    let text = text(&metrics);
    assert_eq!(value(&text, "brownout_kill_switch_engaged"), Some(1.0));
    assert_eq!(value(&text, "brownout_rules_last_reload_successful"), Some(0.0));
    assert!(value(&text, "brownout_rules_last_reload_success_timestamp_seconds").unwrap() > 1e9);
    assert_eq!(value(&text, "brownout_rules_generation"), Some(store.generation() as f64));
}

/// The rows of the table in `docs/metrics.md`.
fn documented() -> BTreeMap<String, String> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    let text = std::fs::read_to_string(path).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| `brownout_"));
    rows.map(|row| (row.split('`').nth(1).unwrap().to_owned(), row.to_owned())).collect()
}

#[test]
fn every_metric_is_documented_and_nothing_else_is() {
    let documented = documented();
    let mut expected = BTreeSet::new();
    for metric in ALL {
        let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let row = format!("| `{}` | {} | {} | {} |", metric.name, metric.kind.name(), labels.join(", "), metric.help);
        assert_eq!(documented.get(metric.name), Some(&row), "docs/metrics.md should have this row:\n{row}\n");
        expected.insert(metric.name);
    }
    let unknown: Vec<_> = documented.keys().filter(|name| !expected.contains(name.as_str())).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}
