//! From what an experiment asks for to what can be measured: window width, phases in whole windows, hold, connections.
//! Pure; refuses what would only look like a measurement, and names what is needed.

mod refusal;

use std::time::Duration;

pub use refusal::{Refusal, problems};

use super::policy::{Mode, Policy, WIDTHS_MS};
use super::slo::Slo;
use crate::results::{AmplificationSource, PlanSummary};
use crate::units::{Rate, show_duration, show_seconds};

/// What the file asks for, before defaults that depend on each other are filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct Intent {
    /// Planned mean arrivals a second, the same from the steady phase to the end of the watch.
    pub rate: Rate,
    /// The client's timeout.
    pub timeout: Duration,
    /// Connection limit; absent means [`Plan::connections`]' default.
    pub connections: Option<usize>,
    /// Length of the warm-up.
    pub warmup: Duration,
    /// Length of the steady phase; absent means the policy's.
    pub steady: Option<Duration>,
    /// Length of the fault phase.
    pub fault: Duration,
    /// Length of the watch after fault-off, hold included; absent means the policy's.
    pub recovery: Option<Duration>,
    /// `[expect] recovered_within`: the watch must be able to see it.
    pub recovered_within: Option<Duration>,
    /// `[slo]`.
    pub slo: Slo,
    /// `[policy]`.
    pub policy: Policy,
}

/// What will be measured: every default filled in, every phase a whole number of windows. Lengths in seconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Planned mean arrivals a second.
    pub rate_per_s: f64,
    /// The client's timeout.
    pub timeout_s: f64,
    /// Latency above which a success is not good (`L`).
    pub good_latency_s: f64,
    /// The judged quantile (`q`).
    pub quantile: f64,
    /// Window width (`w`): the resolution of everything that is not found by the change point.
    pub window_s: f64,
    /// Most connections that the driver opens; by default 1.5 x rate x timeout.
    pub connections: usize,
    /// Length of the warm-up.
    pub warmup_s: f64,
    /// Length of the steady phase.
    pub steady_s: f64,
    /// Length of the fault phase.
    pub fault_s: f64,
    /// Length of the watch after fault-off.
    pub recovery_s: f64,
    /// Hold (`H`).
    pub hold_s: f64,
    /// What a reader of the results should know about this plan.
    pub notes: Vec<String>,
    /// `[slo]`.
    pub slo: Slo,
    /// `[policy]`.
    pub policy: Policy,
}

impl Plan {
    /// Works the plan out.
    ///
    /// # Errors
    /// Everything that makes the plan unfit, each with the key to change and what is needed.
    pub fn new(intent: Intent) -> Result<Self, Vec<Refusal>> {
        let policy = &intent.policy;
        let quantile = intent.slo.quantile();
        let rate = intent.rate.per_second();
        let mut refusals = Vec::new();
        let window_s = window_width(rate, quantile, policy, intent.slo.objective.map(|o| o.key), &mut refusals);
        let whole = |s: f64| whole_windows(s, window_s) as f64 * window_s;
        let hold_s = whole(policy.hold.as_secs_f64().max(policy.hold_windows as f64 * window_s));
        let fault_s = whole(intent.fault.as_secs_f64());
        let confirm_s = policy.confirm_windows as f64 * window_s;
        let recovery_s = intent.recovery.map_or_else(
            || policy.min_watch.as_secs_f64().max(policy.watch_ratio * fault_s).max(confirm_s) + hold_s,
            |asked| asked.as_secs_f64(),
        );
        let timeout_s = intent.timeout.as_secs_f64();
        let steady_needed = policy.baseline_windows + whole_windows(timeout_s, window_s);
        let steady_s = match intent.steady {
            Some(asked) => whole(asked.as_secs_f64()),
            None => policy.steady_windows.max(steady_needed) as f64 * window_s,
        };
        let fewest = connections_needed(rate, timeout_s);
        let plan = Self {
            rate_per_s: rate,
            timeout_s,
            good_latency_s: intent.slo.latency.unwrap_or(intent.timeout).as_secs_f64(),
            quantile,
            window_s,
            connections: intent.connections.unwrap_or(fewest),
            warmup_s: whole(intent.warmup.as_secs_f64()),
            steady_s,
            fault_s,
            recovery_s: whole(recovery_s),
            hold_s,
            notes: notes(policy, window_s, hold_s),
            slo: intent.slo,
            policy: policy.clone(),
        };
        refusals.extend(plan.phases_too_short(steady_needed, intent.recovered_within));
        refusals.extend(plan.connections_too_few(fewest));
        refusals.extend(plan.limits_without_effect());
        if refusals.is_empty() { Ok(plan) } else { Err(refusals) }
    }

    /// When the fault is commanded on, from the start of the run.
    pub fn t_on(&self) -> f64 {
        self.warmup_s + self.steady_s
    }

    /// When the fault is commanded off: the anchor of the window grid.
    pub fn t_off(&self) -> f64 {
        self.t_on() + self.fault_s
    }

    /// When the watch ends.
    pub fn end(&self) -> f64 {
        self.t_off() + self.recovery_s
    }

    /// `n_w`: planned requests in one window.
    pub fn window_requests(&self) -> f64 {
        self.rate_per_s * self.window_s
    }

    /// The longest lag (p99) at which a window is still valid; for the driver.
    pub fn max_lag_s(&self) -> f64 {
        self.policy.max_lag.as_secs_f64().max(self.policy.max_lag_share.get() * self.window_s)
    }

    /// The plan as results carry it.
    pub fn summary(
        &self,
        target: &str,
        arrivals: &str,
        rules: Vec<String>,
        seen_by: AmplificationSource,
    ) -> PlanSummary {
        PlanSummary {
            target: target.to_owned(),
            rate_per_s: self.rate_per_s,
            arrivals: arrivals.to_owned(),
            timeout_s: self.timeout_s,
            window_s: self.window_s,
            warmup_s: self.warmup_s,
            steady_s: self.steady_s,
            fault_s: self.fault_s,
            recovery_s: self.recovery_s,
            confirm_windows: self.policy.confirm_windows,
            hold_s: self.hold_s,
            mode: self.policy.mode.name().to_owned(),
            quantile: self.quantile,
            good_latency_s: self.good_latency_s,
            rules,
            amplification_seen_by: seen_by,
        }
    }

    fn phases_too_short(&self, steady_needed: usize, recovered_within: Option<Duration>) -> Vec<Refusal> {
        let w = self.window_s;
        let mut refusals = Vec::new();
        let mut require = |key: &str, has: f64, needed: f64, because: String| {
            if has < needed - w / 1e3 {
                let (has, needed) = (show_seconds(Some(has)), show_seconds(Some(needed)));
                refusals.push(Refusal::new("phases", key, format!("{has} is too short: {because}"), needed));
            }
        };
        require(
            "steady",
            self.steady_s,
            steady_needed as f64 * w,
            format!(
                "the baseline takes {} windows of {}, and those within the timeout of {} before the fault do not count",
                self.policy.baseline_windows,
                show_seconds(Some(w)),
                show_seconds(Some(self.timeout_s)),
            ),
        );
        require("fault", self.fault_s, 2.0 * w, format!("an onset takes two windows of {}", show_seconds(Some(w))));
        // Recovery must begin, be confirmed over K windows and be found inside the watch, before the last hold.
        let (hold, confirm) = (show_seconds(Some(self.hold_s)), self.policy.confirm_windows as f64 * w);
        match recovered_within {
            Some(within) if within.as_secs_f64() > confirm => require(
                "recovery",
                self.recovery_s,
                within.as_secs_f64() + self.hold_s,
                format!("recovered_within = {} could not be seen to hold for {hold}", show_duration(within)),
            ),
            _ => require(
                "recovery",
                self.recovery_s,
                confirm + self.hold_s,
                format!("it holds the hold of {hold} and leaves less than {} before it", show_seconds(Some(confirm))),
            ),
        }
        if self.hold_s < confirm - w / 1e3 {
            let needed = format!("a hold of {}, or fewer confirm_windows", show_seconds(Some(confirm)));
            refusals.push(Refusal::new("policy", "hold", "it is shorter than confirm_windows", needed));
        }
        refusals
    }

    fn connections_too_few(&self, fewest: usize) -> Option<Refusal> {
        (self.connections < fewest).then(|| {
            let message = format!(
                "{} is too few: at {}/s with a timeout of {} the driver would be the limit while the system is slow",
                self.connections,
                self.rate_per_s,
                show_seconds(Some(self.timeout_s)),
            );
            Refusal::new("load", "connections", message, format!("{fewest} (1.5 x rate x timeout)"))
        })
    }

    /// A limit beyond the timeout can never be broken, as a timeout counts as the timeout.
    fn limits_without_effect(&self) -> Vec<Refusal> {
        let timeout = show_seconds(Some(self.timeout_s));
        let mut refusals = Vec::new();
        let mut beyond = |key: &str, limit: Duration| {
            let message = format!("{} can never be exceeded: the timeout is {timeout}", show_duration(limit));
            refusals.push(Refusal::new("slo", key, message, format!("a limit below {timeout}, or a longer timeout")));
        };
        if let Some(latency) = self.slo.latency.filter(|latency| latency.as_secs_f64() > self.timeout_s) {
            beyond("latency", latency);
        }
        if let Some(objective) = self.slo.objective.filter(|o| o.limit.as_secs_f64() >= self.timeout_s) {
            beyond(objective.key, objective.limit);
        }
        if self.policy.mode == Mode::Slo && self.slo.success.is_none() && self.slo.objective.is_none() {
            let cure = "[slo] success = \"99%\" or a quantile, or mode = \"relative\"";
            refusals.push(Refusal::new("policy", "mode", "\"slo\" has no limit to judge windows by", cure));
        }
        refusals
    }
}

/// The narrowest width, not below the policy's, whose windows hold enough planned requests.
fn window_width(
    rate: f64,
    quantile: f64,
    policy: &Policy,
    objective: Option<&str>,
    refusals: &mut Vec<Refusal>,
) -> f64 {
    let needed = policy.requests_needed(quantile) as f64;
    let widths = WIDTHS_MS.map(|ms| ms as f64 / 1e3);
    let mut wide_enough = widths.iter().filter(|w| **w >= policy.min_window.as_secs_f64() - 1e-9);
    if let Some(width) = wide_enough.find(|w| rate * **w >= needed - 1e-9) {
        return *width;
    }
    let widest = widths[widths.len() - 1];
    let message = format!(
        "{rate}/s is too low: even a window of {} holds {:.0} requests, and {} takes {needed}",
        show_seconds(Some(widest)),
        rate * widest,
        objective.map_or("judging a window".to_owned(), |key| format!("judging {key}")),
    );
    refusals.push(Refusal::new("load", "rate", message, format!("at least {}/s", (needed / widest).ceil())));
    widest
}

/// How many windows cover this many seconds.
fn whole_windows(seconds: f64, window_s: f64) -> usize {
    // A hair less than a window more is a rounding error, not another window.
    (seconds / window_s - 1e-6).ceil().max(0.0) as usize
}

/// While nothing answers, rate x timeout connections are waiting; half as many again leaves room for bursts.
fn connections_needed(rate: f64, timeout_s: f64) -> usize {
    ((1.5 * rate * timeout_s - 1e-6).ceil() as usize).max(1)
}

fn notes(policy: &Policy, window_s: f64, hold_s: f64) -> Vec<String> {
    let windows = hold_s / window_s;
    let default = Policy::default().hold_windows as f64;
    (windows < default)
        .then(|| {
            format!(
                "the hold is {windows:.0} windows instead of {default:.0}: an unstable state is called recovered more often \
                 (docs/recovery.md says how often); K = {}",
                policy.confirm_windows
            )
        })
        .into_iter()
        .collect()
}

#[cfg(test)]
mod tests;
