//! How even a slowed body is: rate, head, first byte and gaps, as a client sees them.

use std::net::SocketAddr;
use std::time::Duration;

use brownout::clock;
use http_body_util::BodyExt;

use crate::client::{Client, Protocol};
use crate::support::{Bench, Sample, bar, on_a_runtime, rules};

/// Name, bytes a second, and a body of two seconds.
const RATES: [(&str, u64); 2] = [("64KiB", 64 << 10), ("1MiB", 1 << 20)];
const SECONDS: u64 = 2;
const AT_ONCE: [usize; 2] = [1, 20];
const ROUNDS: usize = 3;

/// What one client saw.
struct Body {
    head: Duration,
    /// First byte after the head.
    first: Duration,
    /// Last byte after the head.
    taken: Duration,
    gaps: Vec<Duration>,
}

pub(crate) fn run(bench: &Bench) {
    let all: Vec<_> = RATES
        .iter()
        .map(|(name, _)| {
            serde_json::json!({ "name": format!("slow-{name}"), "match": { "path": format!("/slow-{name}/**") },
                                "fault": [{ "kind": "slow-body", "rate": format!("{name}/s") }] })
        })
        .collect();
    bench.rules.replace(&brownout::rules::Layer::File, rules(&all.into()));
    println!(
        "slow-body through the proxy, {SECONDS} s of body, {ROUNDS} rounds: times in ms after the head, as the client sees them"
    );
    println!(
        "{:<9} {:>8} {:>8} {:>22} {:>24} {:>11} {:>27}",
        "",
        "rate",
        "at once",
        "rate error p50, worst",
        "head p50 (undelayed)",
        "first byte",
        "gaps p50 / p99 / longest"
    );
    let (mut rate_error, mut head_delay, mut longest) = (0f64, f64::MIN, 0f64);
    for protocol in Protocol::ALL {
        for (name, rate) in RATES {
            for at_once in AT_ONCE {
                let cell = on_a_runtime(measure(protocol, bench.address, name, rate, at_once));
                println!("{:<9} {name:>6}/s {at_once:>8} {cell}", protocol.name());
                rate_error = rate_error.max(cell.rate_error.max().abs()).max(cell.rate_error.min().abs());
                head_delay = head_delay.max(cell.head.quantile(0.5) - cell.plain_head.quantile(0.5));
                longest = longest.max(cell.gaps.max());
            }
        }
    }
    println!("{}", bar("slow-body, worst rate error", "+-1 %", &format!("{rate_error:.2} %"), rate_error <= 1.0));
    println!("{}", bar("slow-body, head held back", "<= 1 ms", &format!("{head_delay:.2} ms"), head_delay <= 1.0));
    println!("{}\n", bar("slow-body, longest gap", "<= 50 ms", &format!("{longest:.1} ms"), longest <= 50.0));
}

struct Cell {
    /// Per cent: above zero the body came too slowly.
    rate_error: Sample,
    head: Sample,
    plain_head: Sample,
    first: Sample,
    gaps: Sample,
}

impl std::fmt::Display for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let e = &self.rate_error;
        let worst = if e.max().abs() > e.min().abs() { e.max() } else { e.min() };
        let errors = format!("{:+.2} %, {worst:+.2} %", e.quantile(0.5));
        let heads = format!("{:.2} ({:.2})", self.head.quantile(0.5), self.plain_head.quantile(0.5));
        let g = &self.gaps;
        let gaps = format!("{:.2} / {:.2} / {:.2}", g.quantile(0.5), g.quantile(0.99), g.max());
        write!(f, "{errors:>22} {heads:>24} {:>11.2} {gaps:>27}", self.first.quantile(0.5))
    }
}

async fn measure(protocol: Protocol, address: SocketAddr, name: &str, rate: u64, at_once: usize) -> Cell {
    let length = rate * SECONDS;
    let mut clients = Client::many(protocol, address, at_once).await;
    let (mut plain, mut slow) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        for client in &mut clients {
            plain.push(fetch(client, "/plain/1024").await.head);
        }
        let path = format!("/slow-{name}/{length}");
        slow.extend(futures_util::future::join_all(clients.iter_mut().map(|c| fetch(c, &path))).await);
    }
    let errors = slow.iter().map(|b| (b.taken.as_secs_f64() / SECONDS as f64 - 1.0) * 100.0).collect();
    let of = |get: fn(&Body) -> Duration| Sample::of_ms(&slow.iter().map(get).collect::<Vec<_>>());
    Cell {
        rate_error: Sample::new(errors),
        head: of(|b| b.head),
        plain_head: Sample::of_ms(&plain),
        first: of(|b| b.first),
        gaps: Sample::of_ms(&slow.iter().flat_map(|b| b.gaps.iter().copied()).collect::<Vec<_>>()),
    }
}

async fn fetch(client: &mut Client, path: &str) -> Body {
    let start = clock::now();
    let mut answer = client.get(path).await.into_body();
    let head_at = clock::now();
    let (mut last, mut first, mut gaps) = (head_at, None, Vec::new());
    while let Some(frame) = answer.frame().await {
        if frame.unwrap().data_ref().is_none_or(bytes::Bytes::is_empty) {
            continue;
        }
        let now = clock::now();
        match first {
            None => first = Some(now - head_at),
            Some(_) => gaps.push(now - last),
        }
        last = now;
    }
    Body { head: head_at - start, first: first.unwrap_or_default(), taken: last - head_at, gaps }
}
