//! The words that every report uses for the same thing, so that terminal and page never disagree.

use crate::results::{ExpectationState, ExperimentResult, Impact, Outcome, PlanSummary, Run, Verdict, Window};
use crate::units::{show_count, show_number, show_seconds, show_setting, show_share};

/// The verdict in one word, as it stands in front of the headline.
pub(super) fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "PASS",
        Verdict::Fail => "FAIL",
        Verdict::Inconclusive => "INCONCLUSIVE",
        Verdict::Invalid => "INVALID",
        Verdict::Interrupted => "INTERRUPTED",
    }
}

/// Whether an expectation holds, in one word.
pub(super) fn state(state: ExpectationState) -> &'static str {
    match state {
        ExpectationState::Pass => "holds",
        ExpectationState::Fail => "fails",
        ExpectationState::Inconclusive => "unclear",
    }
}

/// What the experiment says, in one line without a full stop.
pub(super) fn headline(result: &ExperimentResult) -> String {
    match result.runs.as_slice() {
        [] => "No run was made".to_owned(),
        [run] => run_headline(run, &result.plan),
        runs => {
            let mut counts: Vec<(Outcome, usize)> = Vec::new();
            for run in runs {
                match counts.iter_mut().find(|(outcome, _)| *outcome == run.recovery.outcome) {
                    Some((_, n)) => *n += 1,
                    None => counts.push((run.recovery.outcome, 1)),
                }
            }
            let parts: Vec<String> = counts.iter().map(|(outcome, n)| format!("{n} {}", outcome.name())).collect();
            format!("{} runs: {}", runs.len(), parts.join(", "))
        }
    }
}

/// What one run says, in one line without a full stop.
pub(super) fn run_headline(run: &Run, plan: &PlanSummary) -> String {
    let recovery = &run.recovery;
    let ttr = show_seconds(recovery.ttr_s);
    match recovery.outcome {
        Outcome::Recovered if recovery.recovered_at_s.is_some_and(|at| at < run.edges.t_off) => {
            "Recovered while the fault was still on".to_owned()
        }
        Outcome::Recovered if recovery.ttr_s == Some(0.0) => "Recovered as soon as the fault ended".to_owned(),
        Outcome::Recovered => format!("Recovered {ttr} after the fault ended"),
        Outcome::Withstood => "Withstood the fault: no fall that could be seen".to_owned(),
        Outcome::RemovalTransient => format!("Hurt only by the removal of the fault, recovered {ttr} after it"),
        Outcome::Relapsed => format!("Recovered {ttr} after the fault ended, then fell again"),
        Outcome::NeverRecovered => {
            let watched = recovery.censored_at_s.unwrap_or(plan.recovery_s);
            format!("Still not recovered {} after the fault ended", show_setting(watched))
        }
        Outcome::NoSteadyState => "No steady state before the fault, so nothing to come back to".to_owned(),
        Outcome::NotExercised => "The fault did not hit, so nothing was tested".to_owned(),
        Outcome::DriverLost => "The load driver did not keep up, so nothing can be said".to_owned(),
        Outcome::ProxyLost => "A proxy was lost during the run, so nothing can be said".to_owned(),
        Outcome::FaultNotRemovable => "The fault could not be removed".to_owned(),
        Outcome::Interrupted => "Interrupted before the run was complete".to_owned(),
    }
}

/// What happened, told in a few sentences for someone who was not there.
pub(super) fn story(run: &Run, plan: &PlanSummary) -> String {
    let recovery = &run.recovery;
    let mut said = Vec::new();
    if let Some(base) = &run.baseline {
        said.push(format!(
            "Before the fault {} of the requests were good, at {} good requests a second.",
            show_share(base.attainment),
            show_number(base.goodput_per_s)
        ));
    }
    if let Some(tti_s) = recovery.tti_s {
        let began = match show_seconds(Some(tti_s)) {
            after if tti_s > 0.0 => format!("{after} after the fault began"),
            _ => "As soon as the fault began".to_owned(),
        };
        said.extend(match (recovery.impact, lowest(run)) {
            (Impact::LatencyOnly, _) => Some(format!(
                "{began} latency rose, to {} times normal at the worst; no more requests failed.",
                recovery.latency_ratio_max.map_or("-".to_owned(), show_number)
            )),
            (Impact::BacklogOnly, _) => Some(format!("{began} requests piled up; none failed for it.")),
            (_, Some(lowest)) => Some(format!(
                "{began} it fell; in the worst two windows {} of the requests were good.",
                show_share(lowest)
            )),
            _ => None,
        });
    }
    if let Some(lost) = &recovery.goodput_lost
        && lost.total() >= 1.0
    {
        let after = match went_past_the_fault(run) {
            true => format!(", {} of them after the fault had ended", show_count(lost.after_fault.round() as u64)),
            false => String::new(),
        };
        said.push(format!("{} good requests were lost{after}.", show_count(lost.total().round() as u64)));
    }
    said.extend(ending(run, plan));
    said.join(" ")
}

fn ending(run: &Run, plan: &PlanSummary) -> Option<String> {
    let recovery = &run.recovery;
    Some(match recovery.outcome {
        Outcome::Recovered | Outcome::RemovalTransient | Outcome::Relapsed => {
            let (low, high) = recovery.ttr_interval_s?;
            format!(
                "It was back to normal {} after fault-off (95% interval {} to {}){}.",
                show_seconds(recovery.ttr_s),
                show_seconds(Some(low)),
                show_seconds(Some(high)),
                if recovery.outcome == Outcome::Relapsed { ", and fell again later" } else { "" }
            )
        }
        Outcome::Withstood => match run.baseline.as_ref().and_then(|base| base.smallest_visible_drop) {
            Some(drop) => format!("A fall of {} or more would have been seen.", points(drop)),
            None => "How small a fall would have been seen is not known.".to_owned(),
        },
        Outcome::NeverRecovered => {
            format!("It was watched for {} after fault-off and was not back to normal.", show_setting(plan.recovery_s))
        }
        _ => return None,
    })
}

/// Whether anything was measured after fault-off: if not, what came after it is unknown, not zero.
pub(super) fn went_past_the_fault(run: &Run) -> bool {
    run.windows.last().is_some_and(|w| w.start_s + w.width_s > run.edges.t_off)
}

/// Lowest mean attainment of two neighbouring valid windows from fault-on, a timeout early, to the end.
fn lowest(run: &Run) -> Option<f64> {
    let base = run.baseline.as_ref()?.attainment;
    Some(base * (1.0 - run.recovery.depth?))
}

/// A difference of two shares: `6.1 points`.
pub(super) fn points(difference: f64) -> String {
    format!("{} points", show_number(difference * 100.0))
}

/// What a reader must know about the measurement itself: its resolution, and what is shorter than the defaults.
pub(super) fn caveats(plan: &PlanSummary) -> Vec<String> {
    let mut all = vec![format!(
        "resolution: one window of {} ({} requests), refined by the change point",
        show_setting(plan.window_s),
        show_count((plan.rate_per_s * plan.window_s).round() as u64)
    )];
    let hold = f64::max(30.0, 30.0 * plan.window_s);
    if plan.hold_s < hold {
        all.push(format!(
            "the hold is {}, shorter than the default of {}: a relapse after it goes unseen",
            show_setting(plan.hold_s),
            show_setting(hold)
        ));
    }
    if plan.confirm_windows < 10 {
        all.push(format!("recovery is confirmed over {} windows, fewer than the default of 10", plan.confirm_windows));
    }
    if plan.window_s < 1.0 {
        all.push(format!("windows are {} wide, narrower than the default of 1s", show_setting(plan.window_s)));
    }
    all
}

/// The load in a few words.
pub(super) fn load(plan: &PlanSummary) -> String {
    format!("{} requests a second ({}) to {}", show_number(plan.rate_per_s), plan.arrivals, plan.target)
}

/// How the windows of the run were judged: valid, bad, invalid.
pub(super) fn judged(windows: &[Window]) -> (usize, usize, usize) {
    let invalid = windows.iter().filter(|w| !w.valid).count();
    let bad = windows.iter().filter(|w| w.bad == Some(true)).count();
    (windows.len(), bad, invalid)
}

/// The command line as a shell reads it back.
pub(super) fn command(words: &[String]) -> String {
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn every_outcome_has_a_headline_of_its_own() {
        let base = fixture::recovered_late();
        let mut lines: Vec<String> = [
            Outcome::Interrupted,
            Outcome::FaultNotRemovable,
            Outcome::DriverLost,
            Outcome::ProxyLost,
            Outcome::NotExercised,
            Outcome::NoSteadyState,
            Outcome::NeverRecovered,
            Outcome::Relapsed,
            Outcome::RemovalTransient,
            Outcome::Recovered,
            Outcome::Withstood,
        ]
        .map(|outcome| {
            let mut run = base.runs[0].clone();
            run.recovery.outcome = outcome;
            run_headline(&run, &base.plan)
        })
        .to_vec();
        lines.sort();
        lines.dedup();
        assert_eq!(lines.len(), 11);
    }

    #[test]
    fn a_recovery_before_fault_off_is_not_called_one_after_it() {
        let mut result = fixture::recovered_late();
        let run = &mut result.runs[0];
        run.recovery.ttr_s = Some(0.0);
        run.recovery.recovered_at_s = Some(run.edges.t_off - 3.0);
        assert_eq!(headline(&result), "Recovered while the fault was still on");
    }

    #[test]
    fn several_runs_are_counted_by_outcome() {
        assert_eq!(headline(&fixture::repeated()), "3 runs: 2 recovered, 1 never recovered");
    }

    #[test]
    fn a_command_reads_back_in_a_shell() {
        let words = ["run", "it's", "a b", "x=1", ""].map(str::to_owned);
        assert_eq!(command(&words), r"run 'it'\''s' 'a b' x=1 ''");
    }

    #[test]
    fn policies_below_the_defaults_are_said_to_be() {
        let mut plan = fixture::recovered_late().plan;
        assert_eq!(caveats(&plan).len(), 1);
        (plan.hold_s, plan.confirm_windows, plan.window_s) = (5.0, 5, 0.2);
        assert_eq!(caveats(&plan).len(), 4);
    }
}
