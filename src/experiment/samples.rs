//! The proxies' counters, read now and then while a run goes on: what tells retries from requests.

use super::amounts::{Calls, Retries};
use super::plan::Plan;
use crate::results::Window;

/// Readings of one counter over a run.
#[derive(Debug, Default)]
pub(super) struct Samples {
    /// When, on the run's clock, how many requests the proxies had received.
    readings: Vec<(f64, u64)>,
    failures: u32,
}

/// One reading that fails is no loss; so many in a row are.
const FAILURES: u32 = 3;

impl Samples {
    /// Takes a reading.
    pub(super) fn take(&mut self, at_s: f64, received: u64) {
        self.failures = 0;
        self.readings.push((at_s, received));
    }

    /// A reading could not be had; whether that makes too many of them.
    pub(super) fn failed(&mut self) -> bool {
        self.failures += 1;
        self.failures >= FAILURES
    }

    /// Requests received by the proxies for those that the driver sent, in the steady phase and from fault-on until
    /// the system had recovered. Absent where there are no two readings.
    pub(super) fn retries(&self, windows: &[Window], plan: &Plan, until_s: f64) -> Option<Retries> {
        let t_on = plan.t_on();
        Some(Retries {
            baseline: self.calls(windows, plan.warmup_s, t_on)?,
            disturbed: self.calls(windows, t_on, until_s)?,
        })
    }

    /// Between the first reading in the span and the first one after it, or else the last one in it. Windows are
    /// wider than readings are late: the ones meant are those whose middle lies between the two.
    fn calls(&self, windows: &[Window], from_s: f64, to_s: f64) -> Option<Calls> {
        let first = self.readings.iter().position(|(at, _)| *at >= from_s)?;
        let after = self.readings.iter().position(|(at, _)| *at >= to_s);
        let last = after.unwrap_or(self.readings.len() - 1);
        let ((from, before), (to, counted)) = (self.readings.get(first)?, self.readings.get(last)?);
        let inside = windows.iter().filter(|w| {
            let middle = w.start_s + 0.5 * w.width_s;
            (*from..*to).contains(&middle)
        });
        Some(Calls { counted: counted.saturating_sub(*before), offered: inside.map(|w| w.sent).sum() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::fixtures::{plan, window};

    /// Readings every second, a few milliseconds late: this many calls for each of the 500 requests of a second.
    fn samples(calls: impl Fn(u64) -> u64, readings: u64) -> Samples {
        let mut samples = Samples::default();
        let mut received = 0;
        for second in 0..readings {
            samples.take(second as f64 + 0.003, received);
            received += 500 * calls(second);
        }
        samples
    }

    fn windows() -> Vec<Window> {
        (0..120).map(|second| window(second, 1.0)).collect()
    }

    #[test]
    fn the_retries_of_the_disturbance_are_held_against_the_steady_phase() {
        let samples = samples(|second| if (50..90).contains(&second) { 3 } else { 2 }, 120);
        let retries = samples.retries(&windows(), &plan(), 90.0).unwrap();
        assert_eq!(retries.baseline, Calls { counted: 40_000, offered: 20_000 });
        assert_eq!(retries.disturbed, Calls { counted: 60_000, offered: 20_000 });
        assert_eq!(retries.amplification(), Some(1.5));
    }

    #[test]
    fn a_run_that_ended_early_counts_up_to_its_last_reading() {
        let samples = samples(|_| 2, 56);
        let retries = samples.retries(&windows(), &plan(), 90.0).unwrap();
        assert_eq!(retries.disturbed, Calls { counted: 5_000, offered: 2_500 });
    }

    #[test]
    fn without_readings_there_is_nothing_to_say() {
        assert_eq!(Samples::default().retries(&windows(), &plan(), 90.0), None);
        assert_eq!(samples(|_| 1, 20).retries(&windows(), &plan(), 90.0), None, "no fault phase");
    }

    #[test]
    fn one_reading_that_fails_is_forgiven() {
        let mut samples = Samples::default();
        assert!(!samples.failed() && !samples.failed());
        samples.take(1.0, 1);
        assert!(!samples.failed() && !samples.failed() && samples.failed());
    }
}
