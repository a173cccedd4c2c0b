//! How late the precise timer is: the error of 1, 5, 50 and 1000 ms with 1, 100 and 1,000 sleeping at once,
//! beside tokio's own timer. `cargo bench --bench timer`

#![allow(clippy::print_stdout, clippy::expect_used, reason = "a bench prints, and ends when it cannot run")]

use std::time::Duration;

use brownout::clock::{self, Instant};

/// One cell of the table: errors in microseconds.
struct Errors(Vec<f64>);

impl Errors {
    fn quantile(&self, q: f64) -> f64 {
        self.0[((self.0.len() - 1) as f64 * q).round() as usize]
    }
}

#[derive(Clone, Copy)]
enum Timer {
    Precise,
    Tokio,
}

async fn measure(timer: Timer, wait: Duration, sleepers: usize) -> Errors {
    // About two seconds a cell, and at least three waits for each sleeper.
    let repeats = (Duration::from_secs(2).as_secs_f64() / wait.as_secs_f64()).ceil().clamp(3.0, 300.0) as usize;
    let tasks: Vec<_> = (0..sleepers)
        .map(|_| {
            tokio::spawn(async move {
                let mut errors = Vec::with_capacity(repeats);
                for _ in 0..repeats {
                    let due = Instant::now() + wait;
                    match timer {
                        Timer::Precise => clock::sleep_until(due).await,
                        Timer::Tokio => tokio::time::sleep_until(due).await,
                    }
                    let now = Instant::now();
                    assert!(now >= due, "a wait ended early");
                    errors.push((now - due).as_secs_f64() * 1e6);
                }
                errors
            })
        })
        .collect();
    let mut errors = Vec::new();
    for task in tasks {
        errors.extend(task.await.expect("a sleeper panicked"));
    }
    errors.sort_by(f64::total_cmp);
    Errors(errors)
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("no runtime");
    runtime.block_on(async {
        let _timer = clock::install().expect("no timerfd");
        println!("error of a wait in microseconds: p50 / p99 / max");
        println!("{:>8} {:>9}  {:>26}  {:>26}", "wait", "sleeping", "precise", "tokio");
        for wait in [1, 5, 50, 1000].map(Duration::from_millis) {
            for sleepers in [1, 100, 1000] {
                let mut cells = Vec::new();
                for timer in [Timer::Precise, Timer::Tokio] {
                    let e = measure(timer, wait, sleepers).await;
                    cells.push(format!("{:.0} / {:.0} / {:.0}", e.quantile(0.5), e.quantile(0.99), e.quantile(1.0)));
                }
                println!("{:>6}ms {sleepers:>9}  {:>26}  {:>26}", wait.as_millis(), cells[0], cells[1]);
            }
        }
    });
}
