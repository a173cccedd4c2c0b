//! The grid of windows on the run's clock.

use std::time::Duration;

use super::spec::LoadSpec;
use crate::results::Phase;

/// Which window an offset lies in, and where windows begin and end.
#[derive(Debug)]
pub(super) struct Grid {
    spec: LoadSpec,
    width_ns: u64,
    /// When clients give up.
    pub(super) timeout: Duration,
    /// `L`.
    pub(super) good_within: Duration,
    /// Where arrivals end: the duration, or an early stop.
    pub(super) end: Duration,
}

/// Where a window lies and what it is judged by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    pub(super) start: Duration,
    /// Less than the grid's width only for a window that the end of the load cut short.
    pub(super) width: Duration,
    pub(super) cut: bool,
    pub(super) quantile: f64,
}

impl Grid {
    pub(super) fn new(spec: LoadSpec) -> Self {
        Self {
            width_ns: (spec.window.as_nanos() as u64).max(1),
            timeout: spec.scenario.timeout,
            good_within: spec.good_within(),
            end: spec.duration,
            spec,
        }
    }

    pub(super) fn width(&self) -> Duration {
        self.spec.window
    }

    pub(super) fn index(&self, at: Duration) -> u64 {
        at.as_nanos() as u64 / self.width_ns
    }

    pub(super) fn start(&self, index: u64) -> Duration {
        Duration::from_nanos(index.saturating_mul(self.width_ns))
    }

    pub(super) fn phase(&self, start: Duration) -> Phase {
        self.spec.phases.at(start)
    }

    /// How many windows there are.
    pub(super) fn windows(&self) -> u64 {
        (self.end.as_nanos() as u64).div_ceil(self.width_ns)
    }

    pub(super) fn frame(&self, index: u64) -> Frame {
        let (start, full_end) = (self.start(index), self.start(index + 1));
        let end = full_end.min(self.end);
        Frame { start, width: end.saturating_sub(start), cut: end < full_end, quantile: self.spec.quantile }
    }
}
