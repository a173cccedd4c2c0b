//! The key figures of a run: a name, a value and one line that says what the value means.

use super::words;
use crate::results::{AmplificationSource, Impact, Outcome, PlanSummary, Recovery, Run, SplitAmount};
use crate::units::{show_count, show_number, show_seconds, show_setting, show_share};

/// One figure. A value that was not measured says so; it is never a zero.
pub(super) struct Figure {
    pub(super) label: &'static str,
    /// Ready to print; `-` when there is nothing to tell.
    pub(super) value: String,
    /// What the value means, or why there is none.
    pub(super) note: String,
}

fn figure(label: &'static str, value: Option<String>, note: impl Into<String>) -> Figure {
    Figure { label, value: value.unwrap_or_else(|| "-".to_owned()), note: note.into() }
}

fn seconds(value: f64) -> String {
    show_seconds(Some(value))
}

/// All figures that say something about this run, the most important first.
pub(super) fn figures(run: &Run, plan: &PlanSummary) -> Vec<Figure> {
    let recovery = &run.recovery;
    let mut all = vec![time_to_recover(recovery)];
    all.extend(first_recovery(recovery, plan));
    all.push(time_to_impact(run));
    all.push(depth(recovery));
    all.push(figure("outage", run.baseline.as_ref().map(|_| seconds(recovery.outage_s)), "sum of the bad windows"));
    all.push(split("resilience loss", recovery.resilience_loss_s, run, seconds));
    all.push(split("goodput lost", recovery.goodput_lost, run, |n| show_count(n.round() as u64)));
    all.push(amplification(recovery, plan));
    all.push(latency(run, plan));
    if let Some(drain) = recovery.drain_s {
        let limit = run.gate.and_then(|gate| gate.in_flight_max);
        let note = match limit {
            Some(limit) => format!("until at most {} requests were in flight", show_number(limit)),
            None => "until the requests in flight were normal".to_owned(),
        };
        all.push(figure("backlog drained", Some(seconds(drain)), note));
    }
    if let Some(residual) = recovery.residual {
        let note = format!("median of the last {}, against normal", show_setting(plan.hold_s));
        all.push(figure("at the end", Some(show_share(residual)), note));
    }
    if let Some(resiliency) = recovery.iso_resiliency {
        let note = "work done from fault-on to recovery, against normal";
        all.push(figure("resiliency", Some(show_share(resiliency.min(1.0))), note));
    }
    if let Some(rate) = recovery.burn_rate {
        let note = "of the error budget, in the fault phase";
        all.push(figure("burn rate", Some(times(rate)), note));
    }
    all
}

fn times(factor: f64) -> String {
    format!("{}x", show_number(factor))
}

fn time_to_impact(run: &Run) -> Figure {
    let note = match (run.recovery.tti_s, &run.baseline) {
        (Some(_), _) => "from fault-on to the first bad run",
        (None, Some(_)) => "there was no bad run",
        (None, None) => "not measured",
    };
    figure("time to impact", run.recovery.tti_s.map(seconds), note)
}

fn time_to_recover(recovery: &Recovery) -> Figure {
    const LABEL: &str = "time to recover";
    match (recovery.ttr_s, recovery.ttr_interval_s, recovery.censored_at_s) {
        (Some(ttr), Some((low, high)), _) => figure(
            LABEL,
            Some(seconds(ttr)),
            format!("95% interval {} to {}, after fault-off", seconds(low), seconds(high)),
        ),
        (Some(ttr), None, _) => figure(LABEL, Some(seconds(ttr)), "after fault-off"),
        (None, _, Some(at)) => {
            figure(LABEL, Some(format!("> {}", show_setting(at))), "not recovered while watched: it is longer")
        }
        (None, _, None) if recovery.outcome == Outcome::Withstood => figure(LABEL, None, "nothing to recover from"),
        (None, _, None) => figure(LABEL, None, "not measured"),
    }
}

/// Only where it says more than the time to recover.
fn first_recovery(recovery: &Recovery, plan: &PlanSummary) -> Option<Figure> {
    let first = recovery.ttfr_s?;
    let same = recovery.ttr_s.is_some_and(|ttr| (ttr - first).abs() <= plan.window_s);
    (!same).then(|| figure("first recovery", Some(seconds(first)), "three good windows that may not have lasted"))
}

fn depth(recovery: &Recovery) -> Figure {
    let note = match (recovery.impact, recovery.depth_of_baseline) {
        _ if recovery.depth.is_none() => "no baseline to compare with".to_owned(),
        (Impact::LatencyOnly, _) => "latency only: no more requests failed".to_owned(),
        (Impact::BacklogOnly, _) => "backlog only: no more requests failed".to_owned(),
        (_, Some(chance)) => format!("deepest fall; chance alone gives {}", show_share(chance)),
        (_, None) => "deepest fall of attainment, against normal".to_owned(),
    };
    figure("depth", recovery.depth.map(show_share), note)
}

/// An amount with its parts. A run that ended before fault-off has no part after it, which is not zero.
fn split(label: &'static str, amount: Option<SplitAmount>, run: &Run, show: fn(f64) -> String) -> Figure {
    let Some(amount) = amount else { return figure(label, None, "no baseline to compare with") };
    let note = if words::went_past_the_fault(run) {
        format!("{} in the fault, {} after it", show(amount.during_fault), show(amount.after_fault))
    } else {
        "up to the end of the run, within the fault".to_owned()
    };
    figure(label, Some(show(amount.total())), note)
}

fn amplification(recovery: &Recovery, plan: &PlanSummary) -> Figure {
    let label = "retry amplification";
    match (recovery.retry_amplification, plan.amplification_seen_by) {
        (Some(factor), AmplificationSource::Proxy) => {
            figure(label, Some(times(factor)), "requests behind it per request, to normal")
        }
        (Some(factor), AmplificationSource::Driver) => {
            figure(label, Some(times(factor)), "the driver's own attempts; others are not seen")
        }
        (None, AmplificationSource::Proxy) => figure(label, None, "not observable: no requests to compare"),
        (None, AmplificationSource::Driver) => figure(label, None, "not observable: the proxy stands in front"),
    }
}

fn latency(run: &Run, plan: &PlanSummary) -> Figure {
    let normal = run.baseline.as_ref().and_then(|base| base.p_q_s);
    let note = match normal {
        Some(normal) => format!("highest {} against {} normally", quantile(plan.quantile), seconds(normal)),
        None => "no baseline to compare with".to_owned(),
    };
    figure("worst latency", run.recovery.latency_ratio_max.map(times), note)
}

/// `p99` for 0.99, `p99.9` for 0.999.
pub(super) fn quantile(q: f64) -> String {
    let percent = (q * 1e5).round() / 1e3;
    format!("p{percent}")
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    fn value(run: &Run, plan: &PlanSummary, label: &str) -> (String, String) {
        let found = figures(run, plan).into_iter().find(|figure| figure.label == label).expect(label);
        (found.value, found.note)
    }

    #[test]
    fn what_was_not_measured_is_never_a_zero() {
        let result = fixture::no_steady_state();
        for label in ["time to recover", "depth", "outage", "resilience loss", "goodput lost", "retry amplification"] {
            assert_eq!(value(&result.runs[0], &result.plan, label).0, "-", "{label}");
        }
    }

    #[test]
    fn a_censored_time_is_a_lower_bound() {
        let result = fixture::never_recovered();
        let (value, note) = value(&result.runs[0], &result.plan, "time to recover");
        assert_eq!(value, "> 1m12s");
        assert!(note.contains("longer"), "{note}");
    }

    #[test]
    fn retries_behind_a_system_that_the_proxy_stands_before_are_not_observable() {
        let result = fixture::never_recovered();
        let (value, note) = value(&result.runs[0], &result.plan, "retry amplification");
        assert_eq!(value, "-");
        assert!(note.starts_with("not observable"), "{note}");
    }

    #[test]
    fn a_first_recovery_is_told_only_when_it_did_not_last() {
        let mut result = fixture::recovered_late();
        let has = |run: &Run, plan: &PlanSummary| figures(run, plan).iter().any(|f| f.label == "first recovery");
        assert!(!has(&result.runs[0], &result.plan));
        result.runs[0].recovery.ttfr_s = Some(3.0);
        assert!(has(&result.runs[0], &result.plan));
    }

    #[test]
    fn quantiles_are_named_as_people_say_them() {
        assert_eq!([0.5, 0.99, 0.999].map(quantile), ["p50", "p99", "p99.9"]);
    }
}
