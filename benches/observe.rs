//! What the metrics cost the data path: one exchange counted, by one thread and by all cores at once, without and
//! with somebody who scrapes. In CPU time of the counting threads, so that a busy machine does not blur it.
//! `cargo bench --bench observe`

#![allow(clippy::print_stdout, reason = "a bench prints")]

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use brownout::telemetry::Metrics;
use brownout::telemetry::events::{ExchangeEvent, ExchangeOutcome, Observer};

const ROUNDS: usize = 7;
const EVENTS: u32 = 1_000_000;

/// What a request that is passed on tells: its head was read, it has ended.
fn one_exchange(metrics: &dyn Observer, i: u32) {
    metrics.request_received("payments");
    metrics.exchange(&ExchangeEvent {
        proxy: "payments",
        route: if i.is_multiple_of(4) { "checkout" } else { "" },
        method: "GET",
        target: "/",
        status: Some(if i.is_multiple_of(16) { 503 } else { 200 }),
        outcome: ExchangeOutcome::Forwarded,
        trouble: None,
        duration: Duration::from_micros(u64::from(i % 3_000)),
        upstream: Some(Duration::from_micros(u64::from(i % 2_000))),
        injected: Duration::ZERO,
        trace: None,
        marks: "",
        bytes: (180, 320),
    });
}

/// CPU time of the calling thread.
fn cpu_time() -> Duration {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a timespec that lives through the call.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut now) };
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// Median nanoseconds of one exchange, over the rounds and the threads.
fn measure(threads: usize, scraping: bool) -> f64 {
    let metrics = Metrics::new();
    let done = AtomicBool::new(false);
    let mut nanos = std::thread::scope(|scope| {
        let scraper = scraping.then(|| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    black_box(metrics.text());
                    std::thread::sleep(Duration::from_millis(10));
                }
            })
        });
        let work = || {
            let observer: &dyn Observer = black_box(&*metrics);
            let rounds = (0..ROUNDS).map(|_| {
                let started = cpu_time();
                (0..EVENTS).for_each(|i| one_exchange(observer, black_box(i)));
                (cpu_time() - started).as_secs_f64() * 1e9 / f64::from(EVENTS)
            });
            rounds.collect::<Vec<_>>()
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let nanos: Vec<_> = workers.into_iter().flat_map(|worker| worker.join().unwrap_or_default()).collect();
        done.store(true, Ordering::Relaxed);
        drop(scraper);
        nanos
    });
    nanos.sort_by(f64::total_cmp);
    nanos[nanos.len() / 2]
}

fn main() {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!("{:>8} {:>9} {:>16}", "threads", "scraped", "ns an exchange");
    for (threads, scraping) in [(1, false), (cores, false), (cores, true)] {
        let scraped = if scraping { "100/s" } else { "no" };
        println!("{threads:>8} {scraped:>9} {:>16.0}", measure(threads, scraping));
    }
}
