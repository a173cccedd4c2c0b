//! One run of the driver.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::progress::Observer;
use super::scenario::Scenario;
use super::target::Target;
use super::window::OpenWindow;
use crate::results::Phase;

/// Which phase the window that starts at an offset from the origin belongs to.
#[derive(Clone)]
pub struct Phases(Arc<dyn Fn(Duration) -> Phase + Send + Sync>);

impl Phases {
    /// Any function of the window's start.
    pub fn new(phase_at: impl Fn(Duration) -> Phase + Send + Sync + 'static) -> Self {
        Self(Arc::new(phase_at))
    }

    /// Warm-up for windows that start earlier than this, steady from then on.
    pub fn steady_after(warmup: Duration) -> Self {
        Self::new(move |start| if start < warmup { Phase::Warmup } else { Phase::Steady })
    }

    /// The phase of the window that starts here.
    pub fn at(&self, start: Duration) -> Phase {
        (self.0)(start)
    }
}

impl fmt::Debug for Phases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Phases(..)")
    }
}

/// One run of the driver: what to send, for how long, and how to count it.
#[derive(Debug, Clone)]
pub struct LoadSpec {
    /// What is sent and how often.
    pub scenario: Scenario,
    /// Where it goes: [`TargetUrl::resolve`](super::TargetUrl::resolve) of the scenario's.
    pub target: Target,
    /// Intended starts lie before this.
    pub duration: Duration,
    /// Width of a window: whole tenths of a second. The grid starts at the origin.
    pub window: Duration,
    /// The phase of each window. Windows in [`Phase::Warmup`] are delivered but do not count in the totals.
    pub phases: Phases,
    /// `L`: a later success is not good; the timeout if absent.
    pub good_latency: Option<Duration>,
    /// `q` of [`Window::p_q_s`](crate::results::Window::p_q_s).
    pub quantile: f64,
    /// Seeds arrivals and variables.
    pub seed: u64,
    /// Whether requests carry [`SEQUENCE_HEADER`](super::SEQUENCE_HEADER).
    pub numbered: bool,
    /// Is told of every request as it happens.
    pub observer: Option<Arc<dyn Observer>>,
}

/// Windows are counted in steps of this.
pub const SUB_BIN: Duration = Duration::from_millis(100);

impl LoadSpec {
    /// A run of one-second windows without warm-up, judged on the 95 % quantile, requests not numbered.
    pub fn new(scenario: Scenario, target: Target, duration: Duration) -> Self {
        Self {
            scenario,
            target,
            duration,
            window: Duration::from_secs(1),
            phases: Phases::steady_after(Duration::ZERO),
            good_latency: None,
            quantile: 0.95,
            seed: 0,
            numbered: false,
            observer: None,
        }
    }

    /// `L`: what a good request stays within.
    pub fn good_within(&self) -> Duration {
        self.good_latency.unwrap_or(self.scenario.timeout).min(self.scenario.timeout)
    }

    /// Bytes that the recorder holds for a window as long as a request of it is under way, its final form included:
    /// about 57 KiB at a timeout of 2 s, whatever the rate. Final windows keep only their [`Window`].
    ///
    /// [`Window`]: crate::results::Window
    pub fn bytes_per_open_window(&self) -> usize {
        OpenWindow::bytes(self.window, self.scenario.timeout)
    }

    /// # Errors
    /// Names the field whose value the driver cannot work with.
    pub fn check(&self) -> Result<(), SpecError> {
        let whole_bins = self.window.as_nanos().is_multiple_of(SUB_BIN.as_nanos());
        if self.window.is_zero() || !whole_bins {
            return Err(SpecError("the window is not a whole number of tenths of a second"));
        }
        if self.duration.is_zero() {
            return Err(SpecError("the duration is zero"));
        }
        if self.scenario.timeout < Duration::from_millis(1) {
            return Err(SpecError("the timeout is shorter than 1ms"));
        }
        if self.scenario.connections == 0 || self.scenario.operations.is_empty() {
            return Err(SpecError("there is no connection or no operation to send"));
        }
        if !(self.quantile > 0.0 && self.quantile <= 1.0) {
            return Err(SpecError("the quantile does not lie in (0, 1]"));
        }
        Ok(())
    }
}

/// A spec that the driver cannot work with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("load: {0}")]
pub struct SpecError(&'static str);
