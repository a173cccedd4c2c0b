//! The plain model of everything measured: what the runner writes, and reports, history and comparison read.
//!
//! Times are seconds from the start of the run's clock unless a name says otherwise. Absent is `None`, never zero.

use serde::{Deserialize, Serialize};

/// The `schema` of a result file written by this version.
pub const SCHEMA: &str = "brownout.result/1";

/// One experiment with all of its runs: the content of `result.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExperimentResult {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// The experiment's name.
    pub name: String,
    /// What all runs together say.
    pub verdict: Verdict,
    /// The process' exit code that follows from the verdict.
    pub exit_code: u8,
    /// Why the verdict is what it is, one sentence each.
    pub reasons: Vec<String>,
    /// When the experiment started, RFC 3339, UTC.
    pub started_at: String,
    /// Seeds every arrival and every fault decision.
    pub seed: u64,
    /// What was planned, after the defaults were filled in.
    pub plan: PlanSummary,
    /// One per repeat, in order.
    pub runs: Vec<Run>,
    /// The machine and the program.
    pub environment: Environment,
}

/// The verdict over an experiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every expectation holds.
    Pass,
    /// An expectation, or recovery itself, failed.
    Fail,
    /// The measurement cannot tell.
    Inconclusive,
    /// The run says nothing about the system: driver lost, fault not exercised, no steady state.
    Invalid,
    /// Ended by a signal before it was complete.
    Interrupted,
}

/// What was planned, after the defaults were filled in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanSummary {
    /// Where the load goes.
    pub target: String,
    /// Planned mean arrivals a second.
    pub rate_per_s: f64,
    /// `poisson` or `constant`.
    pub arrivals: String,
    /// The client's timeout.
    pub timeout_s: f64,
    /// Window width `w`.
    pub window_s: f64,
    /// Length of the warm-up; windows of it are not judged.
    pub warmup_s: f64,
    /// Length of the steady phase.
    pub steady_s: f64,
    /// Length of the fault phase.
    pub fault_s: f64,
    /// Length of the watch after fault-off.
    pub recovery_s: f64,
    /// `K`: the windows that a recovery is judged over.
    pub confirm_windows: usize,
    /// `H`: no bad run may start this long after recovery.
    pub hold_s: f64,
    /// `relative` or `slo`.
    pub mode: String,
    /// The quantile that windows are judged on, such as 0.99.
    pub quantile: f64,
    /// Latency above which a success is not good; the client timeout if the file gives none.
    pub good_latency_s: f64,
    /// The rules that were on during the fault phase, one sentence each.
    pub rules: Vec<String>,
    /// Whether a proxy's upstream is the system under test, or the other way round; decides what retries can be seen.
    pub amplification_seen_by: AmplificationSource,
}

/// Which side can count retries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AmplificationSource {
    /// The proxy stands behind the system under test: it receives what the system sends.
    Proxy,
    /// The proxy stands in front: only the driver's own attempts are seen.
    Driver,
}

/// One run: warm-up, steady state, fault, recovery.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// From 1.
    pub index: usize,
    /// The seed of this run.
    pub seed: u64,
    /// What recovery.rs makes of the windows.
    pub recovery: Recovery,
    /// The baseline, if there was a steady state to take it from.
    pub baseline: Option<Baseline>,
    /// The limits that the windows were judged by: the ones that `plan.mode` names; absent without a baseline.
    pub gate: Option<Thresholds>,
    /// The other gate's limits and answer, for comparison; absent if it could not be computed.
    pub thresholds: Option<Thresholds>,
    /// Commanded and acknowledged fault edges.
    pub edges: Edges,
    /// Every window, warm-up included, in time order.
    pub windows: Vec<Window>,
    /// What each rule of the run did.
    pub rules: Vec<RuleReport>,
    /// The driver's totals.
    pub load: LoadTotals,
    /// Each expectation and whether it holds.
    pub expectations: Vec<Expectation>,
    /// Remarks a reader must see (foreign traffic, driver trouble, ...).
    pub notes: Vec<String>,
}

/// When the fault was commanded on and off, and within what interval it truly was. Seconds on the driver's clock.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Edges {
    /// Commanded on: a window edge.
    pub t_on: f64,
    /// On at the earliest: the command was sent.
    pub on_sent: f64,
    /// On at the latest: the last acknowledgement came.
    pub on_acknowledged: f64,
    /// Commanded off: the anchor of the window grid.
    pub t_off: f64,
    /// Off at the earliest.
    pub off_sent: f64,
    /// Off at the latest: the rule is gone and its active gauge is 0 everywhere.
    pub off_acknowledged: f64,
}

impl Edges {
    /// The uncertainty of the edges: the wider of the two intervals.
    pub fn eps(&self) -> f64 {
        (self.on_acknowledged - self.on_sent).max(self.off_acknowledged - self.off_sent).max(0.0)
    }
}

/// The phases of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Sent but not judged.
    Warmup,
    /// Where the baseline comes from.
    Steady,
    /// The rules are on.
    Fault,
    /// The watch after fault-off, hold included.
    Recovery,
}

impl Phase {
    /// All phases in order.
    pub const ALL: [Self; 4] = [Self::Warmup, Self::Steady, Self::Fault, Self::Recovery];

    /// The name in files, labels and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Warmup => "warmup",
            Self::Steady => "steady",
            Self::Fault => "fault",
            Self::Recovery => "recovery",
        }
    }
}

/// What the driver counted for the requests whose intended start lies in one window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// Start of the window.
    pub start_s: f64,
    /// Width of the window.
    pub width_s: f64,
    /// The phase it lies in.
    pub phase: Phase,
    /// Arrivals drawn for the window.
    pub planned: u64,
    /// `O`: requests issued.
    pub sent: u64,
    /// `M`: arrivals that the driver itself could not issue.
    pub missed: u64,
    /// Successes, however late.
    pub success: u64,
    /// `G`: successes within the good latency.
    pub good: u64,
    /// Requests that ended by the client's timeout.
    pub timeouts: u64,
    /// Requests that ended in an error, timeouts not counted.
    pub errors: u64,
    /// `A = G/O`; absent when nothing was sent.
    pub attainment: Option<f64>,
    /// `g`: good requests a second.
    pub goodput_per_s: f64,
    /// Median latency over successes and timeouts.
    pub p50_s: Option<f64>,
    /// 95 % quantile over successes and timeouts.
    pub p95_s: Option<f64>,
    /// 99 % quantile over successes and timeouts.
    pub p99_s: Option<f64>,
    /// `p_q`: the judged quantile; absent when there were neither successes nor timeouts.
    pub p_q_s: Option<f64>,
    /// `F`: time-weighted mean of requests in flight.
    pub in_flight: f64,
    /// 99 % quantile of the sending lag.
    pub lag_p99_s: f64,
    /// `V`: the window can be judged at all.
    pub valid: bool,
    /// Judged bad by the gate; absent for invalid and warm-up windows.
    pub bad: Option<bool>,
    /// Counts in 100-ms steps, from the window's start.
    pub bins: Vec<SubBin>,
}

/// 100 ms of a window, by intended start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SubBin {
    /// Requests issued.
    pub sent: u32,
    /// Of them good.
    pub good: u32,
    /// Of them answered successfully within the gate's latency limit; 0 before that limit is known.
    pub within: u32,
}

/// Width of a [`SubBin`] in seconds.
pub const SUB_BIN_S: f64 = 0.1;

/// The steady state: medians over the baseline windows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// Windows it was taken from.
    pub windows: usize,
    /// Start of the first of them.
    pub from_s: f64,
    /// End of the last of them.
    pub to_s: f64,
    /// `A0`: median attainment.
    pub attainment: f64,
    /// `g0`: median goodput a second.
    pub goodput_per_s: f64,
    /// `P0`: median of the judged quantile; absent if no window had one.
    pub p_q_s: Option<f64>,
    /// Median absolute deviation of the judged quantile, unscaled.
    pub p_q_mad_s: Option<f64>,
    /// 95 % quantile of the windows' in-flight means.
    pub in_flight_p95: f64,
    /// Coefficient of variation of the attainment.
    pub attainment_cv: f64,
    /// Smallest drop of attainment that an onset would have been called on, with 81 % power; absent if none would.
    pub smallest_visible_drop: Option<f64>,
}

/// The gate: a window is good when it stays within all three. An absent limit is not gated.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Thresholds {
    /// `a_min`.
    pub attainment_min: Option<f64>,
    /// `l_max`, for the judged quantile.
    pub latency_max_s: Option<f64>,
    /// `F_max`.
    pub in_flight_max: Option<f64>,
}

/// How the system came back, or did not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recovery {
    /// The outcome, by the first matching row of the table in docs/recovery.md.
    pub outcome: Outcome,
    /// One sentence that says why.
    pub reason: String,
    /// Time to recover after `t_off`; absent when it did not recover, or there was nothing to recover from.
    pub ttr_s: Option<f64>,
    /// 95 % interval of the time to recover.
    pub ttr_interval_s: Option<(f64, f64)>,
    /// Not recovered within the watch: the true TTR is longer than this. Absent when `ttr_s` is given.
    pub censored_at_s: Option<f64>,
    /// Time to first recovery: three windows and no hold; may have relapsed.
    pub ttfr_s: Option<f64>,
    /// Time to impact after `t_on`; absent without an onset.
    pub tti_s: Option<f64>,
    /// Start of the first bad run.
    pub onset_at_s: Option<f64>,
    /// Where recovery was found: the change point.
    pub recovered_at_s: Option<f64>,
    /// Sum of bad time.
    pub outage_s: f64,
    /// `1 - min A/A0` over means of two windows; absent without a baseline.
    pub depth: Option<f64>,
    /// The same statistic over the baseline: what chance alone gives.
    pub depth_of_baseline: Option<f64>,
    /// Median attainment over the last hold of the watch, over `A0`.
    pub residual: Option<f64>,
    /// Highest judged quantile from onset on, over `P0`.
    pub latency_ratio_max: Option<f64>,
    /// What moved.
    pub impact: Impact,
    /// Seconds of full outage lost: sum of `(1 - A/A0) w` over bad windows.
    pub resilience_loss_s: Option<SplitAmount>,
    /// Good requests lost: sum of `O A0 - G`, where positive.
    pub goodput_lost: Option<SplitAmount>,
    /// Resiliency in the sense of ISO/IEC 25045: good requests over those that the baseline would have given for the
    /// same offered load, from fault-on until recovery or the end; absent without a baseline.
    #[serde(default)]
    pub iso_resiliency: Option<f64>,
    /// Error-budget burn rate during the fault phase, `(1-A)/(1-SLO)`; absent without an SLO below 100 %.
    pub burn_rate: Option<f64>,
    /// `RA`; absent when it cannot be observed.
    pub retry_amplification: Option<f64>,
    /// First time after `t_off` at which the requests in flight were back within `F_max`.
    pub drain_s: Option<f64>,
}

/// An amount, split at fault-off.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SplitAmount {
    /// Up to `t_off`.
    pub during_fault: f64,
    /// From `t_off` on.
    pub after_fault: f64,
}

impl SplitAmount {
    /// Both parts together.
    pub fn total(&self) -> f64 {
        self.during_fault + self.after_fault
    }
}

/// What the fault moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Impact {
    /// Nothing that could be seen.
    None,
    /// Attainment fell.
    Attainment,
    /// Only latency rose: depth is 0.
    LatencyOnly,
    /// Only the backlog rose.
    BacklogOnly,
}

/// How a run ended. First match wins, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Ended by a signal.
    Interrupted,
    /// "Off" was never acknowledged.
    FaultNotRemovable,
    /// Too many invalid windows.
    DriverLost,
    /// A proxy of the run restarted or could not be reached.
    ProxyLost,
    /// A rule of the run injected nothing, or less than 90 % of what it triggered.
    NotExercised,
    /// The baseline is not steady.
    NoSteadyState,
    /// Censored: not good again by the end of the watch.
    NeverRecovered,
    /// Recovered, then one more bad run after the hold.
    Relapsed,
    /// No onset before fault-off; removing the fault itself hurt.
    RemovalTransient,
    /// An onset, and good again.
    Recovered,
    /// No onset at all.
    Withstood,
}

impl Outcome {
    /// All outcomes, in the order of their declaration.
    pub const ALL: [Self; 11] = [
        Self::Interrupted,
        Self::FaultNotRemovable,
        Self::DriverLost,
        Self::ProxyLost,
        Self::NotExercised,
        Self::NoSteadyState,
        Self::NeverRecovered,
        Self::Relapsed,
        Self::RemovalTransient,
        Self::Recovered,
        Self::Withstood,
    ];

    /// The name in reports: words, lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Interrupted => "interrupted",
            Self::FaultNotRemovable => "fault not removable",
            Self::DriverLost => "driver lost",
            Self::ProxyLost => "proxy lost",
            Self::NotExercised => "not exercised",
            Self::NoSteadyState => "no steady state",
            Self::NeverRecovered => "never recovered",
            Self::Relapsed => "relapsed",
            Self::RemovalTransient => "removal transient",
            Self::Recovered => "recovered",
            Self::Withstood => "withstood",
        }
    }
}

/// What one rule of the run did: the proof that the fault hit.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RuleReport {
    /// The rule's name.
    pub rule: String,
    /// What it does, in words.
    pub summary: String,
    /// Requests that met its conditions.
    pub matched: u64,
    /// Of them chosen by the trigger.
    pub triggered: u64,
    /// Of them held back by a limit.
    pub limited: u64,
    /// Of them not acted on because an earlier terminal effect had won.
    pub skipped: u64,
    /// Of them acted on.
    pub injected: u64,
    /// Of them ended early by fault-off.
    pub released: u64,
    /// Of them left by the client first.
    pub departed: u64,
}

/// The driver's totals over one run or one load command.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct LoadTotals {
    /// Planned mean arrivals a second; absent in a closed loop.
    pub offered_per_s: Option<f64>,
    /// Requests completed a second.
    pub achieved_per_s: f64,
    /// Requests issued.
    pub requests: u64,
    /// Of them good.
    pub good: u64,
    /// Arrivals that the driver could not issue.
    pub missed: u64,
    /// Failures by kind (`status_503`, `timeout`, `refused`, `reset`, ...).
    pub errors: std::collections::BTreeMap<String, u64>,
    /// From the intended start.
    pub latency_s: Option<Quantiles>,
    /// From the actual send.
    pub service_s: Option<Quantiles>,
    /// Actual send minus intended start.
    pub lag_s: Option<Quantiles>,
    /// The driver, not the target, was the limit for part of the time.
    pub driver_limited: bool,
    /// Connections opened.
    pub connections_opened: u64,
    /// Bytes of response bodies received.
    pub received_bytes: u64,
    /// Bytes of request bodies sent.
    pub sent_bytes: u64,
}

/// Quantiles in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// Median.
    pub p50: f64,
    /// 90 %.
    pub p90: f64,
    /// 99 %.
    pub p99: f64,
    /// 99.9 %.
    pub p999: f64,
    /// Largest.
    pub max: f64,
}

/// One line of `[expect]` and whether it holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Expectation {
    /// As written: `recovered_within = 5s`.
    pub text: String,
    /// Whether it holds.
    pub state: ExpectationState,
    /// What was measured.
    pub measured: String,
}

/// Whether an expectation holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExpectationState {
    /// It holds.
    Pass,
    /// It does not.
    Fail,
    /// The interval straddles the bound.
    Inconclusive,
}

/// The machine and the program that measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// Version of brownout.
    pub version: String,
    /// Kernel name and release.
    pub os: String,
    /// Cores that this process may use.
    pub cores: usize,
    /// Processor model, if the system tells.
    pub cpu: Option<String>,
    /// The command line.
    pub command: Vec<String>,
}
