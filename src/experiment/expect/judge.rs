//! Holds a measurement against an expectation. What was not measured is inconclusive, never a pass.

use super::Expected;
use crate::experiment::amounts::attainment_between;
use crate::experiment::search::TICK_S;
use crate::results::ExpectationState::{Fail, Inconclusive, Pass};
use crate::results::{Edges, Expectation, ExpectationState, Outcome, Recovery, Window};
use crate::units::{show_seconds, show_share};

type Judged = (ExpectationState, String);

/// Judges every expectation against one run. Nothing can be said about a run that did not test the system: then all
/// are inconclusive.
pub fn judge(expected: &[Expected], recovery: &Recovery, windows: &[Window], edges: &Edges) -> Vec<Expectation> {
    let judge = |one: &Expected| {
        let (state, measured) = match tested(recovery.outcome) {
            true => one.judge(recovery, windows, edges),
            false => (Inconclusive, format!("the run is no test: {}", recovery.outcome.name())),
        };
        Expectation { text: one.text(), state, measured }
    };
    expected.iter().map(judge).collect()
}

/// The outcome says something about the system.
fn tested(outcome: Outcome) -> bool {
    super::NAMEABLE.contains(&outcome)
}

impl Expected {
    fn judge(&self, recovery: &Recovery, windows: &[Window], edges: &Edges) -> Judged {
        match self {
            Self::Outcome(outcomes) => {
                (pass_if(outcomes.contains(&recovery.outcome)), recovery.outcome.name().to_owned())
            }
            Self::RecoveredWithin(bound) => recovered_within(bound.as_secs_f64(), recovery),
            Self::SuccessDuringFault(bound) => {
                compare(attainment_between(windows, edges.t_on, edges.t_off), show_share, |a| a >= bound.get())
            }
            Self::QuantileDuringFault(_, quantile, bound) => {
                quantile_during_fault(*quantile, bound.as_secs_f64(), windows, edges)
            }
            Self::DepthBelow(bound) => compare(recovery.depth, show_share, |depth| depth <= bound.get()),
            Self::ResilienceLossBelow(bound) => {
                let lost = recovery.resilience_loss_s.map(|loss| loss.total());
                compare(lost, |s| show_seconds(Some(s)), |s| s <= bound.as_secs_f64())
            }
            Self::RetryAmplificationBelow(bound) => {
                compare(recovery.retry_amplification, |ra| format!("{ra:.2}"), |ra| ra <= *bound)
            }
        }
    }
}

fn pass_if(holds: bool) -> ExpectationState {
    if holds { Pass } else { Fail }
}

fn compare(measured: Option<f64>, show: impl Fn(f64) -> String, holds: impl Fn(f64) -> bool) -> Judged {
    match measured {
        Some(value) => (pass_if(holds(value)), show(value)),
        None => (Inconclusive, "could not be measured".to_owned()),
    }
}

/// Pass if the interval's upper end is within the bound; fail if its lower end, or the censoring time, is beyond it;
/// else the measurement cannot tell. A system that withstood the fault had nothing to recover from.
fn recovered_within(bound: f64, recovery: &Recovery) -> Judged {
    let show = |s: f64| show_seconds(Some(s));
    match (recovery.outcome, recovery.ttr_s.zip(recovery.ttr_interval_s), recovery.censored_at_s) {
        (Outcome::Withstood, ..) => (Pass, "withstood: nothing to recover from".to_owned()),
        (_, Some((ttr, (low, high))), _) => {
            let state = match () {
                () if high <= bound => Pass,
                () if low > bound => Fail,
                () => Inconclusive,
            };
            (state, format!("{} ({} to {})", show(ttr), show(low), show(high)))
        }
        (_, None, Some(censored)) => {
            (if censored > bound { Fail } else { Inconclusive }, format!("more than {}", show(censored)))
        }
        (_, None, None) => (Inconclusive, "could not be measured".to_owned()),
    }
}

/// Windows keep three quantiles, not their histograms, which bound how many requests were slower than the limit:
/// a window whose p95 is beyond it has at least 5 % of them, one whose p99 is within it at most 1 %.
fn quantile_during_fault(quantile: f64, bound: f64, windows: &[Window], edges: &Edges) -> Judged {
    let inside = |w: &&Window| w.valid && w.start_s >= edges.t_on - TICK_S && w.start_s < edges.t_off - TICK_S;
    let kept = |w: &Window| Some([(0.5, w.p50_s?), (0.95, w.p95_s?), (0.99, w.p99_s?)]);
    let (mut all, mut fewest, mut most) = (0.0, 0.0, 0.0);
    let (mut lowest, mut highest) = (f64::INFINITY, 0.0_f64);
    for window in windows.iter().filter(inside) {
        let Some(quantiles) = kept(window) else { continue };
        // A quantile is over successes and timeouts only.
        let answers = (window.success + window.timeouts) as f64;
        let beyond = |(_, value): &&(f64, f64)| *value > bound;
        let at_least = quantiles.iter().find(beyond).map_or(0.0, |(q, _)| 1.0 - q);
        let at_most = quantiles.iter().rev().find(|pair| !beyond(pair)).map_or(1.0, |(q, _)| 1.0 - q);
        (all, fewest, most) = (all + answers, fewest + at_least * answers, most + at_most * answers);
        let own = quantiles.iter().find(|(q, _)| *q == quantile).map_or(0.0, |(_, value)| *value);
        (lowest, highest) = (lowest.min(own), highest.max(own));
    }
    if all == 0.0 {
        return (Inconclusive, "could not be measured".to_owned());
    }
    let allowed = (1.0 - quantile) * all;
    let state = match () {
        () if most <= allowed + TICK_S => Pass,
        () if fewest > allowed + TICK_S => Fail,
        () => Inconclusive,
    };
    (state, format!("{} to {} over windows", show_seconds(Some(lowest)), show_seconds(Some(highest))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::fixtures::{edges, run};
    use crate::results::{Impact, SplitAmount};
    use crate::units::Share;
    use std::time::Duration;

    fn recovery(outcome: Outcome) -> Recovery {
        Recovery {
            outcome,
            reason: String::new(),
            ttr_s: None,
            ttr_interval_s: None,
            censored_at_s: None,
            ttfr_s: None,
            tti_s: None,
            onset_at_s: None,
            recovered_at_s: None,
            outage_s: 30.0,
            depth: Some(0.5),
            depth_of_baseline: None,
            residual: None,
            latency_ratio_max: None,
            impact: Impact::Attainment,
            resilience_loss_s: Some(SplitAmount { during_fault: 15.0, after_fault: 2.0 }),
            goodput_lost: None,
            iso_resiliency: None,
            burn_rate: None,
            retry_amplification: None,
            drain_s: None,
        }
    }

    fn state(expected: Expected, recovery: &Recovery) -> ExpectationState {
        judge(&[expected], recovery, &run([(50..80, 0.5)]), &edges())[0].state
    }

    #[test]
    fn the_whole_interval_must_lie_within_the_bound() {
        let measured = Recovery { ttr_s: Some(5.0), ttr_interval_s: Some((4.8, 5.3)), ..recovery(Outcome::Recovered) };
        let within = |ms| state(Expected::RecoveredWithin(Duration::from_millis(ms)), &measured);
        assert_eq!([6_000, 5_300, 5_100, 4_800, 4_700].map(within), [Pass, Pass, Inconclusive, Inconclusive, Fail]);
    }

    #[test]
    fn a_censored_recovery_fails_only_bounds_that_it_is_known_to_have_missed() {
        let measured = Recovery { censored_at_s: Some(60.0), ..recovery(Outcome::NeverRecovered) };
        let within = |s| state(Expected::RecoveredWithin(Duration::from_secs(s)), &measured);
        assert_eq!([30, 90].map(within), [Fail, Inconclusive]);
    }

    #[test]
    fn a_system_that_withstood_has_recovered_within_any_time() {
        assert_eq!(state(Expected::RecoveredWithin(Duration::ZERO), &recovery(Outcome::Withstood)), Pass);
    }

    #[test]
    fn nothing_is_said_about_a_run_that_tested_nothing() {
        for outcome in [Outcome::DriverLost, Outcome::NoSteadyState, Outcome::NotExercised, Outcome::Interrupted] {
            let depth = Expected::DepthBelow(Share::ALL);
            assert_eq!(state(depth, &recovery(outcome)), Inconclusive, "{outcome:?}");
        }
    }

    #[test]
    fn the_other_figures_are_compared_as_measured() {
        let run = recovery(Outcome::Recovered);
        let share = |s| Share::new(s).unwrap();
        for (expected, found) in [
            (Expected::Outcome(vec![Outcome::Recovered, Outcome::Withstood]), Pass),
            (Expected::Outcome(vec![Outcome::Withstood]), Fail),
            (Expected::SuccessDuringFault(share(0.5)), Pass),
            (Expected::SuccessDuringFault(share(0.51)), Fail),
            (Expected::DepthBelow(share(0.5)), Pass),
            (Expected::DepthBelow(share(0.4)), Fail),
            (Expected::ResilienceLossBelow(Duration::from_secs(17)), Pass),
            (Expected::ResilienceLossBelow(Duration::from_secs(16)), Fail),
            (Expected::RetryAmplificationBelow(2.0), Inconclusive),
        ] {
            assert_eq!(state(expected.clone(), &run), found, "{expected:?}");
        }
    }

    #[test]
    fn a_quantile_of_the_phase_is_bounded_by_those_of_its_windows() {
        let slow = |count: usize| {
            let mut windows = run([]);
            windows[50..50 + count].iter_mut().for_each(|w| (w.p95_s, w.p99_s) = (Some(0.2), Some(0.3)));
            let p99 = Expected::QuantileDuringFault("p99_during_fault", 0.99, Duration::from_millis(150));
            judge(&[p99], &recovery(Outcome::Recovered), &windows, &edges())[0].state
        };
        // One slow window of 30 has at least 5 % of 1/30 of the requests: less than 1 % of all, perhaps.
        assert_eq!([0, 1, 5, 7, 30].map(slow), [Pass, Inconclusive, Inconclusive, Fail, Fail]);
    }
}
