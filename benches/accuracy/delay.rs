//! The error of an injected delay, as a client sees it.
//!
//! *Sleeping* requests wait in the proxy while a delay is measured: a crowd whose members are put to sleep for 0.5 to
//! 1.5 s again and again, and the probes. A probe sends an undelayed and a delayed request in turn, after a pause of
//! random length; the error is the delayed one's duration less the delay and less the median of the undelayed ones.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use brownout::clock::{self, Instant};
use http_body_util::BodyExt;

use crate::client::{Client, Protocol};
use crate::support::{Bench, Sample, bar, on_a_runtime, rules};

const DELAYS: [Duration; 4] =
    [Duration::from_millis(1), Duration::from_millis(5), Duration::from_millis(50), Duration::from_millis(1000)];
const SLEEPING: [usize; 3] = [1, 100, 1000];
/// How long one cell is measured.
const CELL: Duration = Duration::from_secs(5);
/// Requests that are measured at once, at most; the rest of those that sleep is the crowd.
const PROBES: usize = 50;

struct Cell {
    plain: Sample,
    error: Sample,
    /// The shortest delayed request less the delay: below zero, it would have been answered early.
    earliest: f64,
}

pub(crate) fn run(bench: &Bench) {
    let mut all: Vec<serde_json::Value> = DELAYS.iter().map(|d| rule(&format!("{}", d.as_millis()))).collect();
    all.push(serde_json::json!({
        "name": "crowd", "match": { "path": "/crowd/**" },
        "fault": [{ "kind": "latency", "delay": { "distribution": "uniform", "min": "500ms", "max": "1500ms" } }]
    }));
    bench.rules.replace(&brownout::rules::Layer::File, rules(&all.into()));
    println!("Injected delay through the proxy: error in ms, as the client sees it");
    println!(
        "{:<9} {:>8} {:>9} {:>8} {:>14} {:>24} {:>15}",
        "", "delay", "sleeping", "requests", "undelayed p50", "error p50 / p99 / max", "earliest - delay"
    );
    let (mut worst, mut earliest) = ((0f64, 0f64), f64::MAX);
    for protocol in Protocol::ALL {
        for sleeping in SLEEPING {
            for (delay, cell) in level(protocol, bench.address, sleeping) {
                let [p50, p99, max] = [0.5, 0.99, 1.0].map(|q| cell.error.quantile(q));
                println!(
                    "{:<9} {:>6}ms {sleeping:>9} {:>8} {:>14.3} {p50:>8.3} {p99:>7.3} {max:>7.3} {:>16.3}",
                    protocol.name(),
                    delay.as_millis(),
                    cell.error.len(),
                    cell.plain.quantile(0.5),
                    cell.earliest,
                );
                worst = (worst.0.max(p50), worst.1.max(p99));
                earliest = earliest.min(cell.earliest);
            }
        }
    }
    println!("{}", bar("delay, worst p50 error", "<= 0.2 ms", &format!("{:.3} ms", worst.0), worst.0 <= 0.2));
    println!("{}", bar("delay, worst p99 error", "<= 1 ms", &format!("{:.3} ms", worst.1), worst.1 <= 1.0));
    println!("{}\n", bar("delay, never early", ">= 0", &format!("{earliest:.3} ms"), earliest >= 0.0));
}

fn rule(milliseconds: &str) -> serde_json::Value {
    serde_json::json!({
        "name": format!("delay-{milliseconds}"), "match": { "path": format!("/delay-{milliseconds}/**") },
        "fault": [{ "kind": "latency", "delay": format!("{milliseconds}ms") }]
    })
}

/// All delays with so many requests sleeping.
fn level(protocol: Protocol, address: SocketAddr, sleeping: usize) -> Vec<(Duration, Cell)> {
    let (awake, is_awake) = channel();
    let (go_on, stop) = tokio::sync::oneshot::channel::<()>();
    let probes = sleeping.min(PROBES);
    let crowd = sleeping - probes;
    let sleepers = std::thread::spawn(move || {
        on_a_runtime(async {
            for client in Client::many(protocol, address, crowd).await {
                tokio::spawn(sleep_again_and_again(client, awake.clone()));
            }
            drop(awake);
            let _ = stop.await;
        });
    });
    for _ in 0..crowd {
        is_awake.recv().expect("the crowd has gone");
    }
    let cells = DELAYS.map(|delay| (delay, on_a_runtime(measure(protocol, address, delay, probes))));
    drop(go_on);
    sleepers.join().expect("the crowd has panicked");
    cells.into()
}

async fn sleep_again_and_again(mut client: Client, awake: std::sync::mpsc::Sender<()>) {
    let mut awake = Some(awake);
    loop {
        client.get("/crowd/16").await.collect().await.unwrap();
        if let Some(awake) = awake.take() {
            let _ = awake.send(());
        }
    }
}

async fn measure(protocol: Protocol, address: SocketAddr, delay: Duration, probes: usize) -> Cell {
    let path: Arc<str> = format!("/delay-{}/16", delay.as_millis()).into();
    let end = clock::now() + CELL;
    let clients = Client::many(protocol, address, probes).await;
    let tasks: Vec<_> = clients.into_iter().map(|client| tokio::spawn(probe(client, path.clone(), end))).collect();
    let (mut plain, mut delayed) = (Vec::new(), Vec::new());
    for task in tasks {
        let (p, d) = task.await.unwrap();
        plain.extend(p);
        delayed.extend(d);
    }
    let plain = Sample::of_ms(&plain);
    let delay = delay.as_secs_f64() * 1e3;
    let taken: Vec<f64> = delayed.iter().map(|t| t.as_secs_f64() * 1e3 - delay).collect();
    let earliest = taken.iter().copied().fold(f64::MAX, f64::min);
    let error = Sample::new(taken.iter().map(|t| t - plain.quantile(0.5)).collect());
    Cell { plain, error, earliest }
}

/// Durations of undelayed and delayed requests.
async fn probe(mut client: Client, path: Arc<str>, end: Instant) -> (Vec<Duration>, Vec<Duration>) {
    let (mut plain, mut delayed) = (Vec::new(), Vec::new());
    // The first pair opens connections upstream.
    for path in ["/plain/16", &path] {
        client.get(path).await.collect().await.unwrap();
    }
    while clock::now() < end {
        for (path, times) in [("/plain/16", &mut plain), (&path, &mut delayed)] {
            clock::sleep(Duration::from_secs_f64(rand::random_range(0.01..0.05))).await;
            let start = clock::now();
            let answer = client.get(path).await;
            times.push(clock::now() - start);
            answer.collect().await.unwrap();
        }
    }
    (plain, delayed)
}
