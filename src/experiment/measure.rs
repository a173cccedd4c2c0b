//! How the system came back: from judged windows to a [`Recovery`]. Pure.

use super::amounts::{self, Retries};
use super::baseline::{SteadyState, Unsteady};
use super::locate::{Located, locate};
use super::outcome::{of_course, untested};
use super::plan::Plan;
use super::runs::{BadRun, Mark, bad_runs, gate_marks};
use super::search::{Found, Rule, TICK_S, find};
use crate::results::{Edges, Impact, Outcome, Recovery, RuleReport, Window};

/// Everything that a run left behind. Windows are in time order, on the grid anchored at `edges.t_off`.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// All windows, final, with their validity judged.
    pub windows: &'a [Window],
    /// The baseline, or why there is none.
    pub steady: Result<&'a SteadyState, &'a Unsteady>,
    /// Commanded and acknowledged edges; planned ones where the run did not come so far.
    pub edges: Edges,
    /// What ended the run.
    pub ended: &'a Ended,
    /// What the run's rules did; empty if the fault phase never began.
    pub rules: &'a [RuleReport],
    /// Counts of calls, where they can be observed.
    pub retries: Option<Retries>,
}

/// What ended a run, as its runner knows it. The texts become the outcome's reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// The watch was over.
    Complete,
    /// A signal.
    Interrupted(String),
    /// "Off" was never acknowledged.
    FaultNotRemovable(String),
    /// A proxy of the run restarted or could not be reached.
    ProxyLost(String),
}

/// What happened, in marks and moments: the basis of the outcome.
#[derive(Debug, Clone, PartialEq)]
pub struct Course {
    /// The valid windows from the fault's reach (`t_on` minus the timeout) on.
    pub marks: Vec<Mark>,
    /// Start of the first bad run; those that start after the hold of a system that was good at fault-off are none.
    pub onset_s: Option<f64>,
    /// The search for recovery.
    pub found: Found,
    /// Where recovery was found.
    pub recovered: Option<Located>,
    /// Where the first, perhaps passing, recovery was found.
    pub first: Option<Located>,
    /// Start of the first bad run after the hold.
    pub relapse_s: Option<f64>,
    /// End of the last bad window after fault-off.
    pub last_bad_end_s: Option<f64>,
}

/// Measures the recovery and names its outcome. Amounts are given wherever there is a steady state to compare with;
/// recovery times only where the outcome says something about the system.
pub fn measure_recovery(evidence: &Evidence<'_>, plan: &Plan) -> Recovery {
    let untested = untested(evidence, plan);
    let steady = match evidence.steady {
        Ok(steady) => steady,
        Err(why) => {
            let (outcome, reason) = untested.unwrap_or_else(|| (Outcome::NoSteadyState, why.to_string()));
            return unmeasured(outcome, reason, evidence);
        }
    };
    let course = trace(evidence, steady, plan);
    let tested = untested.is_none();
    let (outcome, reason) = untested.unwrap_or_else(|| of_course(&course, evidence, plan));
    let mut recovery = unmeasured(outcome, reason, evidence);
    fill_amounts(&mut recovery, &course, evidence, steady, plan);
    recovery.onset_at_s = course.onset_s;
    recovery.tti_s = course.onset_s.map(|onset| (onset - evidence.edges.t_on).max(0.0));
    if tested && outcome != Outcome::Withstood {
        fill_times(&mut recovery, &course, &evidence.edges);
    }
    recovery
}

/// Follows the run from the fault's reach to the end of the watch.
fn trace(evidence: &Evidence<'_>, steady: &SteadyState, plan: &Plan) -> Course {
    let (windows, t_off, policy) = (evidence.windows, evidence.edges.t_off, &plan.policy);
    let end_s = windows.last().map_or(0.0, |w| w.start_s + w.width_s);
    let reach = reach(&evidence.edges, plan);
    let marks: Vec<Mark> = gate_marks(windows, &steady.gate).into_iter().filter(|mark| mark.end_s > reach).collect();
    let start = |run: &BadRun| marks[run.first].start_s;
    let runs = bad_runs(&marks);
    let rule = Rule { windows: policy.confirm_windows, bad: policy.confirm_bad, hold_s: plan.hold_s };
    let found = find(&marks, t_off, end_s, rule);
    let first_rule = Rule { windows: policy.first_windows, bad: policy.confirm_bad, hold_s: 0.0 };
    let located = |found: Found| match found {
        Found::At(at) => Some(locate(windows, &marks, at, &steady.gate, t_off, plan)),
        Found::TooLate(_) | Found::Never => None,
    };
    let held_until = |at: usize| marks[at].start_s + plan.hold_s - TICK_S;
    let (onset_s, relapse_s) = match found {
        Found::At(at) => {
            let quiet = t_off + plan.hold_s - TICK_S;
            let onset = runs.first().map(start).filter(|onset| *onset < quiet);
            (onset, runs.iter().map(start).find(|run| *run >= held_until(at)))
        }
        Found::TooLate(_) | Found::Never => (runs.first().map(start), None),
    };
    let last_bad = marks.iter().rev().find(|mark| mark.bad && mark.start_s >= t_off - TICK_S);
    Course {
        onset_s,
        found,
        recovered: located(found),
        first: located(find(&marks, t_off, end_s, first_rule)),
        relapse_s,
        last_bad_end_s: last_bad.map(|mark| mark.end_s),
        marks,
    }
}

/// Requests that start after this can be hit by the fault. A hair later, against rounding.
fn reach(edges: &Edges, plan: &Plan) -> f64 {
    edges.t_on - plan.timeout_s + TICK_S
}

fn fill_times(recovery: &mut Recovery, course: &Course, edges: &Edges) {
    let ttr = |located: Located| (located.at_s - edges.t_off).max(0.0);
    recovery.ttfr_s = course.first.map(ttr);
    if let Some(located) = course.recovered {
        let low = (located.low_s - edges.off_acknowledged).max(0.0);
        // Never an interval that leaves its own estimate out.
        let high = (located.high_s - edges.off_sent).max(ttr(located));
        recovery.ttr_s = Some(ttr(located));
        recovery.ttr_interval_s = Some((low.min(ttr(located)), high));
        recovery.recovered_at_s = Some(located.at_s);
    } else {
        let censored_s = match course.found {
            Found::TooLate(at) => Some(course.marks[at].start_s),
            Found::At(_) | Found::Never => course.last_bad_end_s,
        };
        recovery.censored_at_s = censored_s.map(|at| (at - edges.t_off).max(0.0));
    }
}

fn fill_amounts(recovery: &mut Recovery, course: &Course, evidence: &Evidence<'_>, steady: &SteadyState, plan: &Plan) {
    let (windows, edges, a0) = (evidence.windows, &evidence.edges, steady.baseline.attainment);
    let reach = reach(edges, plan);
    let first = windows.iter().position(|w| w.start_s + w.width_s > reach).unwrap_or(windows.len());
    let reached = &windows[first..];
    let end_s = windows.last().map_or(0.0, |w| w.start_s + w.width_s);
    let until = course.recovered.map_or(end_s, |located| located.at_s);
    let losses = amounts::losses(reached.iter(), &steady.gate, a0, edges.t_off);
    let in_flight_max = steady.gate.limits.in_flight_max.or(steady.other.in_flight_max);
    recovery.outage_s = losses.outage_s;
    recovery.resilience_loss_s = Some(losses.resilience_loss_s);
    recovery.goodput_lost = Some(losses.goodput_lost);
    recovery.depth = amounts::depth(reached.iter().filter(|w| w.start_s < until.max(edges.t_off) - TICK_S), a0);
    recovery.depth_of_baseline = amounts::depth_of_baseline(windows, &steady.baseline);
    recovery.residual = amounts::residual(windows, end_s, plan.hold_s, a0);
    recovery.latency_ratio_max =
        course.onset_s.and_then(|onset| amounts::latency_ratio_max(windows, onset, steady.baseline.p_q_s));
    recovery.impact = if course.onset_s.is_some() { amounts::impact(reached, &steady.gate) } else { Impact::None };
    recovery.iso_resiliency = amounts::attainment_between(windows, edges.t_on, until).map(|a| a / a0);
    recovery.burn_rate = amounts::burn_rate(windows, edges.t_on, edges.t_off, plan);
    recovery.drain_s = amounts::drain_s(windows, edges.t_off, in_flight_max);
}

/// A recovery of which only the outcome is known, and what does not need a steady state.
fn unmeasured(outcome: Outcome, reason: String, evidence: &Evidence<'_>) -> Recovery {
    Recovery {
        outcome,
        reason,
        ttr_s: None,
        ttr_interval_s: None,
        censored_at_s: None,
        ttfr_s: None,
        tti_s: None,
        onset_at_s: None,
        recovered_at_s: None,
        outage_s: 0.0,
        depth: None,
        depth_of_baseline: None,
        residual: None,
        latency_ratio_max: None,
        impact: Impact::None,
        resilience_loss_s: None,
        goodput_lost: None,
        iso_resiliency: None,
        burn_rate: None,
        retry_amplification: evidence.retries.and_then(|retries| retries.amplification()),
        drain_s: None,
    }
}

#[cfg(test)]
mod tests;
