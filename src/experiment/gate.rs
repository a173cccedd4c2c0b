//! The gate: what a good window is.

use super::plan::Plan;
use super::policy::Mode;
use super::search::TICK_S;
use crate::results::{Baseline, Phase, Thresholds, Window};

/// The limits that windows are held against, and the depth at which one window is a bad run by itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gate {
    /// A window is good when it stays within all of these.
    pub limits: Thresholds,
    /// A bad window with less attainment than this is severe.
    pub severe_below: f64,
}

/// What made a window bad. Several can hold at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Causes {
    /// Too few good answers.
    pub attainment: bool,
    /// The judged quantile is too long.
    pub latency: bool,
    /// Too many requests in flight.
    pub in_flight: bool,
}

impl Causes {
    /// At least one holds.
    pub fn any(self) -> bool {
        self.attainment || self.latency || self.in_flight
    }
}

impl Gate {
    /// The gate that the policy's mode names.
    pub fn new(mode: Mode, baseline: &Baseline, plan: &Plan) -> Self {
        let limits = match mode {
            Mode::Relative => relative_limits(baseline, plan),
            Mode::Slo => slo_limits(plan),
        };
        Self { limits, severe_below: plan.policy.severe_ratio.get() * baseline.attainment }
    }

    /// What makes this window bad. A value or a limit that is absent makes none bad.
    pub fn causes(&self, window: &Window) -> Causes {
        let exceeds = |value: Option<f64>, limit: Option<f64>| matches!((value, limit), (Some(v), Some(l)) if v > l);
        Causes {
            attainment: exceeds(self.limits.attainment_min, window.attainment),
            latency: exceeds(window.p_q_s, self.limits.latency_max_s),
            in_flight: exceeds(Some(window.in_flight), self.limits.in_flight_max),
        }
    }

    /// Any cause holds.
    pub fn is_bad(&self, window: &Window) -> bool {
        self.causes(window).any()
    }

    /// Bad, and far enough down to be a bad run by itself.
    pub fn is_severe(&self, window: &Window) -> bool {
        self.is_bad(window) && window.attainment.is_some_and(|a| a < self.severe_below)
    }

    /// Sets `bad` of every window: absent in the warm-up and where the window is invalid.
    pub fn mark(&self, windows: &mut [Window]) {
        for window in windows {
            window.bad = (window.valid && window.phase != Phase::Warmup).then(|| self.is_bad(window));
        }
    }
}

/// Sets `valid` of every window from its own counts, by the plan's policy: enough of the planned requests were sent,
/// and not too late. A window with no arrivals planned is *empty*: not valid, but no driver loss either. One that was
/// cut short by the end of the load is not valid.
pub fn judge_validity(windows: &mut [Window], plan: &Plan) {
    let (min_issued, max_lag_s) = (plan.policy.min_issued.get(), plan.max_lag_s());
    for window in windows {
        let issued = window.sent as f64 >= min_issued * window.planned as f64;
        let whole = window.width_s > plan.window_s - TICK_S;
        window.valid = whole && window.planned > 0 && issued && window.lag_p99_s <= max_lag_s;
    }
}

/// `a_min`, `l_max` and `F_max` from the steady state.
fn relative_limits(baseline: &Baseline, plan: &Plan) -> Thresholds {
    let policy = &plan.policy;
    let a0 = baseline.attainment;
    let chance = binomial_slack(a0, plan.window_requests(), policy.attainment_sigmas);
    let latency = |p0: f64| {
        // 1.4826 MAD estimate a normal standard deviation.
        let spread = 1.4826 * baseline.p_q_mad_s.unwrap_or(0.0);
        // A sample's tail quantile is skewed like the latencies themselves: deviations are counted in its logarithm,
        // of which MAD / P0 is the deviation to first order.
        (policy.latency_ratio * p0)
            .max(p0 + policy.latency_slack.as_secs_f64())
            .max(p0 * (policy.latency_deviations * spread / p0).exp())
    };
    let in_flight = baseline.in_flight_p95;
    Thresholds {
        attainment_min: Some((policy.attainment_ratio.get() * a0).min(a0 - chance)),
        latency_max_s: baseline.p_q_s.map(latency),
        in_flight_max: Some((policy.in_flight_ratio * in_flight).max(in_flight + policy.in_flight_slack)),
    }
}

/// How far the share of `n` requests falls below its mean by chance, at `z` standard deviations: the binomial's own
/// skew included (Cornish and Fisher's first term), as at 95 % of 100 the plain 3.1 deviations are exceeded four times
/// as often as they should be.
fn binomial_slack(share: f64, n: f64, z: f64) -> f64 {
    let skew = (z * z - 1.0).max(0.0) / 6.0 * (2.0 * share - 1.0).max(0.0) / n;
    z * (share * (1.0 - share) / n).sqrt() + skew
}

/// The file's limits; what it does not limit is not gated.
fn slo_limits(plan: &Plan) -> Thresholds {
    Thresholds {
        attainment_min: plan.slo.success.map(|share| share.get()),
        latency_max_s: plan.slo.objective.map(|objective| objective.limit.as_secs_f64()),
        in_flight_max: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::fixtures::{baseline, plan, window};
    use crate::experiment::slo::{Objective, Slo};
    use crate::units::Share;
    use std::time::Duration;

    fn relative(a0: f64) -> Thresholds {
        Gate::new(Mode::Relative, &Baseline { attainment: a0, ..baseline() }, &plan()).limits
    }

    #[test]
    fn attainment_may_fall_to_95_percent_or_by_chance_whichever_is_lower() {
        assert_eq!(relative(1.0).attainment_min, Some(0.95));
        assert!((relative(0.99).attainment_min.unwrap() - 0.9405).abs() < 1e-9);
        // 0.7 - 3.1 sqrt(0.7 * 0.3 / 500) - 1.435 (2 * 0.7 - 1) / 500 lies below 0.665.
        assert!((relative(0.7).attainment_min.unwrap() - 0.63532).abs() < 1e-4, "{:?}", relative(0.7));
    }

    #[test]
    fn latency_may_rise_by_a_quarter_a_millisecond_or_its_deviations_whichever_is_most() {
        let limit = |p0: f64, mad: f64| {
            let baseline = Baseline { p_q_s: Some(p0), p_q_mad_s: Some(mad), ..baseline() };
            Gate::new(Mode::Relative, &baseline, &plan()).limits.latency_max_s.unwrap()
        };
        assert!((limit(0.100, 0.001) - 0.125).abs() < 1e-9);
        assert!((limit(0.001, 0.0) - 0.002).abs() < 1e-9);
        assert!((limit(0.100, 0.010) - 0.1 * (5.0_f64 * 0.14826).exp()).abs() < 1e-9);
    }

    #[test]
    fn requests_in_flight_may_double_or_rise_by_ten() {
        let limit = |p95: f64| {
            let baseline = Baseline { in_flight_p95: p95, ..baseline() };
            Gate::new(Mode::Relative, &baseline, &plan()).limits.in_flight_max.unwrap()
        };
        assert_eq!((limit(2.0), limit(50.0)), (12.0, 100.0));
    }

    #[test]
    fn a_window_says_what_made_it_bad() {
        let gate = Gate::new(Mode::Relative, &baseline(), &plan());
        let good = window(0, 1.0);
        assert!(!gate.is_bad(&good));
        let causes = |w: &Window| {
            let causes = gate.causes(w);
            (causes.attainment, causes.latency, causes.in_flight)
        };
        assert_eq!(causes(&window(0, 0.9)), (true, false, false));
        assert_eq!(causes(&Window { p_q_s: Some(1.0), ..good.clone() }), (false, true, false));
        assert_eq!(causes(&Window { in_flight: 500.0, ..good.clone() }), (false, false, true));
        let nothing_answered = Window { p_q_s: None, ..window(0, 0.0) };
        assert_eq!(causes(&nothing_answered), (true, false, false));
        assert!(gate.is_severe(&nothing_answered) && !gate.is_severe(&window(0, 0.6)));
    }

    #[test]
    fn the_slo_gate_judges_only_what_the_file_limits() {
        let objective = Objective { key: "p99", quantile: 0.99, limit: Duration::from_millis(250) };
        let slo = Slo { success: Share::new(0.99), objective: Some(objective), latency: None };
        let gate = Gate::new(Mode::Slo, &baseline(), &Plan { slo, ..plan() });
        assert_eq!(
            gate.limits,
            Thresholds { attainment_min: Some(0.99), latency_max_s: Some(0.25), in_flight_max: None }
        );
        assert!(!gate.is_bad(&Window { in_flight: 1e6, ..window(0, 1.0) }));
    }

    #[test]
    fn warm_up_and_invalid_windows_are_not_marked() {
        let mut windows = vec![
            Window { phase: Phase::Warmup, ..window(0, 0.0) },
            Window { valid: false, ..window(11, 0.0) },
            window(12, 0.0),
            window(13, 1.0),
        ];
        Gate::new(Mode::Relative, &baseline(), &plan()).mark(&mut windows);
        assert_eq!(windows.iter().map(|w| w.bad).collect::<Vec<_>>(), [None, None, Some(true), Some(false)]);
    }

    #[test]
    fn a_window_is_valid_when_its_arrivals_were_sent_and_sent_in_time() {
        let sound = Window { planned: 500, sent: 500, lag_p99_s: 0.02, ..window(0, 1.0) };
        let mut windows = vec![
            sound.clone(),
            Window { sent: 495, ..sound.clone() },
            Window { sent: 494, ..sound.clone() },
            Window { lag_p99_s: 0.101, ..sound.clone() },
            Window { width_s: 0.4, ..sound.clone() },
            Window { planned: 0, sent: 0, ..sound },
        ];
        judge_validity(&mut windows, &plan());
        assert_eq!(windows.iter().map(|w| w.valid).collect::<Vec<_>>(), [true, true, false, false, false, false]);
    }
}
