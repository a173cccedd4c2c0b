//! What is shipped for Prometheus and Grafana, held against a real Prometheus: it scrapes a running instance and a run,
//! and every panel of the dashboard is asked for its data.
//!
//! Needs prometheus and promtool (`scripts/setup test` installs them) and fails without them. Takes about 30 seconds.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a helper of a test may fail the test")]

#[path = "real_prometheus/figures.rs"]
mod figures;
#[path = "real_prometheus/processes.rs"]
mod processes;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use processes::{Exporter, Prometheus, Served, Traffic, Upstream, free_port, promtool};

/// Long enough for a busy machine; nothing waits this long when all is well.
const PATIENCE: Duration = Duration::from_secs(120);

fn shipped(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(path)
}

#[test]
fn the_shipped_rules_and_the_configuration_are_valid_and_alert_when_they_should() {
    promtool(&["check", "rules", "--lint-fatal"], &shipped("prometheus/alerts.yml"));
    promtool(&["check", "config", "--lint-fatal"], &shipped("prometheus/prometheus.yml"));
    promtool(&["test", "rules"], &shipped("prometheus/alerts.test.yml"));
}

#[test]
fn every_panel_of_the_dashboard_has_data_when_something_has_happened() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = Upstream::start();
    let served = Served::start(folder.path(), upstream.address);
    let _traffic = Traffic::start(served.proxies.clone());
    let exporter = Exporter::start();
    let _figures = figures::Figures::start(exporter.metrics.clone());
    let targets = [("brownout", served.metrics.as_str()), ("brownout", exporter.address.as_str())];
    let prometheus = Prometheus::start(folder.path(), &targets, &shipped("prometheus/alerts.yml"));

    let panels = queries(&shipped("grafana/brownout.json"));
    assert!(panels.len() > 40, "only {} queries were found", panels.len());
    let started = Instant::now();
    let mut empty: Vec<&(String, String)> = panels.iter().collect();
    while !empty.is_empty() {
        empty.retain(|(_, query)| !prometheus.has_data(query));
        assert!(started.elapsed() < PATIENCE, "no data for {empty:#?}\n{}", prometheus.targets());
        std::thread::sleep(Duration::from_millis(200));
    }
    prometheus.check_rules();
}

#[test]
fn a_run_can_be_scraped_from_its_first_phase_to_its_outcome() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = Upstream::start();
    let address = format!("127.0.0.1:{}", free_port());
    let prometheus = Prometheus::start(folder.path(), &[("run", address.as_str())], &shipped("prometheus/alerts.yml"));
    let mut run = processes::Run::start(folder.path(), upstream.address, &address);
    run.wait(PATIENCE);
    let over_the_run = |query: &str| {
        let found = prometheus.query(query);
        assert!(!found.is_empty(), "{query} has no data\n{}", run.said());
        found
    };
    for phase in ["warmup", "steady", "fault", "recovery"] {
        let query = format!("max_over_time(brownout_experiment_phase{{phase=\"{phase}\"}}[5m]) == 1");
        over_the_run(&query);
    }
    over_the_run("max_over_time(brownout_load_sent_total[5m]) > 500");
    over_the_run("max_over_time(brownout_load_latency_seconds_count[5m]) > 500");
    over_the_run("max_over_time(brownout_faults_total{rule=\"failing\",stage=\"injected\"}[5m]) > 0");
    over_the_run("min_over_time(brownout_slo_attainment_ratio[5m]) < 0.9");
    // Which outcome depends on how busy this machine is; that there is exactly one does not.
    assert_eq!(over_the_run("max_over_time(brownout_experiment_outcome[5m]) == 1").len(), 1);
}

/// Every query of every panel with the panel's title, Grafana's variables filled in.
fn queries(dashboard: &Path) -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(&fs::read_to_string(dashboard).unwrap()).unwrap();
    let fill = |expression: &str| {
        let filled = expression.replace("$__rate_interval", "5s").replace("$instance", ".*").replace("$proxy", ".*");
        assert!(!filled.contains('$'), "a variable was left in {filled}");
        filled
    };
    let mut queries = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        for target in panel["targets"].as_array().into_iter().flatten() {
            queries.push((title.to_owned(), fill(target["expr"].as_str().unwrap())));
        }
    }
    for annotation in dashboard["annotations"]["list"].as_array().unwrap() {
        if let Some(expression) = annotation["expr"].as_str() {
            queries.push(("annotation".to_owned(), fill(expression)));
        }
    }
    queries
}
