//! The figures of a run, without a run: what a runner would have written, whatever this machine is busy with.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use brownout::results::{Impact, Outcome, Phase, Recovery, SplitAmount};
use brownout::telemetry::Metrics;

/// Writes until it is dropped.
pub(crate) struct Figures {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Figures {
    pub(crate) fn start(metrics: Arc<Metrics>) -> Self {
        metrics.run().phase(Some(Phase::Fault));
        metrics.run().attainment(Some(0.93));
        metrics.run().finished(&recovery());
        let over = Arc::new(AtomicBool::new(false));
        let told = over.clone();
        let thread = std::thread::spawn(move || {
            let load = metrics.load();
            while !told.load(Ordering::Relaxed) {
                load.planned(10);
                load.missed(1);
                for _ in 0..9 {
                    load.sent(Duration::from_micros(120));
                    load.ended(Duration::from_millis(8), true);
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        Self { over, thread: Some(thread) }
    }
}

impl Drop for Figures {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn recovery() -> Recovery {
    Recovery {
        outcome: Outcome::Recovered,
        reason: String::new(),
        ttr_s: Some(4.5),
        ttr_interval_s: Some((4.3, 4.7)),
        censored_at_s: None,
        ttfr_s: Some(4.5),
        tti_s: Some(0.2),
        onset_at_s: Some(10.2),
        recovered_at_s: Some(20.5),
        outage_s: 10.0,
        depth: Some(1.0),
        depth_of_baseline: Some(0.01),
        residual: Some(1.0),
        latency_ratio_max: None,
        impact: Impact::Attainment,
        resilience_loss_s: Some(SplitAmount { during_fault: 6.0, after_fault: 4.0 }),
        goodput_lost: None,
        iso_resiliency: None,
        burn_rate: None,
        retry_amplification: Some(1.7),
        drain_s: None,
    }
}
