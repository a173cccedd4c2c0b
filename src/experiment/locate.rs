//! Where exactly recovery began: finer than a window, finer even than the 100-ms counts.

use super::gate::Gate;
use super::plan::Plan;
use super::runs::Mark;
use crate::results::{SUB_BIN_S, SubBin, Window};
use crate::stats::{Trials, rising_change};

/// A moment and the interval that it lies in, on the run's clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Located {
    /// The point estimate.
    pub at_s: f64,
    /// At the earliest.
    pub low_s: f64,
    /// At the latest.
    pub high_s: f64,
}

/// Counts on either side of the search that help to tell the two shares, in seconds; at least one window.
const CONTEXT_S: f64 = 0.5;

/// Finds the moment of recovery near the candidate's start: the change point of the success share between the start of
/// the bad window before the candidate (not before `t_off`) and the candidate's end.
///
/// Where there is none to be found (the window before was bad for its backlog alone, there are no counts, or the share
/// does not rise) it is the candidate's start, known to a window; after a good window, the candidate's start itself.
pub fn locate(windows: &[Window], marks: &[Mark], candidate: usize, gate: &Gate, t_off: f64, plan: &Plan) -> Located {
    let candidate_mark = &marks[candidate];
    let start_s = candidate_mark.start_s;
    let Some(previous) = candidate.checked_sub(1).map(|i| &marks[i]).filter(|mark| mark.bad) else {
        return Located { at_s: start_s, low_s: start_s, high_s: start_s };
    };
    // The window before may lie before fault-off: then its counts show what "ill" looks like, and the search begins at
    // fault-off. Without them a recovery within the first window would read as none at all.
    let from_s = previous.start_s.max(t_off);
    let rough = Located { at_s: start_s, low_s: from_s, high_s: start_s };
    let causes = gate.causes(&windows[previous.window]);
    let successes: fn(&SubBin) -> u32 = match (causes.attainment, causes.latency) {
        (true, _) => |bin| bin.good,
        (false, true) => |bin| bin.within,
        (false, false) => return rough,
    };
    let context = (CONTEXT_S / plan.window_s).ceil() as usize;
    let first = previous.window.saturating_sub(context);
    let last = (candidate_mark.window + context).min(windows.len() - 1);
    let origin_s = windows[first].start_s;
    let slice = |at_s: f64| (at_s - origin_s) / SUB_BIN_S;
    // A hair wider, against rounding: both ends belong to the range.
    let range = slice(from_s) - 1e-6..=slice(candidate_mark.end_s) + 1e-6;
    let slices = slices(&windows[first..=last], successes);
    let Some(change) = rising_change(&slices, range, plan.policy.likelihood_drop) else { return rough };
    // Arrivals are not spread evenly within a slice, so half of one is not known on either side.
    let moment = |at: f64| origin_s + at * SUB_BIN_S;
    Located { at_s: moment(change.at), low_s: moment(change.low - 0.5), high_s: moment(change.high + 0.5) }
}

/// The windows' counts in one row; invalid windows and missing counts keep their place and say nothing.
fn slices(windows: &[Window], successes: fn(&SubBin) -> u32) -> Vec<Trials> {
    let counted = |window: &Window| {
        let bins = (window.width_s / SUB_BIN_S).round() as usize;
        let trials = |bin: &SubBin| Trials { trials: u64::from(bin.sent), successes: u64::from(successes(bin)) };
        let usable = if window.valid { window.bins.as_slice() } else { &[] };
        (0..bins).map(|i| usable.get(i).map_or_else(Trials::default, trials)).collect::<Vec<Trials>>()
    };
    windows.iter().flat_map(counted).collect()
}
