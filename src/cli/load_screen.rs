//! What `brownout load` shows on stderr while it runs.

use std::io::{self, IsTerminal, Write};

use super::output;
use crate::load::{LoadSpec, Progress};
use crate::units::{show_count, show_seconds, show_share};

/// The progress line on stderr: redrawn on a terminal, else one line a second.
pub(super) struct Screen {
    terminal: bool,
    ended_before: u64,
    warned: bool,
}

impl Screen {
    pub(super) fn new() -> Self {
        Self { terminal: io::stderr().is_terminal(), ended_before: 0, warned: false }
    }

    pub(super) fn show(&mut self, progress: &Progress, spec: &LoadSpec) {
        let counts = progress.counts;
        if !self.warned && counts.ended > 0 && counts.unconnected == counts.ended {
            self.warned = true;
            self.clear();
            output::note(nothing_reached(spec, counts.ended));
        }
        let line = progress_line(progress, counts.ended - self.ended_before);
        self.ended_before = counts.ended;
        if !self.terminal {
            output::note(line);
        } else if !output::quiet() {
            let mut stderr = io::stderr().lock();
            let _ = write!(stderr, "\r\x1b[2K{line}").and_then(|()| stderr.flush());
        }
    }

    /// Somebody has read that nothing is reached.
    pub(super) fn has_warned(&self) -> bool {
        self.warned && !output::quiet()
    }

    pub(super) fn clear(&self) {
        if self.terminal && !output::quiet() {
            let _ = write!(io::stderr().lock(), "\r\x1b[2K");
        }
    }
}

fn progress_line(progress: &Progress, ended: u64) -> String {
    let counts = progress.counts;
    let good = if counts.ended == 0 { "-".to_owned() } else { show_share(counts.good as f64 / counts.ended as f64) };
    let (p50, p99) = progress.latency_s.unzip();
    let mut line = format!(
        "{:>6}  {:>8}/s  good {good:<6}  p50 {:<7} p99 {:<7} in flight {}",
        format!("{:.0}s", progress.elapsed.as_secs_f64()),
        show_count(ended),
        show_seconds(p50),
        show_seconds(p99),
        show_count(counts.in_flight)
    );
    for (name, count) in [("failed", counts.failed), ("missed", counts.missed)] {
        if count > 0 {
            line += &format!("  {name} {}", show_count(count));
        }
    }
    line
}

/// A target that cannot be reached at all is a result, but nobody should have to look for it.
pub(super) fn nothing_reached(spec: &LoadSpec, requests: u64) -> String {
    let addresses: Vec<String> = spec.target.addresses().iter().map(ToString::to_string).collect();
    format!(
        "warning: NOTHING REACHED {}: none of {} requests got a connection; is the target running?",
        addresses.join(", "),
        show_count(requests)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Counts;
    use std::time::Duration;

    #[test]
    fn the_progress_line_fits_a_terminal_and_shows_trouble_only_when_there_is_some() {
        let mut progress = Progress {
            elapsed: Duration::from_millis(12_003),
            counts: Counts { planned: 6_010, ended: 6_000, good: 6_000, in_flight: 10, ..Counts::default() },
            connections_opened: 12,
            latency_s: Some((0.0012, 0.035)),
        };
        let calm = progress_line(&progress, 500);
        assert_eq!(calm, "   12s       500/s  good 100%    p50 1.20ms  p99 35.0ms  in flight 10");
        progress.counts = Counts { good: 5_000, failed: 1_000, missed: 3, ..progress.counts };
        let trouble = progress_line(&progress, 500);
        assert!(trouble.ends_with("failed 1,000  missed 3") && trouble.chars().count() <= 100, "{trouble}");
        assert!(progress_line(&Progress::default(), 0).contains("good -"));
    }
}
