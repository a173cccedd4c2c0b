//! How much was lost: depth, loss, backlog, retries.

use super::gate::Gate;
use super::plan::Plan;
use super::runs::{bad_runs, gate_marks, marks};
use super::search::TICK_S;
use crate::results::{Baseline, Impact, SplitAmount, Window};
use crate::stats::median;

/// Requests that a counter saw while the driver offered so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Calls {
    /// `U`: requests that the proxy behind the system received; in front of it, attempts that the driver made.
    pub counted: u64,
    /// `O`: logical requests that the driver sent meanwhile.
    pub offered: u64,
}

/// What is needed to tell whether the fault made somebody retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// Over the steady phase.
    pub baseline: Calls,
    /// From fault-on until recovery, or the end.
    pub disturbed: Calls,
}

impl Retries {
    /// `RA = (U/O) / (U0/O0)`, baselined because one request may well cause several calls. Absent where a count is 0.
    pub fn amplification(&self) -> Option<f64> {
        let ratio = |calls: Calls| (calls.offered > 0).then(|| calls.counted as f64 / calls.offered as f64);
        let baseline = ratio(self.baseline).filter(|u0| *u0 > 0.0)?;
        Some(ratio(self.disturbed)? / baseline)
    }
}

/// `1 - min A/A0` over means of two valid windows in a row, not below 0. Absent with fewer than two windows.
pub fn depth<'a>(windows: impl Iterator<Item = &'a Window>, a0: f64) -> Option<f64> {
    let attainment: Vec<f64> = windows.filter(|w| w.valid).filter_map(|w| w.attainment).collect();
    let lowest = attainment.windows(2).map(|pair| 0.5 * (pair[0] + pair[1])).min_by(f64::total_cmp)?;
    Some((1.0 - lowest / a0).max(0.0))
}

/// Median attainment of the windows that start in the last `hold_s` before `end_s`, over `A0`.
pub fn residual(windows: &[Window], end_s: f64, hold_s: f64, a0: f64) -> Option<f64> {
    let last = windows.iter().filter(|w| w.valid && w.start_s >= end_s - hold_s - TICK_S);
    let attainment: Vec<f64> = last.filter_map(|w| w.attainment).collect();
    median(&attainment).map(|a| a / a0)
}

/// Highest judged quantile of the windows from `from_s` on, over `P0`.
pub fn latency_ratio_max(windows: &[Window], from_s: f64, p0: Option<f64>) -> Option<f64> {
    let p0 = p0.filter(|p0| *p0 > 0.0)?;
    let later = windows.iter().filter(|w| w.valid && w.start_s >= from_s - TICK_S);
    later.filter_map(|w| w.p_q_s).max_by(f64::total_cmp).map(|p| p / p0)
}

/// Bad time, and what was lost in it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Losses {
    /// Sum of bad time.
    pub outage_s: f64,
    /// Seconds of full outage lost.
    pub resilience_loss_s: SplitAmount,
    /// Good requests lost.
    pub goodput_lost: SplitAmount,
}

/// Sums over the bad windows among these: `w`, `max(0, 1 - A/A0) w` and `max(0, O A0 - G)`, split at `t_off`.
pub fn losses<'a>(windows: impl Iterator<Item = &'a Window>, gate: &Gate, a0: f64, t_off: f64) -> Losses {
    let nothing = SplitAmount { during_fault: 0.0, after_fault: 0.0 };
    let mut losses = Losses { outage_s: 0.0, resilience_loss_s: nothing, goodput_lost: nothing };
    for window in windows.filter(|w| w.valid && gate.is_bad(w)) {
        let lost = window.attainment.map_or(0.0, |a| (1.0 - a / a0).max(0.0));
        let requests = (window.sent as f64 * a0 - window.good as f64).max(0.0);
        losses.outage_s += window.width_s;
        let after = window.start_s >= t_off - TICK_S;
        for (split, amount) in
            [(&mut losses.resilience_loss_s, lost * window.width_s), (&mut losses.goodput_lost, requests)]
        {
            *if after { &mut split.after_fault } else { &mut split.during_fault } += amount;
        }
    }
    losses
}

/// `(1-A)/(1-SLO)` over the windows that start in the fault phase. Absent without an SLO below 100 % on success.
pub fn burn_rate(windows: &[Window], t_on: f64, t_off: f64, plan: &Plan) -> Option<f64> {
    let slo = plan.slo.success.map(|share| share.get()).filter(|slo| *slo < 1.0)?;
    attainment_between(windows, t_on, t_off).map(|a| (1.0 - a) / (1.0 - slo))
}

/// Good requests over sent ones of the valid windows that start in `[from_s, to_s)`.
pub fn attainment_between(windows: &[Window], from_s: f64, to_s: f64) -> Option<f64> {
    let phase = windows.iter().filter(|w| w.valid && w.start_s >= from_s - TICK_S && w.start_s < to_s - TICK_S);
    let (good, sent) = phase.fold((0, 0), |(good, sent), w| (good + w.good, sent + w.sent));
    (sent > 0).then(|| good as f64 / sent as f64)
}

/// When the requests in flight were first within their limit after `t_off`, counted from it: the start of that window.
/// Absent without a limit, or if they never were.
pub fn drain_s(windows: &[Window], t_off: f64, in_flight_max: Option<f64>) -> Option<f64> {
    let limit = in_flight_max?;
    let drained = |w: &&Window| w.valid && w.start_s >= t_off - TICK_S && w.in_flight <= limit;
    windows.iter().find(drained).map(|w| (w.start_s - t_off).max(0.0))
}

/// What moved: the first of attainment, latency and backlog that alone makes a bad run of these windows; failing
/// that, the first that made any of them bad in a bad run.
pub fn impact(windows: &[Window], gate: &Gate) -> Impact {
    const ORDER: [Impact; 3] = [Impact::Attainment, Impact::LatencyOnly, Impact::BacklogOnly];
    let caused = |w: &Window, impact: Impact| match (gate.causes(w), impact) {
        (causes, Impact::Attainment) => causes.attainment,
        (causes, Impact::LatencyOnly) => causes.latency,
        (causes, Impact::BacklogOnly) => causes.in_flight,
        (_, Impact::None) => false,
    };
    let all = gate_marks(windows, gate);
    let runs = bad_runs(&all);
    let hurt = |impact: &&Impact| {
        let own = |w: &Window| (caused(w, **impact), caused(w, **impact) && gate.is_severe(w));
        !bad_runs(&marks(windows, own)).is_empty()
    };
    let touched = |impact: &&Impact| {
        let mut hit = runs.iter().flat_map(|run| &all[run.first..run.end]);
        hit.any(|mark| caused(&windows[mark.window], **impact))
    };
    ORDER.iter().find(hurt).or_else(|| ORDER.iter().find(touched)).copied().unwrap_or(Impact::None)
}

/// The depth statistic over the baseline's own windows: what chance alone gives.
pub fn depth_of_baseline(windows: &[Window], baseline: &Baseline) -> Option<f64> {
    let inside = |w: &&Window| w.start_s >= baseline.from_s - TICK_S && w.start_s < baseline.to_s - TICK_S;
    depth(windows.iter().filter(inside), baseline.attainment)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::fixtures::{plan, run, steady, window};
    use crate::experiment::slo::Slo;
    use crate::units::Share;

    fn near(found: Option<f64>, expected: f64) -> bool {
        found.is_some_and(|found| (found - expected).abs() < 1e-9)
    }

    #[test]
    fn depth_is_the_worst_pair_of_windows() {
        let windows = run([(50..51, 0.2), (60..62, 0.5)]);
        assert!(near(depth(windows.iter(), 1.0), 0.5), "one window alone counts half");
        assert!(near(depth(windows[61..63].iter(), 1.0), 0.25));
        assert_eq!(depth(windows[..1].iter(), 1.0), None);
        assert_eq!(depth(windows[100..110].iter(), 0.9), Some(0.0), "better than the baseline is not below zero");
    }

    #[test]
    fn losses_are_summed_over_bad_windows_and_split_at_fault_off() {
        let windows = run([(50..80, 0.5), (80..90, 0.8), (120..121, 0.98)]);
        let losses = losses(windows.iter(), &steady().gate, 1.0, 80.0);
        assert!((losses.outage_s - 40.0).abs() < 1e-9);
        assert!((losses.resilience_loss_s.during_fault - 15.0).abs() < 1e-9, "{losses:?}");
        assert!((losses.resilience_loss_s.after_fault - 2.0).abs() < 1e-9, "{losses:?}");
        assert!((losses.goodput_lost.during_fault - 7500.0).abs() < 1e-9, "{losses:?}");
        assert!((losses.goodput_lost.after_fault - 1000.0).abs() < 1e-9, "{losses:?}");
    }

    #[test]
    fn the_residual_is_the_median_of_the_last_hold() {
        assert!(near(residual(&run([(80..200, 0.7)]), 200.0, 30.0, 1.0), 0.7));
        assert!(near(residual(&run([(80..184, 0.7)]), 200.0, 30.0, 1.0), 1.0));
    }

    #[test]
    fn the_burn_rate_is_absent_without_an_objective_below_100_percent() {
        let windows = run([(50..80, 0.9)]);
        let burn =
            |success| burn_rate(&windows, 50.0, 80.0, &Plan { slo: Slo { success, ..Slo::default() }, ..plan() });
        assert!(near(burn(Share::new(0.99)), 10.0), "{:?}", burn(Share::new(0.99)));
        assert_eq!((burn(None), burn(Share::new(1.0))), (None, None));
    }

    #[test]
    fn retries_are_counted_against_the_usual_number_of_calls() {
        let retries = |u0, o0, u, o| Retries {
            baseline: Calls { counted: u0, offered: o0 },
            disturbed: Calls { counted: u, offered: o },
        };
        assert!(near(retries(200, 100, 600, 100).amplification(), 3.0));
        for absent in [retries(0, 100, 600, 100), retries(200, 0, 600, 100), retries(200, 100, 600, 0)] {
            assert_eq!(absent.amplification(), None);
        }
    }

    #[test]
    fn the_backlog_is_drained_when_it_is_first_within_its_limit() {
        let mut windows = run([]);
        for w in &mut windows[60..95] {
            w.in_flight = 400.0;
        }
        assert_eq!(drain_s(&windows, 80.0, Some(60.0)), Some(15.0));
        assert_eq!(drain_s(&windows, 80.0, Some(500.0)), Some(0.0));
        assert_eq!(drain_s(&windows, 80.0, None), None);
        assert_eq!(drain_s(&windows[..95], 80.0, Some(60.0)), None);
    }

    #[test]
    fn the_impact_names_what_moved() {
        let gate = steady().gate;
        assert_eq!(impact(&run([]), &gate), Impact::None);
        assert_eq!(impact(&run([(50..80, 0.5)]), &gate), Impact::Attainment);
        let slow = |range: std::ops::Range<usize>| {
            let mut windows = run([]);
            windows[range].iter_mut().for_each(|w| w.p_q_s = Some(0.5));
            windows
        };
        assert_eq!(impact(&slow(50..80), &gate), Impact::LatencyOnly);
        // One window short of answers in a long slow phase is chance.
        let mut mixed = slow(50..80);
        mixed[60] = Window { p_q_s: Some(0.5), ..window(60, 0.94) };
        assert_eq!(impact(&mixed, &gate), Impact::LatencyOnly);
        let mut crowded = run([]);
        crowded[50..80].iter_mut().for_each(|w| w.in_flight = 400.0);
        assert_eq!(impact(&crowded, &gate), Impact::BacklogOnly);
    }

    #[test]
    fn a_slow_system_shows_in_its_latency_ratio() {
        let mut windows = run([]);
        windows[20].p_q_s = Some(9.0);
        windows[60].p_q_s = Some(0.5);
        assert!(near(latency_ratio_max(&windows, 50.0, Some(0.1)), 5.0));
        assert_eq!(latency_ratio_max(&windows, 50.0, None), None);
    }

    #[test]
    fn chance_alone_gives_the_baseline_some_depth() {
        let mut windows = run([]);
        windows[30] = window(30, 0.96);
        assert!(near(depth_of_baseline(&windows, &steady().baseline), 0.02));
    }
}
