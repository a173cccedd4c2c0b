//! The steady state: what the system is compared with, and whether it was steady at all.

use super::gate::Gate;
use super::plan::Plan;
use super::policy::Mode;
use super::runs::{bad_runs, gate_marks};
use crate::results::{Baseline, Phase, Thresholds, Window};
use crate::stats::{coefficient_of_variation, mad, median, normal_quantile, quantile, theil_sen};
use crate::units::{show_seconds, show_share};

/// A steady state and the limits that follow from it.
#[derive(Debug, Clone, PartialEq)]
pub struct SteadyState {
    /// Medians over the baseline windows.
    pub baseline: Baseline,
    /// The gate that the policy's mode names: windows are judged by it.
    pub gate: Gate,
    /// The other gate's limits, for comparison.
    pub other: Thresholds,
}

/// Why there is no steady state. Every text is a sentence for the report.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Unsteady {
    /// Too many windows were invalid, or the steady phase was cut short.
    #[error("the steady phase has {found} valid windows, the baseline takes {needed}")]
    TooFewWindows {
        /// Valid windows before the fault's reach.
        found: usize,
        /// Windows that the policy asks for.
        needed: usize,
    },
    /// Most requests fail without any fault.
    #[error("only {} of the requests were good before the fault, at least {} are needed", show_share(*.attainment), show_share(*.needed))]
    MostlyFailing {
        /// `A0`.
        attainment: f64,
        /// The policy's bound.
        needed: f64,
    },
    /// The limit that follows from the baseline would call everything good.
    #[error(
        "the attainment before the fault varies so much by chance that no window could be called bad: raise the rate or the window"
    )]
    NoAttainmentLimit,
    /// The limit that follows from the baseline lies beyond the timeout.
    #[error("a window would be slow only above {}, which the timeout of {} cuts off: a longer timeout is needed", show_seconds(Some(*.limit_s)), show_seconds(Some(*.timeout_s)))]
    LatencyLimitBeyondTimeout {
        /// `l_max`.
        limit_s: f64,
        /// The client's timeout.
        timeout_s: f64,
    },
    /// The attainment is noisy.
    #[error("the attainment before the fault varies by {}, at most {} is steady", show_share(*.variation), show_share(*.allowed))]
    Varies {
        /// Coefficient of variation.
        variation: f64,
        /// The policy's bound.
        allowed: f64,
    },
    /// The attainment has a trend.
    #[error("the attainment before the fault drifted by {}, at most {} is steady", show_share(*.drift), show_share(*.allowed))]
    Drifts {
        /// Change over the baseline as a share of its median.
        drift: f64,
        /// The policy's bound.
        allowed: f64,
    },
    /// The gate itself calls too much of the baseline bad.
    #[error("{bad} of {windows} windows before the fault were bad{}", if *.run { ", some of them in a run" } else { "" })]
    AlreadyBad {
        /// Bad windows.
        bad: usize,
        /// Baseline windows.
        windows: usize,
        /// They form a bad run.
        run: bool,
    },
}

/// Takes the baseline from the last valid windows of the steady phase that end before `t_on` minus the timeout (a
/// request that starts later can be hit by the fault), and tests that it was steady.
///
/// # Errors
/// The first test that fails.
pub fn measure_baseline(windows: &[Window], t_on: f64, plan: &Plan) -> Result<SteadyState, Unsteady> {
    let policy = &plan.policy;
    let needed = policy.baseline_windows;
    let reach = t_on - plan.timeout_s + 1e-6;
    let eligible = |w: &&Window| w.phase == Phase::Steady && w.valid && w.start_s + w.width_s <= reach;
    let mut taken: Vec<Window> = windows.iter().rev().filter(eligible).take(needed).cloned().collect();
    taken.reverse();
    if taken.len() < needed {
        return Err(Unsteady::TooFewWindows { found: taken.len(), needed });
    }
    let mut baseline = summarise(&taken);
    if baseline.attainment < policy.min_attainment.get() {
        let needed = policy.min_attainment.get();
        return Err(Unsteady::MostlyFailing { attainment: baseline.attainment, needed });
    }
    let (mode, other) = match policy.mode {
        Mode::Relative => (Mode::Relative, Mode::Slo),
        Mode::Slo => (Mode::Slo, Mode::Relative),
    };
    let gate = Gate::new(mode, &baseline, plan);
    baseline.smallest_visible_drop = smallest_visible_drop(&baseline, &gate, plan);
    test_limits(&gate, plan)?;
    test_steadiness(&taken, &baseline, &gate, plan)?;
    let other = Gate::new(other, &baseline, plan).limits;
    Ok(SteadyState { baseline, gate, other })
}

fn summarise(windows: &[Window]) -> Baseline {
    let column = |value: fn(&Window) -> Option<f64>| windows.iter().filter_map(value).collect::<Vec<f64>>();
    let attainment = column(|w| w.attainment);
    let p_q = column(|w| w.p_q_s);
    Baseline {
        windows: windows.len(),
        from_s: windows.first().map_or(0.0, |w| w.start_s),
        to_s: windows.last().map_or(0.0, |w| w.start_s + w.width_s),
        attainment: median(&attainment).unwrap_or(0.0),
        goodput_per_s: median(&column(|w| Some(w.goodput_per_s))).unwrap_or(0.0),
        p_q_s: median(&p_q),
        p_q_mad_s: mad(&p_q),
        in_flight_p95: quantile(&column(|w| Some(w.in_flight)), 0.95).unwrap_or(0.0),
        attainment_cv: coefficient_of_variation(&attainment).unwrap_or(0.0),
        smallest_visible_drop: None,
    }
}

fn test_limits(gate: &Gate, plan: &Plan) -> Result<(), Unsteady> {
    if gate.limits.attainment_min.is_some_and(|a_min| a_min <= 0.0) {
        return Err(Unsteady::NoAttainmentLimit);
    }
    match gate.limits.latency_max_s {
        Some(limit_s) if limit_s >= plan.timeout_s => {
            Err(Unsteady::LatencyLimitBeyondTimeout { limit_s, timeout_s: plan.timeout_s })
        }
        _ => Ok(()),
    }
}

fn test_steadiness(windows: &[Window], baseline: &Baseline, gate: &Gate, plan: &Plan) -> Result<(), Unsteady> {
    let policy = &plan.policy;
    let (variation, allowed) = (baseline.attainment_cv, policy.max_variation.get());
    if variation > allowed {
        return Err(Unsteady::Varies { variation, allowed });
    }
    let points: Vec<(f64, f64)> = windows.iter().filter_map(|w| Some((w.start_s, w.attainment?))).collect();
    if let Some(slope) = theil_sen(&points, policy.slope_confidence.get()).filter(|slope| slope.is_real()) {
        let drift = (slope.estimate * (baseline.to_s - baseline.from_s) / baseline.attainment).abs();
        let allowed = policy.max_drift.get();
        if drift > allowed {
            return Err(Unsteady::Drifts { drift, allowed });
        }
    }
    let marks = gate_marks(windows, gate);
    let bad = marks.iter().filter(|mark| mark.bad).count();
    let run = !bad_runs(&marks).is_empty();
    let allowed = (policy.max_bad_baseline.get() * windows.len() as f64).max(1.0);
    if run || bad as f64 > allowed {
        return Err(Unsteady::AlreadyBad { bad, windows: windows.len(), run });
    }
    Ok(())
}

/// `A0 - a`, where windows of attainment `a` fall below `a_min` nine times in ten: `a + 1.28 sqrt(a (1-a) / n_w) = a_min`.
/// An onset takes two such windows: 81 %.
fn smallest_visible_drop(baseline: &Baseline, gate: &Gate, plan: &Plan) -> Option<f64> {
    let a_min = gate.limits.attainment_min.filter(|a_min| *a_min > 0.0)?;
    let z = normal_quantile(0.9);
    let n = plan.window_requests();
    let (mut low, mut high) = (0.0_f64, a_min);
    for _ in 0..60 {
        let a = 0.5 * (low + high);
        if a + z * (a * (1.0 - a) / n).sqrt() < a_min { low = a } else { high = a }
    }
    Some(baseline.attainment - low)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::fixtures::{plan, window, window_of_bins};
    use crate::experiment::policy::Policy;

    fn steady_phase(attainment: impl Fn(usize) -> f64) -> Vec<Window> {
        (0..50).map(|i| window(i, attainment(i))).collect()
    }

    fn unsteady(windows: &[Window]) -> Unsteady {
        measure_baseline(windows, 50.0, &plan()).unwrap_err()
    }

    #[test]
    fn the_baseline_is_the_last_thirty_windows_that_the_fault_cannot_reach() {
        // Warm-up and the two seconds of timeout before the fault are bad, and do not matter.
        let windows = steady_phase(|i| if (10..48).contains(&i) { 1.0 } else { 0.0 });
        let steady = measure_baseline(&windows, 50.0, &plan()).unwrap();
        assert_eq!((steady.baseline.windows, steady.baseline.from_s, steady.baseline.to_s), (30, 18.0, 48.0));
        assert_eq!((steady.baseline.attainment, steady.baseline.p_q_s), (1.0, Some(0.1)));
        assert_eq!(steady.gate.limits.attainment_min, Some(0.95));
        assert_eq!(steady.other.attainment_min, None);
    }

    #[test]
    fn invalid_windows_are_passed_over_while_enough_are_left() {
        let mut windows = steady_phase(|_| 1.0);
        for window in &mut windows[30..38] {
            window.valid = false;
        }
        assert_eq!(measure_baseline(&windows, 50.0, &plan()).unwrap().baseline.from_s, 10.0);
        windows[40].valid = false;
        assert_eq!(unsteady(&windows), Unsteady::TooFewWindows { found: 29, needed: 30 });
    }

    #[test]
    fn a_system_that_mostly_fails_has_no_steady_state() {
        assert!(matches!(unsteady(&steady_phase(|_| 0.4)), Unsteady::MostlyFailing { .. }));
    }

    #[test]
    fn noise_and_drift_are_not_steady() {
        assert!(matches!(unsteady(&steady_phase(|i| if i % 2 == 0 { 1.0 } else { 0.7 })), Unsteady::Varies { .. }));
        assert!(matches!(unsteady(&steady_phase(|i| 1.0 - 0.1 * i as f64 / 50.0)), Unsteady::Drifts { .. }));
        // A drift that is certain but small does not matter.
        let faint = |i: usize| window_of_bins(i, [50, 50, 50, 50, 50, 50, 50, 50, 50, 50 - (i / 10) as u32]);
        let windows: Vec<Window> = (0..50).map(faint).collect();
        assert!(measure_baseline(&windows, 50.0, &plan()).is_ok());
    }

    #[test]
    fn one_bad_window_is_chance_two_of_thirty_are_not() {
        let with = |bad: &[usize]| steady_phase(|i| if bad.contains(&i) { 0.9 } else { 1.0 });
        assert!(measure_baseline(&with(&[30]), 50.0, &plan()).is_ok());
        assert_eq!(unsteady(&with(&[20, 40])), Unsteady::AlreadyBad { bad: 2, windows: 30, run: false });
        let severe = steady_phase(|i| if i == 30 { 0.45 } else { 1.0 });
        assert!(matches!(unsteady(&severe), Unsteady::Varies { .. } | Unsteady::AlreadyBad { run: true, .. }));
    }

    #[test]
    fn a_latency_limit_that_the_timeout_cuts_off_is_refused() {
        let slow = |i| Window { p_q_s: Some(1.9), ..window(i, 1.0) };
        let windows: Vec<Window> = (0..50).map(slow).collect();
        assert!(matches!(unsteady(&windows), Unsteady::LatencyLimitBeyondTimeout { .. }));
    }

    #[test]
    fn an_attainment_that_chance_could_take_to_zero_is_no_gate() {
        let windows = steady_phase(|i| if i % 2 == 0 { 0.92 } else { 0.94 });
        let found = |attainment_sigmas| {
            let policy = Policy { attainment_sigmas, ..Policy::default() };
            measure_baseline(&windows, 50.0, &Plan { policy, ..plan() }).err()
        };
        assert_eq!((found(20.0), found(90.0)), (None, Some(Unsteady::NoAttainmentLimit)));
    }

    #[test]
    fn the_smallest_visible_drop_solves_its_equation() {
        let steady = measure_baseline(&steady_phase(|_| 1.0), 50.0, &plan()).unwrap();
        let a = 1.0 - steady.baseline.smallest_visible_drop.unwrap();
        assert!((a + 1.2816 * (a * (1.0 - a) / 500.0).sqrt() - 0.95).abs() < 1e-4, "{a}");
    }
}
