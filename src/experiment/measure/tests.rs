use super::*;
use crate::experiment::amounts::Calls;
use crate::experiment::fixtures::{edges, plan, run, steady, window, window_of_bins};
use std::ops::Range;

/// A complete run; tests change what they are about.
fn evidence<'a>(windows: &'a [Window], steady: &'a SteadyState) -> Evidence<'a> {
    Evidence { windows, steady: Ok(steady), edges: edges(), ended: &Ended::Complete, rules: &[], retries: None }
}

fn measure_windows(windows: &[Window]) -> Recovery {
    measure_recovery(&evidence(windows, &steady()), &plan())
}

fn measure(bad: &[(Range<usize>, f64)]) -> Recovery {
    measure_windows(&run(bad.iter().cloned()))
}

fn rule_report(triggered: u64, injected: u64) -> RuleReport {
    RuleReport { rule: "r".to_owned(), matched: triggered, triggered, injected, ..RuleReport::default() }
}

#[test]
fn a_system_that_never_moves_withstood_the_fault() {
    let recovery = measure(&[]);
    assert_eq!(recovery.outcome, Outcome::Withstood);
    assert!(recovery.reason.contains("by 6.0% or more"), "{}", recovery.reason);
    assert_eq!((recovery.ttr_s, recovery.tti_s, recovery.censored_at_s), (None, None, None));
    assert_eq!((recovery.impact, recovery.depth, recovery.outage_s), (Impact::None, Some(0.0), 0.0));
}

#[test]
fn one_bad_window_is_no_onset() {
    assert_eq!(measure(&[(60..61, 0.8)]).outcome, Outcome::Withstood);
    assert_eq!(measure(&[(60..61, 0.8), (62..63, 0.8)]).outcome, Outcome::Recovered);
    assert_eq!(measure(&[(60..61, 0.4)]).outcome, Outcome::Recovered, "a severe one is");
}

#[test]
fn recovery_is_found_within_a_tenth_of_a_window() {
    let mut windows = run([(52..85, 0.5)]);
    windows[85] = window_of_bins(85, [25, 25, 25, 50, 50, 50, 50, 50, 50, 50]);
    let recovery = measure_windows(&windows);
    assert_eq!(recovery.outcome, Outcome::Recovered);
    let (low, high) = recovery.ttr_interval_s.unwrap();
    assert!((recovery.ttr_s.unwrap() - 5.3).abs() < 1e-9, "{recovery:?}");
    assert!((low - 5.25).abs() < 0.05 && (high - 5.35).abs() < 0.05, "{low} {high}");
    assert_eq!((recovery.tti_s, recovery.onset_at_s), (Some(2.0), Some(52.0)));
    assert!((recovery.ttfr_s.unwrap() - 5.3).abs() < 1e-9);
    assert!((recovery.outage_s - 34.0).abs() < 1e-9);
    assert!((recovery.depth.unwrap() - 0.5).abs() < 1e-9);
    // Half of the work was done for as long as it took, so at least half and less than all of it.
    assert!((0.5..0.9).contains(&recovery.iso_resiliency.unwrap()), "{:?}", recovery.iso_resiliency);
    assert_eq!((recovery.impact, recovery.censored_at_s), (Impact::Attainment, None));
}

#[test]
fn the_interval_is_widened_by_what_is_not_known_of_fault_off() {
    let windows = run([(52..85, 0.5)]);
    let edges = Edges { off_sent: 79.98, off_acknowledged: 80.05, ..edges() };
    let recovery = measure_recovery(&Evidence { edges, ..evidence(&windows, &steady()) }, &plan());
    let (low, high) = recovery.ttr_interval_s.unwrap();
    assert!((recovery.ttr_s.unwrap() - 5.0).abs() < 1e-9);
    assert!((low - 4.9).abs() < 0.03 && (high - 5.07).abs() < 0.03, "{low} {high}");
}

#[test]
fn requests_in_flight_at_fault_on_can_be_hit_before_it() {
    let recovery = measure(&[(48..85, 0.5)]);
    assert_eq!((recovery.onset_at_s, recovery.tti_s), (Some(48.0), Some(0.0)));
    assert_eq!(measure(&[(46..48, 0.5)]).outcome, Outcome::Withstood, "what the fault cannot reach does not count");
}

#[test]
fn a_system_that_is_good_again_before_fault_off_took_no_time() {
    let recovery = measure(&[(52..70, 0.5)]);
    assert_eq!(
        (recovery.outcome, recovery.ttr_s, recovery.ttr_interval_s),
        (Outcome::Recovered, Some(0.0), Some((0.0, 0.0)))
    );
    assert!(recovery.reason.contains("by fault-off"), "{}", recovery.reason);
}

#[test]
fn a_system_that_only_suffers_from_the_removal_is_a_removal_transient() {
    let recovery = measure(&[(82..90, 0.5)]);
    assert_eq!((recovery.outcome, recovery.ttr_s), (Outcome::RemovalTransient, Some(10.0)));
    assert_eq!(recovery.tti_s, Some(32.0));
    assert_eq!(measure(&[(109..112, 0.5)]).outcome, Outcome::RemovalTransient);
    let late = measure(&[(110..112, 0.5)]);
    assert_eq!((late.outcome, late.onset_at_s), (Outcome::Withstood, None));
    assert!(late.reason.contains("30.0s after fault-off"), "{}", late.reason);
}

#[test]
fn a_bad_run_after_the_hold_is_a_relapse() {
    let recovery = measure(&[(52..85, 0.5), (120..123, 0.5)]);
    assert_eq!((recovery.outcome, recovery.ttr_s), (Outcome::Relapsed, Some(5.0)));
    let within_hold = measure(&[(52..85, 0.5), (110..113, 0.5)]);
    assert_eq!((within_hold.outcome, within_hold.ttr_s), (Outcome::Recovered, Some(33.0)));
    assert_eq!(within_hold.ttfr_s, Some(5.0), "the first recovery did not last");
}

#[test]
fn a_system_that_stays_bad_is_censored_at_its_last_bad_window() {
    let recovery = measure(&[(52..200, 0.5)]);
    assert_eq!(
        (recovery.outcome, recovery.ttr_s, recovery.censored_at_s),
        (Outcome::NeverRecovered, None, Some(120.0))
    );
    assert!((recovery.residual.unwrap() - 0.5).abs() < 1e-9);
    assert_eq!((recovery.ttfr_s, recovery.drain_s), (None, Some(0.0)));
}

#[test]
fn a_candidate_too_late_for_its_hold_is_censored_at_its_start() {
    let recovery = measure(&[(52..180, 0.5)]);
    assert_eq!((recovery.outcome, recovery.censored_at_s), (Outcome::NeverRecovered, Some(100.0)));
    assert_eq!(recovery.ttfr_s, Some(100.0));
    assert!(recovery.reason.contains("watch longer"), "{}", recovery.reason);
    assert_eq!(measure(&[(52..170, 0.5)]).outcome, Outcome::Recovered);
}

#[test]
fn a_fault_that_moves_latency_only_is_located_by_what_was_answered_in_time() {
    let mut windows = run([]);
    for w in &mut windows[50..84] {
        w.p_q_s = Some(0.5);
        w.bins.iter_mut().for_each(|bin| bin.within = 5);
    }
    windows[83].bins[6..].iter_mut().for_each(|bin| bin.within = 50);
    let recovery = measure_windows(&windows);
    assert_eq!(
        (recovery.outcome, recovery.impact, recovery.depth),
        (Outcome::Recovered, Impact::LatencyOnly, Some(0.0))
    );
    assert!((recovery.ttr_s.unwrap() - 3.6).abs() < 1e-9, "{recovery:?}");
    assert!((recovery.latency_ratio_max.unwrap() - 5.0).abs() < 1e-9);
}

#[test]
fn a_backlog_alone_is_known_to_a_window() {
    let mut windows = run([]);
    windows[50..84].iter_mut().for_each(|w| w.in_flight = 500.0);
    let recovery = measure_windows(&windows);
    assert_eq!((recovery.impact, recovery.ttr_s, recovery.drain_s), (Impact::BacklogOnly, Some(4.0), Some(4.0)));
    assert_eq!(recovery.ttr_interval_s, Some((3.0, 4.0)));
}

#[test]
fn the_rows_above_any_measurement_come_in_the_order_of_the_table() {
    let sound = run([(52..85, 0.5)]);
    let mut driverless = sound.clone();
    driverless[100..125].iter_mut().for_each(|w| w.valid = false);
    let (steady, unsteady) = (steady(), Unsteady::TooFewWindows { found: 3, needed: 30 });
    let unused = [rule_report(100, 0)];
    let why = || "why".to_owned();
    let outcome = |ended: Ended, rules: &[RuleReport], steady, windows| {
        let evidence = Evidence { windows, steady, edges: edges(), ended: &ended, rules, retries: None };
        measure_recovery(&evidence, &plan()).outcome
    };
    assert_eq!(outcome(Ended::Interrupted(why()), &unused, Err(&unsteady), &driverless), Outcome::Interrupted);
    assert_eq!(outcome(Ended::FaultNotRemovable(why()), &unused, Ok(&steady), &driverless), Outcome::FaultNotRemovable);
    assert_eq!(outcome(Ended::ProxyLost(why()), &unused, Ok(&steady), &driverless), Outcome::ProxyLost);
    assert_eq!(outcome(Ended::Complete, &unused, Ok(&steady), &driverless), Outcome::DriverLost);
    assert_eq!(outcome(Ended::Complete, &unused, Err(&unsteady), &sound), Outcome::NotExercised);
    assert_eq!(outcome(Ended::Complete, &[], Err(&unsteady), &sound), Outcome::NoSteadyState);
    assert_eq!(outcome(Ended::Complete, &[], Ok(&steady), &sound), Outcome::Recovered);
}

#[test]
fn no_recovery_time_is_given_for_a_run_that_tested_nothing() {
    let windows = run([(52..85, 0.5)]);
    let rules = [rule_report(1000, 500)];
    let recovery = measure_recovery(&Evidence { rules: &rules, ..evidence(&windows, &steady()) }, &plan());
    assert_eq!((recovery.outcome, recovery.ttr_s, recovery.ttr_interval_s), (Outcome::NotExercised, None, None));
    assert_eq!((recovery.ttfr_s, recovery.recovered_at_s, recovery.censored_at_s), (None, None, None));
    assert!(recovery.depth.is_some() && recovery.onset_at_s.is_some(), "what was seen is still told");
}

#[test]
fn a_tenth_of_the_windows_may_be_invalid_but_none_around_fault_off() {
    let with_invalid = |first: Range<usize>, second: Range<usize>| {
        let mut windows = run([(52..85, 0.5)]);
        first.chain(second).for_each(|i| windows[i].valid = false);
        measure_windows(&windows).outcome
    };
    // From the baseline (18 s) to the end there are 182 windows.
    assert_eq!(with_invalid(100..118, 0..0), Outcome::Recovered);
    assert_eq!(with_invalid(100..118, 118..119), Outcome::DriverLost);
    assert_eq!(with_invalid(0..17, 0..0), Outcome::Recovered, "the warm-up does not count");
    for near in [78, 79, 80, 81] {
        assert_eq!(with_invalid(near..near + 1, 0..0), Outcome::DriverLost, "window {near}");
    }
    assert_eq!(with_invalid(77..78, 82..83), Outcome::Recovered);
}

#[test]
fn a_window_without_arrivals_is_no_loss_but_one_never_recorded_is() {
    let mut windows = run([(52..85, 0.5)]);
    windows[150..190].iter_mut().for_each(|w| (w.valid, w.planned) = (false, 0));
    assert_eq!(measure_windows(&windows).outcome, Outcome::Recovered);
    assert_eq!(measure_windows(&windows[..150]).outcome, Outcome::DriverLost);
}

#[test]
fn a_rule_that_did_not_act_on_what_it_triggered_was_not_exercised() {
    let windows = run([(52..85, 0.5)]);
    let outcome = |report: RuleReport| {
        let rules = [rule_report(100, 100), report];
        let recovery = measure_recovery(&Evidence { rules: &rules, ..evidence(&windows, &steady()) }, &plan());
        (recovery.outcome == Outcome::NotExercised, recovery.reason)
    };
    assert!(!outcome(rule_report(100, 90)).0);
    assert!(outcome(rule_report(100, 89)).0);
    assert!(!outcome(RuleReport { limited: 20, skipped: 20, departed: 20, ..rule_report(100, 40) }).0);
    assert!(outcome(RuleReport { limited: 100, ..rule_report(100, 0) }).1.contains("held back"));
    assert!(outcome(RuleReport { matched: 5, ..rule_report(0, 0) }).1.contains("its trigger chose none"));
    assert!(outcome(rule_report(0, 0)).1.contains("do not meet the traffic"));
}

#[test]
fn a_service_that_stopped_calling_is_told_apart() {
    let windows = run([(52..85, 0.5)]);
    let rules = [rule_report(0, 0)];
    let calls = |counted| Calls { counted, offered: 1000 };
    let retries = Some(Retries { baseline: calls(2000), disturbed: calls(0) });
    let recovery = measure_recovery(&Evidence { rules: &rules, retries, ..evidence(&windows, &steady()) }, &plan());
    assert_eq!((recovery.outcome, recovery.retry_amplification), (Outcome::NotExercised, Some(0.0)));
    assert!(recovery.reason.contains("stopped calling"), "{}", recovery.reason);
}

#[test]
fn a_run_cut_short_is_measured_as_far_as_it_went() {
    let windows = &run([(52..85, 0.5)])[..60];
    let stopped = Ended::Interrupted("ctrl-c".to_owned());
    let recovery = measure_recovery(&Evidence { ended: &stopped, ..evidence(windows, &steady()) }, &plan());
    assert_eq!((recovery.outcome, recovery.reason.as_str()), (Outcome::Interrupted, "ctrl-c"));
    assert_eq!((recovery.onset_at_s, recovery.ttr_s), (Some(52.0), None));
    assert_eq!(measure_windows(windows).outcome, Outcome::DriverLost, "windows are missing and nobody said why");
    assert_eq!(measure_windows(&[]).outcome, Outcome::DriverLost);
}

#[test]
fn a_recovery_within_the_first_window_is_not_read_as_none() {
    let mut windows = run([(52..80, 0.5)]);
    windows[80] = window_of_bins(80, [25, 50, 50, 50, 50, 50, 50, 50, 50, 50]);
    let recovery = measure_windows(&windows);
    assert!((recovery.ttr_s.unwrap() - 0.1).abs() < 0.03, "{recovery:?}");
    windows[80] = window(80, 1.0);
    let at_once = measure_windows(&windows);
    assert!(at_once.ttr_s.unwrap() < 0.03 && at_once.ttr_interval_s.unwrap().0 == 0.0, "{at_once:?}");
}
