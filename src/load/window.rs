//! A window while its requests are still under way, and what is left of it after that.

use std::time::Duration;

use super::ending::ErrorKind;
use super::grid::Frame;
use super::spec::SUB_BIN;
use crate::results::{Phase, SubBin, Window};
use crate::stats::Histogram;

/// What is known of a window as long as a request of it may still end.
#[derive(Debug)]
pub(super) struct OpenWindow {
    pub(super) phase: Phase,
    pub(super) planned: u64,
    pub(super) missed: u64,
    pub(super) success: u64,
    good: u64,
    timeouts: u64,
    errors: u64,
    /// Request-seconds in flight within the window.
    pub(super) flight: f64,
    bins: Vec<SubBin>,
    /// Taken when the first request is issued, so that a window without any costs next to nothing.
    times: Option<Times>,
}

/// The distributions of one open window. They are reduced to quantiles when it is final, and used again.
#[derive(Debug)]
pub(super) struct Times {
    /// Of successes and timeouts.
    latency: Histogram<u32>,
    lag: Histogram<u32>,
}

impl Times {
    pub(super) fn new(timeout: Duration) -> Self {
        Self { latency: Histogram::new(timeout, 3), lag: Histogram::new(timeout, 2) }
    }

    pub(super) fn reset(&mut self) {
        self.latency.reset();
        self.lag.reset();
    }

    fn bytes(&self) -> usize {
        self.latency.bytes() + self.lag.bytes()
    }
}

/// How a request of a window ended, as the window counts it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counted {
    /// From the start of the window to its intended start.
    pub(super) offset: Duration,
    /// The timeout, if it ended by that.
    pub(super) latency: Duration,
    pub(super) result: Result<(), ErrorKind>,
    pub(super) good: bool,
    pub(super) within: bool,
}

impl OpenWindow {
    pub(super) fn new(phase: Phase, width: Duration) -> Self {
        Self {
            phase,
            planned: 0,
            missed: 0,
            success: 0,
            good: 0,
            timeouts: 0,
            errors: 0,
            flight: 0.0,
            bins: vec![SubBin::default(); bins(width)],
            times: None,
        }
    }

    /// Bytes of an open window of this width, distributions included.
    pub(super) fn bytes(width: Duration, timeout: Duration) -> usize {
        size_of::<Self>() + size_of::<Window>() + bins(width) * size_of::<SubBin>() + Times::new(timeout).bytes()
    }

    /// Requests with a result.
    pub(super) fn ended(&self) -> u64 {
        self.success + self.timeouts + self.errors
    }

    /// Arrivals of which it is not known yet what becomes of them.
    pub(super) fn outstanding(&self) -> u64 {
        self.planned - self.missed - self.ended()
    }

    pub(super) fn issued(&mut self, lag: Option<Duration>, times: impl FnOnce() -> Times) {
        let times = self.times.get_or_insert_with(times);
        if let Some(lag) = lag {
            times.lag.record(lag);
        }
    }

    pub(super) fn count(&mut self, request: Counted) {
        match request.result {
            Ok(()) => self.success += 1,
            Err(kind) if kind.is_timeout() => self.timeouts += 1,
            Err(_) => self.errors += 1,
        }
        if counts_as_latency(request.result)
            && let Some(times) = &mut self.times
        {
            times.latency.record(request.latency);
        }
        self.good += u64::from(request.good);
        let bin = (request.offset.as_nanos() / SUB_BIN.as_nanos()) as usize;
        if let Some(bin) = self.bins.get_mut(bin) {
            bin.sent += 1;
            bin.good += u32::from(request.good);
            bin.within += u32::from(request.within);
        }
    }

    /// Reduces the window to what is kept of it, and hands back the memory of its distributions.
    pub(super) fn close(self, frame: Frame) -> (Window, Option<Times>) {
        let (sent, width_s) = (self.ended(), frame.width.as_secs_f64());
        let latency = |q: f64| self.times.as_ref().and_then(|times| times.latency.quantile(q));
        let lag_p99_s = self.times.as_ref().and_then(|times| times.lag.quantile(0.99)).unwrap_or(0.0);
        let window = Window {
            start_s: frame.start.as_secs_f64(),
            width_s,
            phase: self.phase,
            planned: self.planned,
            sent,
            missed: self.missed,
            success: self.success,
            good: self.good,
            timeouts: self.timeouts,
            errors: self.errors,
            attainment: (sent > 0).then(|| self.good as f64 / sent as f64),
            goodput_per_s: self.good as f64 / width_s,
            p50_s: latency(0.5),
            p95_s: latency(0.95),
            p99_s: latency(0.99),
            p_q_s: latency(frame.quantile),
            in_flight: self.flight / width_s,
            lag_p99_s,
            valid: !frame.cut && self.planned > 0 && kept_up(self.planned, sent, lag_p99_s, width_s),
            bad: None,
            bins: self.bins,
        };
        (window, self.times)
    }
}

fn bins(width: Duration) -> usize {
    (width.as_nanos() / SUB_BIN.as_nanos()) as usize
}

/// Latencies are those of successes and timeouts. Errors are often fast: they would make a failing target look quick.
pub(super) fn counts_as_latency(result: Result<(), ErrorKind>) -> bool {
    result.err().is_none_or(ErrorKind::is_timeout)
}

/// RECOVERY.md's `V`: 99 % of the arrivals issued, and sent at most 10 ms or a tenth of the window late.
fn kept_up(planned: u64, sent: u64, lag_p99_s: f64, width_s: f64) -> bool {
    sent * 100 >= planned * 99 && lag_p99_s <= (width_s / 10.0).max(0.01)
}
