//! How a run is watched: a line on the terminal, gauges in the exporter.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

use crate::cli::output;
use crate::experiment::spectator::Spectator;
use crate::load::Observer;
use crate::results::{Phase, Run, Window};
use crate::telemetry::{LoadMetrics, Metrics};
use crate::units::{show_seconds, show_share};

/// One line, redrawn with every window on a terminal; elsewhere a line for each phase.
pub(super) struct Terminal {
    live: bool,
    phase: &'static str,
}

impl Terminal {
    pub(super) fn new() -> Self {
        Self { live: io::stderr().is_terminal() && !output::quiet(), phase: "" }
    }

    fn redraw(&self, text: &str) {
        if self.live {
            // Nobody is left to be told when stderr itself is gone.
            let _ = write!(io::stderr().lock(), "\r\x1b[2K{text}").and_then(|()| io::stderr().flush());
        }
    }
}

impl Spectator for Terminal {
    fn phase(&mut self, index: usize, of: usize, phase: Option<Phase>) {
        self.redraw("");
        self.phase = match phase {
            Some(Phase::Warmup) => "warm-up",
            Some(Phase::Steady) => "steady",
            Some(Phase::Fault) => "fault on",
            Some(Phase::Recovery) => "fault off, watching",
            None => return,
        };
        let run = if of > 1 { format!("run {index} of {of}: ") } else { String::new() };
        output::note(format_args!("{run}{}", self.phase));
    }

    fn window(&mut self, window: &Window) {
        let end = show_seconds(Some(window.start_s + window.width_s));
        let good = window.attainment.map_or("-".to_owned(), show_share);
        let (p95, flight) = (show_seconds(window.p95_s), window.in_flight);
        self.redraw(&format!("  {end}  good {good}  p95 {p95}  in flight {flight:.0}"));
    }

    fn measured(&mut self, _: &Run) {
        self.redraw("");
    }
}

/// The exporter's gauges.
pub(super) struct Exported(pub(super) Arc<Metrics>);

impl Spectator for Exported {
    fn phase(&mut self, _: usize, _: usize, phase: Option<Phase>) {
        self.0.run().phase(phase);
    }

    fn window(&mut self, window: &Window) {
        self.0.run().attainment(window.attainment);
    }

    fn measured(&mut self, run: &Run) {
        self.0.run().finished(&run.recovery);
    }
}

/// The exporter's figures of the load.
#[derive(Debug)]
pub(super) struct Metered(pub(super) Arc<LoadMetrics>);

impl Observer for Metered {
    fn planned(&self) {
        self.0.planned(1);
    }

    fn sent(&self, lag: Duration) {
        self.0.sent(lag);
    }

    fn ended(&self, latency: Duration, good: bool) {
        self.0.ended(latency, good);
    }

    fn missed(&self, was_sent: bool) {
        self.0.missed(1);
        if was_sent {
            self.0.withdrawn();
        }
    }
}
