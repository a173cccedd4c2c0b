//! The outcome: the table of docs/recovery.md, read from the top; the first row that matches wins.

use super::measure::{Course, Ended, Evidence};
use super::plan::Plan;
use super::search::{Found, TICK_S};
use crate::results::{Outcome, RuleReport, Window};
use crate::units::{show_seconds, show_share};

/// An outcome and the sentence that says why.
pub type Reasoned = (Outcome, String);

/// The rows that say nothing about the system, or that it was not tested: they come before any measurement.
pub fn untested(evidence: &Evidence<'_>, plan: &Plan) -> Option<Reasoned> {
    let proxy_lost = match &evidence.ended {
        Ended::Interrupted(why) => return Some((Outcome::Interrupted, why.clone())),
        Ended::FaultNotRemovable(why) => return Some((Outcome::FaultNotRemovable, why.clone())),
        Ended::ProxyLost(why) => Some((Outcome::ProxyLost, why.clone())),
        Ended::Complete => None,
    };
    let driver_lost = || driver_lost(evidence, plan).map(|why| (Outcome::DriverLost, why));
    let not_exercised = || not_exercised(evidence, plan).map(|why| (Outcome::NotExercised, why));
    let unsteady = || evidence.steady.err().map(|why| (Outcome::NoSteadyState, why.to_string()));
    proxy_lost.or_else(driver_lost).or_else(not_exercised).or_else(unsteady)
}

/// Too many windows in which the driver was the limit, or any around fault-off. A window without planned arrivals is
/// nobody's loss, nor is one that an early end cut short; one that was never recorded is the driver's.
fn driver_lost(evidence: &Evidence<'_>, plan: &Plan) -> Option<String> {
    let policy = &plan.policy;
    let from_s = evidence.steady.map_or(plan.warmup_s, |steady| steady.baseline.from_s);
    let counted = |w: &&Window| w.start_s >= from_s - TICK_S;
    let whole = |w: &Window| w.width_s > plan.window_s - TICK_S;
    let lost = |w: &&Window| !w.valid && w.planned > 0 && whole(w);
    let recorded = evidence.windows.iter().filter(counted).count();
    // Without a steady state the run may have ended early on purpose.
    let expected = match evidence.steady {
        Ok(_) => ((plan.end() - from_s) / plan.window_s).round() as usize,
        Err(_) => recorded,
    };
    let missing = expected.saturating_sub(recorded);
    let invalid = evidence.windows.iter().filter(counted).filter(lost).count() + missing;
    if invalid as f64 > policy.max_invalid.get() * expected as f64 {
        return Some(format!(
            "the driver was the limit in {invalid} of {expected} windows, at most {} may be",
            show_share(policy.max_invalid.get())
        ));
    }
    let (t_off, guard) = (evidence.edges.t_off, policy.guard_windows as f64 * plan.window_s);
    let near = |w: &&Window| w.start_s < t_off + guard - TICK_S && w.start_s + w.width_s > t_off - guard + TICK_S;
    let at = evidence.windows.iter().filter(near).find(lost)?.start_s;
    Some(format!("the driver was the limit {} from fault-off, where it matters most", show_seconds(Some(at - t_off))))
}

/// A rule that injected nothing, or less than it should have.
fn not_exercised(evidence: &Evidence<'_>, plan: &Plan) -> Option<String> {
    let silent = evidence.retries.is_some_and(|r| r.disturbed.counted == 0 && r.baseline.counted > 0);
    evidence.rules.iter().find_map(|rule| {
        let RuleReport { rule: name, matched, triggered, limited, skipped, injected, departed, .. } = rule;
        let due = triggered.saturating_sub(limited + skipped + departed);
        let needed = plan.policy.min_exercised.get();
        if *matched == 0 && silent {
            Some(format!("rule \"{name}\" matched no request: the service stopped calling through the proxy"))
        } else if *matched == 0 {
            Some(format!("rule \"{name}\" matched no request: its conditions do not meet the traffic"))
        } else if *triggered == 0 {
            Some(format!("rule \"{name}\" matched {matched} requests but its trigger chose none"))
        } else if *injected == 0 {
            Some(format!(
                "rule \"{name}\" injected nothing: of {triggered} requests {limited} were held back by its limit, {skipped} \
                 answered by an earlier rule, {departed} left by the client"
            ))
        } else {
            ((*injected as f64) < needed * due as f64).then(|| {
                format!(
                    "rule \"{name}\" injected into {injected} of {due} requests, at least {} are needed",
                    show_share(needed)
                )
            })
        }
    })
}

/// The rows that say how the system took it.
pub fn of_course(course: &Course, evidence: &Evidence<'_>, plan: &Plan) -> Reasoned {
    let t_off = evidence.edges.t_off;
    let after = |at_s: f64| show_seconds(Some((at_s - t_off).max(0.0)));
    let hold = show_seconds(Some(plan.hold_s));
    let recovered = match course.found {
        Found::At(_) => course.recovered.map_or(t_off, |located| located.at_s),
        Found::TooLate(at) => {
            let late = after(course.marks[at].start_s);
            let why =
                format!("good again only {late} after fault-off, too late to see it hold for {hold}: watch longer");
            return (Outcome::NeverRecovered, why);
        }
        Found::Never => {
            let why = match course.last_bad_end_s {
                Some(end) => format!("still bad {} after fault-off, when the watch ended", after(end)),
                None => "too few windows after fault-off to tell".to_owned(),
            };
            return (Outcome::NeverRecovered, why);
        }
    };
    let held = format!("good again {} after fault-off and for {hold} from there", after(recovered));
    match (course.onset_s, course.relapse_s) {
        (None, None) => (Outcome::Withstood, withstood(evidence)),
        (None, Some(late)) => {
            let late = format!("; a bad run {} after fault-off came after the hold", after(late));
            (Outcome::Withstood, withstood(evidence) + &late)
        }
        (Some(_), Some(relapse)) => (Outcome::Relapsed, format!("{held}, then bad again {} after it", after(relapse))),
        (Some(onset), None) if onset >= t_off - TICK_S => {
            (Outcome::RemovalTransient, format!("bad only from {} after fault-off on; {held}", after(onset)))
        }
        (Some(_), None) if recovered <= t_off + TICK_S => {
            (Outcome::Recovered, format!("good again by fault-off and for {hold} from there"))
        }
        (Some(_), None) => (Outcome::Recovered, held),
    }
}

fn withstood(evidence: &Evidence<'_>) -> String {
    match evidence.steady.ok().and_then(|steady| steady.baseline.smallest_visible_drop) {
        Some(drop) => format!("no onset; a drop of attainment by {} or more would have been seen", show_share(drop)),
        None => "no onset; the gate does not judge attainment".to_owned(),
    }
}
