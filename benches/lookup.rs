//! What rules cost a request that they do not hit, and what a swap costs: `cargo bench --bench lookup`.
//!
//! Medians over rounds, single thread, the load of the set included. Compare runs of one machine only.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a bench prints, and may stop where it stands")]

use std::cell::RefCell;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use brownout::diagnostics::{Node, Reader};
use brownout::faults::RequestView;
use brownout::rules::{Layer, RuleSpec, Store, read_rules};
use http::{HeaderMap, Method};
use serde_json::json;

/// As the program has it: most of a swap is freeing and allocating.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 15;
const LOOKUPS: u32 = 20_000;

/// Rules of three shapes in turn: a literal path, a named segment, any depth.
fn rules(count: usize) -> Vec<RuleSpec> {
    let rule = |n: usize| {
        let path = match n % 3 {
            0 => format!("/api/tenant-{n}/orders"),
            1 => format!("/api/tenant-{n}/orders/{{id}}"),
            _ => format!("/static/tenant-{n}/**"),
        };
        json!({ "name": format!("r{n}"), "match": { "method": "GET", "path": path },
                "trigger": { "probability": 0 }, "fault": [{ "kind": "error", "status": 503 }] })
    };
    let node = Node::from_json(&json!({ "rule": (0..count).map(rule).collect::<Vec<_>>() }));
    let problems = RefCell::default();
    let rules = read_rules(&mut Reader::new("bench", &node, "", &problems));
    assert!(problems.into_inner().is_empty());
    rules
}

fn median(mut rounds: Vec<Duration>) -> Duration {
    rounds.sort();
    rounds[rounds.len() / 2]
}

fn lookup(store: &Arc<Store>, path: &str) -> f64 {
    let mut headers = HeaderMap::new();
    headers.insert("user-agent", "bench".parse().unwrap());
    headers.insert("accept", "*/*".parse().unwrap());
    let request =
        RequestView { host: "shop.example", query: Some("a=b"), ..RequestView::of(&Method::GET, path, &headers) };
    let round = || {
        let start = Instant::now();
        for _ in 0..LOOKUPS {
            assert!(store.load().plan(black_box("p"), black_box(&request)).is_empty());
        }
        start.elapsed()
    };
    round();
    median((0..ROUNDS).map(|_| round()).collect()).as_secs_f64() * 1e9 / f64::from(LOOKUPS)
}

fn timed(mut deed: impl FnMut() -> Duration) -> f64 {
    median((0..ROUNDS).map(|_| deed()).collect()).as_secs_f64() * 1e3
}

fn main() {
    println!("rules    none matches (literal, {{id}}, deep)      one matches   swap all   swap one   switch");
    for count in [0, 10, 1_000, 100_000] {
        let all = rules(count);
        let store = Store::new(1);
        store.replace(&Layer::File, all.clone());
        let misses =
            ["/api/none/orders", "/api/tenant-0/orders/7/items", "/a/b/c/d/e/f"].map(|path| lookup(&store, path));
        // The middle rule, which is of the shape with a named segment; its probability is 0.
        let middle = count / 6 * 3 + 1;
        let hit = lookup(&store, &format!("/api/tenant-{middle}/orders/7"));
        let swap = timed(|| {
            let rules = all.clone();
            let start = Instant::now();
            store.replace(&Layer::File, rules);
            start.elapsed()
        });
        let one = rules(1);
        let swap_one = timed(|| {
            let rule = one.clone();
            let start = Instant::now();
            store.replace(&Layer::Api, rule);
            start.elapsed()
        });
        let mut on = false;
        let switch = timed(|| {
            let start = Instant::now();
            store.set_enabled(&Layer::File, "r0", std::mem::replace(&mut on, true));
            start.elapsed()
        });
        let [literal, named, deep] = misses;
        println!(
            "{count:>6}   {literal:>7.0} ns {named:>7.0} ns {deep:>7.0} ns    {hit:>9.0} ns {swap:>7.2} ms \
             {swap_one:>7.3} ms {switch:>6.3} ms"
        );
    }
}
