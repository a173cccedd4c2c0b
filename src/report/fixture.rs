//! Synthetic but realistic results for the tests of the reports: what a shop with naive retries looks like.
//!
//! Windows are drawn from a shape (what the system does at a moment) with seeded dice; amounts are summed from the
//! windows, so that figures and charts of a fixture agree. Nothing here is a measurement.

use std::collections::BTreeMap;

use crate::dice::Dice;
use crate::results::*;

const T_ON: f64 = 48.0;
const T_OFF: f64 = 68.0;
const RATE: f64 = 400.0;
const TIMEOUT: f64 = 2.0;

/// What the system does at one moment.
struct Shape {
    attainment: f64,
    p50: f64,
    p99: f64,
    in_flight: f64,
}

const NORMAL: Shape = Shape { attainment: 0.9992, p50: 0.018, p99: 0.062, in_flight: 8.0 };

/// The fall, the retry storm that outlives the fault, and the sudden way back at `back`.
fn storm(t: f64, back: f64) -> Shape {
    let hit = T_ON + 0.4;
    if t < hit || t >= back + 4.0 {
        return NORMAL;
    }
    if t >= back {
        let rest = (-4.0 * (t - back)).exp();
        return Shape { p50: 0.018 + 0.04 * rest, p99: 0.062 + 0.5 * rest, in_flight: 8.0 + 60.0 * rest, ..NORMAL };
    }
    if t < T_OFF {
        let settled = 1.0 - (-(t - hit) / 3.0).exp();
        return Shape {
            attainment: 0.62 - 0.48 * settled,
            p50: 0.03 + 1.1 * settled,
            p99: TIMEOUT,
            in_flight: 40.0 + 600.0 * settled,
        };
    }
    let cleared = ((t - T_OFF) / (back - T_OFF)).min(1.0);
    Shape {
        attainment: 0.14 + 0.25 * cleared,
        p50: 1.13 - 0.4 * cleared,
        p99: TIMEOUT,
        in_flight: 640.0 - 280.0 * cleared,
    }
}

fn phase(t: f64) -> Phase {
    match t {
        t if t < 8.0 => Phase::Warmup,
        t if t < T_ON => Phase::Steady,
        t if t < T_OFF => Phase::Fault,
        _ => Phase::Recovery,
    }
}

/// One window of 1 s, summed from its ten sub-bins.
fn window(second: u64, shape: impl Fn(f64) -> Shape, gate: &Thresholds) -> Window {
    let start_s = second as f64;
    let dice = Dice::new(7, 1, second);
    let bins: Vec<SubBin> = (0..10u64)
        .map(|i| {
            let sent = (RATE * SUB_BIN_S + 6.0 * (dice.uniform(i) - 0.5)).round() as u32;
            let attainment = shape(start_s + (i as f64 + 0.5) * SUB_BIN_S).attainment;
            let good = (0..sent).filter(|k| dice.happens(100 + 100 * i + u64::from(*k), attainment)).count() as u32;
            SubBin { sent, good, within: good }
        })
        .collect();
    let sum = |field: fn(&SubBin) -> u32| bins.iter().map(|bin| u64::from(field(bin))).sum::<u64>();
    let (sent, good) = (sum(|bin| bin.sent), sum(|bin| bin.good));
    let middle = shape(start_s + 0.5);
    let wobble = 0.9 + 0.2 * dice.uniform(50);
    let p99 = (middle.p99 * wobble).min(TIMEOUT);
    let attainment = good as f64 / sent as f64;
    let in_flight = middle.in_flight * wobble;
    let outside = attainment < gate.attainment_min.unwrap_or(0.0)
        || p99 > gate.latency_max_s.unwrap_or(f64::MAX)
        || in_flight > gate.in_flight_max.unwrap_or(f64::MAX);
    let timeouts = (sent - good) * 3 / 5;
    Window {
        start_s,
        width_s: 1.0,
        phase: phase(start_s),
        planned: sent,
        sent,
        missed: 0,
        success: good,
        good,
        timeouts,
        errors: sent - good - timeouts,
        attainment: Some(attainment),
        goodput_per_s: good as f64,
        p50_s: Some(middle.p50 * wobble),
        p95_s: Some((middle.p99 * wobble * 0.7).min(TIMEOUT)),
        p99_s: Some(p99),
        p_q_s: Some(p99),
        in_flight,
        lag_p99_s: 0.0004 + 0.0004 * dice.uniform(51),
        valid: true,
        bad: (phase(start_s) != Phase::Warmup).then_some(outside),
        bins,
    }
}

/// A second in which the driver was starved: invalid, whatever the system did.
fn starve(window: &mut Window) {
    window.missed = 35;
    window.sent = window.sent.saturating_sub(35);
    window.good = window.good.min(window.sent);
    window.success = window.good;
    (window.timeouts, window.errors) = (0, window.sent - window.good);
    window.attainment = Some(window.good as f64 / window.sent as f64);
    window.lag_p99_s = 0.084;
    window.valid = false;
    window.bad = None;
}

fn gate() -> Thresholds {
    Thresholds { attainment_min: Some(0.9443), latency_max_s: Some(0.0775), in_flight_max: Some(22.0) }
}

fn baseline() -> Baseline {
    Baseline {
        windows: 38,
        from_s: 8.0,
        to_s: 46.0,
        attainment: 0.9992,
        goodput_per_s: 399.0,
        p_q_s: Some(0.062),
        p_q_mad_s: Some(0.0021),
        in_flight_p95: 11.0,
        attainment_cv: 0.0014,
        smallest_visible_drop: Some(0.061),
    }
}

fn split(windows: &[Window], amount: impl Fn(&Window) -> f64) -> SplitAmount {
    let sum = |during: bool| windows.iter().filter(|w| (w.start_s < T_OFF) == during).map(&amount).sum();
    SplitAmount { during_fault: sum(true), after_fault: sum(false) }
}

/// The amounts of `RECOVERY.md` over these windows; times are the caller's.
fn measure(windows: &[Window]) -> Recovery {
    let base = baseline();
    let judged: Vec<&Window> = windows.iter().filter(|w| w.valid && w.start_s >= T_ON - TIMEOUT).collect();
    let bad: Vec<Window> = judged.iter().filter(|w| w.bad == Some(true)).map(|w| (*w).clone()).collect();
    let attainment = |w: &Window| w.attainment.unwrap_or(1.0);
    let lowest = judged.windows(2).map(|two| (attainment(two[0]) + attainment(two[1])) / 2.0).fold(1.0, f64::min);
    Recovery {
        outcome: Outcome::Withstood,
        reason: String::new(),
        ttr_s: None,
        ttr_interval_s: None,
        censored_at_s: None,
        ttfr_s: None,
        tti_s: None,
        onset_at_s: None,
        recovered_at_s: None,
        outage_s: bad.iter().map(|w| w.width_s).sum(),
        depth: Some(1.0 - lowest / base.attainment),
        depth_of_baseline: Some(0.0061),
        residual: None,
        latency_ratio_max: None,
        impact: Impact::None,
        resilience_loss_s: Some(split(&bad, |w| (1.0 - attainment(w) / base.attainment).max(0.0) * w.width_s)),
        goodput_lost: Some(split(&bad, |w| (w.sent as f64 * base.attainment - w.good as f64).max(0.0))),
        iso_resiliency: None,
        burn_rate: None,
        retry_amplification: None,
        drain_s: None,
    }
}

fn totals(windows: &[Window]) -> LoadTotals {
    let sum = |field: fn(&Window) -> u64| windows.iter().map(field).sum::<u64>();
    let seconds: f64 = windows.iter().map(|w| w.width_s).sum();
    let errors = [("timeout", sum(|w| w.timeouts)), ("status_503", sum(|w| w.errors))];
    LoadTotals {
        offered_per_s: Some(RATE),
        achieved_per_s: (sum(|w| w.sent) as f64 / seconds * 10.0).round() / 10.0,
        requests: sum(|w| w.sent),
        good: sum(|w| w.good),
        missed: sum(|w| w.missed),
        errors: errors.into_iter().filter(|(_, n)| *n > 0).map(|(k, n)| (k.to_owned(), n)).collect::<BTreeMap<_, _>>(),
        latency_s: Some(Quantiles { p50: 0.0187, p90: 1.42, p99: 2.0, p999: 2.0, max: 2.003 }),
        service_s: Some(Quantiles { p50: 0.0184, p90: 1.41, p99: 2.0, p999: 2.0, max: 2.001 }),
        lag_s: Some(Quantiles { p50: 0.00011, p90: 0.00028, p99: 0.00074, p999: 0.0061, max: 0.084 }),
        driver_limited: false,
        connections_opened: 812,
        received_bytes: 48_213_004,
        sent_bytes: 4_100_200,
    }
}

fn rule(injected: u64) -> RuleReport {
    RuleReport {
        rule: "inventory-503".to_owned(),
        summary: "answers 503 to half of POST /reserve".to_owned(),
        matched: 2 * injected + 31,
        triggered: injected + 14,
        limited: 0,
        skipped: 0,
        injected,
        released: 3,
        departed: 14,
    }
}

fn run(windows: Vec<Window>, recovery: Recovery) -> Run {
    let load = totals(&windows);
    Run {
        index: 1,
        seed: 7,
        recovery,
        baseline: Some(baseline()),
        gate: Some(gate()),
        thresholds: Some(Thresholds { attainment_min: Some(0.99), latency_max_s: Some(0.25), in_flight_max: None }),
        edges: Edges {
            t_on: T_ON,
            on_sent: T_ON,
            on_acknowledged: T_ON + 0.0021,
            t_off: T_OFF,
            off_sent: T_OFF,
            off_acknowledged: T_OFF + 0.0034,
        },
        windows,
        rules: vec![rule(8_412)],
        load,
        expectations: Vec::new(),
        notes: Vec::new(),
    }
}

fn plan() -> PlanSummary {
    PlanSummary {
        target: "http://127.0.0.1:8080".to_owned(),
        rate_per_s: RATE,
        arrivals: "poisson".to_owned(),
        timeout_s: TIMEOUT,
        window_s: 1.0,
        warmup_s: 8.0,
        steady_s: 40.0,
        fault_s: 20.0,
        recovery_s: 72.0,
        confirm_windows: 10,
        hold_s: 30.0,
        mode: "relative".to_owned(),
        quantile: 0.99,
        good_latency_s: TIMEOUT,
        rules: vec!["inventory-503: answers 503 to half of POST /reserve".to_owned()],
        amplification_seen_by: AmplificationSource::Proxy,
    }
}

fn result(verdict: Verdict, exit_code: u8, reasons: &[&str], runs: Vec<Run>) -> ExperimentResult {
    ExperimentResult {
        schema: SCHEMA.to_owned(),
        name: "checkout survives a failing inventory".to_owned(),
        verdict,
        exit_code,
        reasons: reasons.iter().map(|&reason| reason.to_owned()).collect(),
        started_at: "2026-11-20T20:41:07Z".to_owned(),
        seed: 7,
        plan: plan(),
        runs,
        environment: Environment {
            version: "0.1.0".to_owned(),
            os: "Linux 6.1.0".to_owned(),
            cores: 2,
            cpu: Some("Example CPU @ 2.40GHz".to_owned()),
            command: ["brownout", "run", "checkout.toml", "--set", "load.rate=400/s", "--out", "out dir"]
                .map(str::to_owned)
                .to_vec(),
        },
    }
}

fn expectation(text: &str, state: ExpectationState, measured: &str) -> Expectation {
    Expectation { text: text.to_owned(), state, measured: measured.to_owned() }
}

fn storm_run(back: f64, end: u64) -> Run {
    let windows = (0..end).map(|second| window(second, |t| storm(t, back), &gate())).collect::<Vec<_>>();
    let mut recovery = measure(&windows);
    recovery.impact = Impact::Attainment;
    recovery.tti_s = Some(0.4);
    recovery.onset_at_s = Some(T_ON + 0.4);
    recovery.latency_ratio_max = Some(TIMEOUT / 0.062);
    recovery.retry_amplification = Some(2.83);
    run(windows, recovery)
}

/// Fall, retry storm, and a recovery 14.3 s after the fault ended, later than expected: a failure.
pub(super) fn recovered_late() -> ExperimentResult {
    let back = T_OFF + 14.3;
    let mut run = storm_run(back, 140);
    starve(&mut run.windows[113]);
    run.load = totals(&run.windows);
    run.recovery.outcome = Outcome::Recovered;
    run.recovery.reason = "good again from 14.3s after fault-off on, for the hold of 30s".to_owned();
    run.recovery.ttr_s = Some(14.3);
    run.recovery.ttr_interval_s = Some((14.1, 14.5034));
    run.recovery.ttfr_s = Some(14.3);
    run.recovery.recovered_at_s = Some(back);
    run.recovery.drain_s = Some(15.0);
    run.recovery.residual = Some(1.0);
    run.expectations = vec![
        expectation("recovered_within = 5s", ExpectationState::Fail, "14.3s, 95% interval 14.1s to 14.5s"),
        expectation("success_during_fault = 15%", ExpectationState::Pass, "21.4%"),
    ];
    run.notes = vec!["1 of 140 windows is invalid: the driver issued 91.2% of its arrivals in it".to_owned()];
    let reason = "recovered_within = 5s does not hold: 14.3s, 95% interval 14.1s to 14.5s";
    result(Verdict::Fail, 1, &[reason], vec![run])
}

/// Nothing fell: one rule that half of the requests met, and an answer from a cache.
pub(super) fn withstood() -> ExperimentResult {
    let windows = (0..140).map(|second| window(second, |_| NORMAL, &gate())).collect::<Vec<_>>();
    let mut recovery = measure(&windows);
    recovery.reason = "no bad run from fault-on to 30s after fault-off".to_owned();
    recovery.residual = Some(1.0);
    recovery.latency_ratio_max = Some(1.09);
    recovery.retry_amplification = Some(1.02);
    let mut run = run(windows, recovery);
    run.load.latency_s = Some(Quantiles { p50: 0.0181, p90: 0.041, p99: 0.0623, p999: 0.09, max: 0.131 });
    run.load.service_s = Some(Quantiles { p50: 0.0179, p90: 0.040, p99: 0.0619, p999: 0.088, max: 0.130 });
    run.expectations = vec![expectation("outcome = withstood", ExpectationState::Pass, "withstood")];
    result(Verdict::Pass, 0, &["every expectation holds"], vec![run])
}

/// The storm feeds itself: still down when the watch ends. The proxy stood in front, so retries cannot be seen.
pub(super) fn never_recovered() -> ExperimentResult {
    let mut run = storm_run(900.0, 140);
    run.recovery.outcome = Outcome::NeverRecovered;
    run.recovery.reason = "no window from fault-off to the end of the watch was good".to_owned();
    run.recovery.censored_at_s = Some(72.0);
    run.recovery.residual = Some(0.152);
    run.recovery.retry_amplification = None;
    run.expectations = vec![expectation("recovered_within = 5s", ExpectationState::Fail, "not recovered within 1m12s")];
    let mut result = result(Verdict::Fail, 1, &["the system did not recover within the watch of 1m12s"], vec![run]);
    result.plan.amplification_seen_by = AmplificationSource::Driver;
    result
}

/// The baseline drifts before any fault: no figure can be given.
pub(super) fn no_steady_state() -> ExperimentResult {
    let drift = |t: f64| Shape { attainment: 0.97 - 0.4 * (t / 48.0).min(1.0), p99: 0.4, p50: 0.05, in_flight: 30.0 };
    let none = Thresholds { attainment_min: None, latency_max_s: None, in_flight_max: None };
    let mut windows = (0..48).map(|second| window(second, drift, &none)).collect::<Vec<_>>();
    windows.iter_mut().for_each(|w| w.bad = None);
    let mut recovery = measure(&windows);
    recovery.outcome = Outcome::NoSteadyState;
    recovery.reason = "attainment fell by 33.1% of its median over the baseline; at most 5% is steady".to_owned();
    (recovery.depth, recovery.depth_of_baseline) = (None, None);
    (recovery.resilience_loss_s, recovery.goodput_lost) = (None, None);
    let mut run = run(windows, recovery);
    (run.baseline, run.gate, run.thresholds) = (None, None, None);
    let silent = rule(0);
    run.rules = vec![RuleReport { rule: silent.rule, summary: silent.summary, ..RuleReport::default() }];
    run.load.driver_limited = true;
    let reason = "no steady state: attainment fell by 33.1% of its median over the baseline; at most 5% is steady";
    result(Verdict::Invalid, 4, &[reason], vec![run])
}

/// Ctrl-C during the fault: what was measured so far.
pub(super) fn interrupted() -> ExperimentResult {
    let mut run = storm_run(900.0, 57);
    run.recovery.outcome = Outcome::Interrupted;
    run.recovery.reason = "ended by SIGINT in the fault phase; the faults were removed".to_owned();
    result(Verdict::Interrupted, 130, &["ended by SIGINT in the fault phase; the faults were removed"], vec![run])
}

/// Three runs: late, later, never.
pub(super) fn repeated() -> ExperimentResult {
    let mut result = recovered_late();
    let mut slower = result.runs[0].clone();
    slower.index = 2;
    slower.seed = 8;
    slower.windows = (0..140).map(|second| window(second, |t| storm(t, T_OFF + 17.2), &gate())).collect();
    slower.recovery.ttr_s = Some(17.2);
    slower.recovery.ttr_interval_s = Some((17.0, 17.3034));
    slower.recovery.recovered_at_s = Some(T_OFF + 17.2);
    slower.recovery.reason = "good again from 17.2s after fault-off on, for the hold of 30s".to_owned();
    let mut never = never_recovered().runs.remove(0);
    never.index = 3;
    never.seed = 9;
    result.runs.extend([slower, never]);
    result.reasons = vec!["run 3 did not recover within the watch of 1m12s".to_owned()];
    result
}

/// Names that no layout expects: very long, without a space, and hostile to markup.
pub(super) fn awkward_names() -> ExperimentResult {
    let mut result = recovered_late();
    let long = "an-identifier-without-any-space-that-is-longer-than-a-line-of-the-terminal-can-ever-be-".repeat(2);
    result.name = format!("</script><b>{long}</b> & a tail of ordinary words that goes on for quite a while");
    result.reasons = vec![format!("{long} = 5s does not hold")];
    let run = &mut result.runs[0];
    run.rules[0].rule = format!("<i>{long}");
    run.rules[0].summary = format!("does \u{1b}[31m{long}");
    run.rules[0].matched = u64::MAX;
    run.rules[0].triggered = u64::MAX;
    run.expectations[0].text = format!("{long} = 5s");
    run.expectations[0].measured = long.clone();
    run.notes = vec![format!("</script> {long}")];
    run.load.errors = BTreeMap::from([(long.clone(), u64::MAX)]);
    result.plan.target = format!("http://{long}:8080");
    result.plan.rules = vec![long.clone()];
    result.environment.command.push(format!("it's {long}"));
    result.environment.cpu = None;
    result
}

/// Every fixture with a name for snapshots.
pub(super) fn all() -> Vec<(&'static str, ExperimentResult)> {
    vec![
        ("recovered_late", recovered_late()),
        ("withstood", withstood()),
        ("never_recovered", never_recovered()),
        ("no_steady_state", no_steady_state()),
        ("interrupted", interrupted()),
        ("repeated", repeated()),
        ("awkward_names", awkward_names()),
    ]
}
