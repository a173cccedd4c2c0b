//! What requests notice of a swap of 100,000 rules: `cargo bench --bench swap`.
//!
//! Open-loop load through the proxy, in turns without and with a swap every half second, of which each replaces all
//! rules. The swapping thread, the driver, the proxy and the origin share this machine: what is shown is the wall
//! time that a user would see, the swap's own appetite for a core included.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a bench prints, and may stop where it stands"
)]

mod support;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use brownout::load::{Arrivals, Demand, Driver, LoadSpec, Operation, OperationText, Scenario, TargetUrl};
use brownout::results::LoadTotals;
use brownout::rules::{Layer, RuleSpec, Store};
use brownout::units::Rate;
use support::{Bench, Sample, bar, on_a_runtime, rules};

/// As the program has it: most of a swap is freeing and allocating.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const RULES: usize = 100_000;
const RATE: f64 = 2_000.0;
const TURN: Duration = Duration::from_secs(5);
const ROUNDS: usize = 6;
const SWAP_EVERY: Duration = Duration::from_millis(500);

fn main() {
    let bench = Bench::start();
    let sets = [set(1), set(2)];
    bench.rules.replace(&Layer::File, sets[0].clone());
    turn(&bench); // connections, caches
    println!("{RULES} rules, {RATE}/s through the proxy, {ROUNDS} rounds of {} s each: latency in ms", TURN.as_secs());
    println!("{:>6} {:>28} {:>42} {:>7}", "round", "no swap p50 / p99 / p99.9", "a swap each half second", "failed");
    let (mut ratios, mut failed, mut swaps) = (Vec::new(), 0, Vec::new());
    for round in 1..=ROUNDS {
        let quiet = turn(&bench);
        let (swapped, took) = while_swapping(&bench.rules, &sets, || turn(&bench));
        let lost = [&quiet, &swapped].map(|totals| totals.requests - totals.good + totals.missed);
        println!("{round:>6} {:>28} {:>42} {:>7}", show(&quiet), show(&swapped), lost[0] + lost[1]);
        ratios.push(swapped.latency_s.unwrap().p999 / quiet.latency_s.unwrap().p999);
        failed += lost[1];
        swaps.extend(took);
    }
    let (ratios, swaps) = (Sample::new(ratios), Sample::of_ms(&swaps));
    println!("{} swaps of {:.0} ms [{:.0}-{:.0}]", swaps.len(), swaps.quantile(0.5), swaps.min(), swaps.max());
    println!("{}", bar("swap, failed requests", "0", &failed.to_string(), failed == 0));
    let moved = format!("x {:.2} [{:.2}-{:.2}]", ratios.quantile(0.5), ratios.min(), ratios.max());
    println!("{}\n", bar("swap, p99.9 with swaps against without", "<= x 1.20", &moved, ratios.quantile(0.5) <= 1.2));
}

fn show(totals: &LoadTotals) -> String {
    let latency = totals.latency_s.unwrap();
    format!("{:.3} / {:.3} / {:.3}", latency.p50 * 1e3, latency.p99 * 1e3, latency.p999 * 1e3)
}

/// 100,000 rules that the load does not match; another edition has another content for each.
fn set(edition: u64) -> Vec<RuleSpec> {
    let rule = |n: usize| {
        serde_json::json!({
            "name": format!("r{n}"), "match": { "path": format!("/api/tenant-{n}/orders/{{id}}") },
            "fault": [{ "kind": "latency", "delay": format!("{edition}ms") }]
        })
    };
    rules(&(0..RULES).map(rule).collect::<Vec<_>>().into())
}

/// One turn of load.
fn turn(bench: &Bench) -> LoadTotals {
    let target = TargetUrl::parse(&format!("http://{}/api/none/orders/1024", bench.address)).unwrap();
    let operation = OperationText {
        name: None,
        method: None,
        path: target.path().to_owned(),
        headers: Vec::new(),
        body: String::new(),
        weight: 1.0,
    };
    let resolved = target.resolve(&[]).unwrap();
    let timeout = Duration::from_secs(2);
    let rate = Rate::new(RATE).unwrap();
    let demand = Demand::Open { rate, arrivals: Arrivals::Poisson };
    let operations = vec![Operation::new(operation).unwrap()];
    let scenario = Scenario { target, operations, demand, timeout, connections: 64 };
    let spec = LoadSpec::new(scenario, resolved, TURN);
    on_a_runtime(async { Driver::start(spec).unwrap().join().await.unwrap().totals })
}

/// Swaps all rules again and again while something else goes on; how long each swap took.
fn while_swapping<T>(store: &Arc<Store>, sets: &[Vec<RuleSpec>; 2], deed: impl FnOnce() -> T) -> (T, Vec<Duration>) {
    let (go_on, stop) = channel();
    std::thread::scope(|scope| {
        let swapping = scope.spawn(move || swap_until(&stop, store, sets));
        let done = deed();
        drop(go_on);
        (done, swapping.join().expect("the swapping thread has panicked"))
    })
}

fn swap_until(stop: &Receiver<()>, store: &Store, sets: &[Vec<RuleSpec>; 2]) -> Vec<Duration> {
    let mut took = Vec::new();
    for set in sets.iter().rev().cycle() {
        let copy = set.clone();
        let start = Instant::now();
        store.replace(&Layer::File, copy);
        took.push(start.elapsed());
        if stop.recv_timeout(SWAP_EVERY) != Err(RecvTimeoutError::Timeout) {
            break;
        }
    }
    took
}
