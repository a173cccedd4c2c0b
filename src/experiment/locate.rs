//! Where exactly recovery began: finer than a window.

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

/// Finds the moment of recovery near the candidate's start: the change point of the success share over the 100-ms
/// counts. Where there is none to be found (the window before was bad for its backlog alone, or the share does not
/// rise), the candidate's start, known to a window; after a good window, the candidate's start itself.
pub fn locate(windows: &[Window], marks: &[Mark], candidate: usize, gate: &Gate, t_off: f64, plan: &Plan) -> Located {
    let start_s = marks[candidate].start_s;
    let Some(previous) = candidate.checked_sub(1).map(|i| &marks[i]).filter(|mark| mark.bad) else {
        return Located { at_s: start_s, low_s: start_s, high_s: start_s };
    };
    let from_s = previous.start_s.max(t_off);
    change_point(windows, previous, &marks[candidate], from_s, gate, plan).unwrap_or(Located {
        at_s: start_s,
        low_s: from_s,
        high_s: start_s,
    })
}

fn change_point(
    windows: &[Window],
    previous: &Mark,
    candidate: &Mark,
    from_s: f64,
    gate: &Gate,
    plan: &Plan,
) -> Option<Located> {
    let causes = gate.causes(&windows[previous.window]);
    let successes: fn(&SubBin) -> u32 = match (causes.attainment, causes.latency) {
        (true, _) => |bin| bin.good,
        (false, true) => |bin| bin.within,
        (false, false) => return None,
    };
    let first = previous.window.saturating_sub(LEFT);
    let last = (candidate.window + RIGHT).min(windows.len() - 1);
    let mut slices = Vec::new();
    for window in &windows[first..=last] {
        let bins = (window.width_s / SUB_BIN_S).round() as usize;
        let counts = |i| window.bins.get(i).filter(|_| window.valid);
        slices.extend((0..bins).map(|i| {
            counts(i).map_or(Trials::default(), |bin| Trials {
                trials: u64::from(bin.sent),
                successes: u64::from(successes(bin)),
            })
        }));
    }
    let origin_s = windows[first].start_s;
    let edge = |at_s: f64| ((at_s - origin_s) / SUB_BIN_S).round().max(0.0) as usize;
    let moment = |edge: usize| origin_s + edge as f64 * SUB_BIN_S;
    let change = rising_change(&slices, edge(from_s)..=edge(candidate.end_s), plan.policy.likelihood_drop)?;
    // A slice's requests cannot be told apart: the change may lie anywhere in the slices beside an edge.
    Some(Located {
        at_s: moment(change.edge),
        low_s: moment(change.low) - SUB_BIN_S,
        high_s: moment(change.high) + SUB_BIN_S,
    })
}

/// Windows before the one that was bad, and after the candidate, whose counts help to tell the two shares.
const LEFT: usize = 1;
const RIGHT: usize = 1;
