//! A system whose health is known at every moment, and the windows that a driver would have recorded of it.

use std::time::Duration;

use brownout::experiment::baseline::{SteadyState, Unsteady, measure_baseline};
use brownout::experiment::measure::{Ended, Evidence, measure_recovery};
use brownout::experiment::plan::{Intent, Plan};
use brownout::experiment::policy::Policy;
use brownout::experiment::slo::Slo;
use brownout::results::{Edges, Phase, Recovery, SUB_BIN_S, SubBin, Window};
use brownout::stats::normal_quantile;
use brownout::units::Rate;

use crate::chance::{Chance, Poisson};

/// How requests fare in one state of the system.
#[derive(Clone, Copy)]
pub(crate) struct Health {
    /// Share of good answers; the rest are errors.
    pub(crate) good: f64,
    /// Median latency of the answers in seconds.
    pub(crate) median_s: f64,
    /// Standard deviation of its logarithm.
    pub(crate) sigma: f64,
}

impl Health {
    pub(crate) fn good(share: f64) -> Self {
        Self { good: share, median_s: 0.02, sigma: 0.5 }
    }

    fn latency(&self, uniform: f64) -> f64 {
        self.median_s * (self.sigma * normal_quantile(uniform)).exp()
    }
}

/// What a run is made of.
#[derive(Clone, Copy)]
pub(crate) struct Setting {
    pub(crate) rate: f64,
    pub(crate) window_ms: u64,
    pub(crate) poisson: bool,
    pub(crate) healthy: Health,
    pub(crate) faulty: Health,
    /// Requests are drawn one by one, for faults that move latency. Slower.
    pub(crate) each_latency: bool,
    pub(crate) fault_windows: u32,
    pub(crate) watch_s: f64,
}

impl Setting {
    pub(crate) fn new(rate: f64, window_ms: u64, healthy: f64, faulty: f64) -> Self {
        Self {
            rate,
            window_ms,
            poisson: true,
            healthy: Health::good(healthy),
            faulty: Health::good(faulty),
            each_latency: false,
            fault_windows: 10,
            watch_s: 62.0,
        }
    }

    /// Arrivals at even distances instead of at random.
    pub(crate) fn even(self) -> Self {
        Self { poisson: false, ..self }
    }

    /// The fault moves latency, by this factor.
    pub(crate) fn slowed(self, factor: f64) -> Self {
        let faulty = Health { median_s: self.faulty.median_s * factor, ..self.faulty };
        Self { faulty, each_latency: true, ..self }
    }

    /// Latencies spread more widely.
    pub(crate) fn spread(self, sigma: f64) -> Self {
        let (healthy, faulty) = (Health { sigma, ..self.healthy }, Health { sigma, ..self.faulty });
        Self { healthy, faulty, ..self }
    }

    pub(crate) fn window_s(&self) -> f64 {
        self.window_ms as f64 / 1e3
    }

    /// The plan: the watch is long enough for what is simulated, the hold comes on top of it.
    pub(crate) fn plan(&self, policy: Policy) -> Plan {
        let window = Duration::from_millis(self.window_ms);
        let hold = policy.hold.max(window * policy.hold_windows as u32);
        let confirm = window * policy.confirm_windows as u32;
        let intent = Intent {
            rate: Rate::new(self.rate).unwrap(),
            timeout: Duration::from_secs(1),
            connections: None,
            warmup: Duration::ZERO,
            steady: None,
            fault: window * self.fault_windows,
            recovery: Some(Duration::from_secs_f64(self.watch_s) + hold.max(confirm) + confirm),
            recovered_within: None,
            slo: Slo::default(),
            policy: Policy { min_window: window, ..policy },
        };
        let plan = Plan::new(intent).unwrap();
        assert_eq!(plan.window_s, window.as_secs_f64(), "the rate is too low for the window");
        plan
    }
}

/// Whether the system is ill at a moment after the start of the run.
pub(crate) trait Course {
    fn ill(&self, at_s: f64) -> bool;
}

impl<F: Fn(f64) -> bool> Course for F {
    fn ill(&self, at_s: f64) -> bool {
        self(at_s)
    }
}

pub(crate) struct Simulation<'a> {
    pub(crate) setting: Setting,
    pub(crate) plan: &'a Plan,
    poisson: Poisson,
}

impl<'a> Simulation<'a> {
    pub(crate) fn new(setting: Setting, plan: &'a Plan) -> Self {
        Self { setting, plan, poisson: Poisson::new(setting.rate * SUB_BIN_S) }
    }

    /// One run from the steady phase to the end of the watch; the recorder learns the latency limit when the baseline
    /// is known, as the driver does.
    pub(crate) fn run(&self, chance: &mut Chance, course: &dyn Course) -> Result<Recovery, Unsteady> {
        let plan = self.plan;
        let windows = |s: f64| (s / plan.window_s).round() as usize;
        let (steady, all) = (windows(plan.t_on()), windows(plan.end()));
        let mut recorded: Vec<Window> = (0..steady).map(|i| self.window(i, chance, course, None)).collect();
        let state = measure_baseline(&recorded, plan.t_on(), plan)?;
        let limit = state.gate.limits.latency_max_s;
        recorded.extend((steady..all).map(|i| self.window(i, chance, course, limit)));
        Ok(measure(&recorded, &state, plan))
    }

    fn window(&self, index: usize, chance: &mut Chance, course: &dyn Course, limit: Option<f64>) -> Window {
        let (w, setting) = (self.plan.window_s, &self.setting);
        let start_s = index as f64 * w;
        let bins = (w / SUB_BIN_S).round() as usize;
        let mut latencies = Vec::new();
        let (mut sent, mut good) = (0, 0);
        let mut counts = Vec::with_capacity(bins);
        for bin in 0..bins {
            let at_s = start_s + bin as f64 * SUB_BIN_S;
            let arrivals =
                if setting.poisson { self.poisson.draw(chance) } else { (setting.rate * SUB_BIN_S).round() as u64 };
            let ill = ill_arrivals(arrivals, at_s, chance, course);
            let ill_good = chance.binomial(ill, setting.faulty.good);
            let well_good = chance.binomial(arrivals - ill, setting.healthy.good);
            let mut within = ill_good + well_good;
            if setting.each_latency {
                let from = latencies.len();
                latencies.extend((0..ill_good).map(|_| setting.faulty.latency(chance.uniform())));
                latencies.extend((0..well_good).map(|_| setting.healthy.latency(chance.uniform())));
                within = latencies[from..].iter().filter(|l| limit.is_some_and(|limit| **l <= limit)).count() as u64;
            }
            (sent, good) = (sent + arrivals, good + ill_good + well_good);
            let of = |n: u64| u32::try_from(n).unwrap();
            counts.push(SubBin { sent: of(arrivals), good: of(ill_good + well_good), within: of(within) });
        }
        let p_q_s = self.quantile(good, latencies, chance);
        self.recorded(start_s, sent, good, p_q_s, counts)
    }

    fn quantile(&self, good: u64, mut latencies: Vec<f64>, chance: &mut Chance) -> Option<f64> {
        let q = self.plan.quantile;
        if good == 0 {
            None
        } else if self.setting.each_latency {
            latencies.sort_by(f64::total_cmp);
            Some(latencies[((q * good as f64).ceil() as usize).clamp(1, latencies.len()) - 1])
        } else {
            Some(self.setting.healthy.latency(chance.uniform_quantile(good, q)))
        }
    }

    fn recorded(&self, start_s: f64, sent: u64, good: u64, p_q_s: Option<f64>, bins: Vec<SubBin>) -> Window {
        let plan = self.plan;
        let phase = match start_s + 1e-6 {
            s if s < plan.t_on() => Phase::Steady,
            s if s < plan.t_off() => Phase::Fault,
            _ => Phase::Recovery,
        };
        Window {
            start_s,
            width_s: plan.window_s,
            phase,
            planned: sent,
            sent,
            missed: 0,
            success: good,
            good,
            timeouts: 0,
            errors: sent - good,
            attainment: (sent > 0).then(|| good as f64 / sent as f64),
            goodput_per_s: good as f64 / plan.window_s,
            p50_s: p_q_s,
            p95_s: p_q_s,
            p99_s: p_q_s,
            p_q_s,
            in_flight: self.setting.rate * self.setting.healthy.median_s,
            lag_p99_s: 0.0,
            valid: sent > 0,
            bad: None,
            bins,
        }
    }
}

/// How many of the arrivals of one sub-bin meet an ill system; it changes at most once within a sub-bin.
fn ill_arrivals(arrivals: u64, at_s: f64, chance: &mut Chance, course: &dyn Course) -> u64 {
    let (first, last) = (course.ill(at_s), course.ill(at_s + SUB_BIN_S - 1e-9));
    if first == last {
        return if first { arrivals } else { 0 };
    }
    (0..arrivals).filter(|_| course.ill(at_s + chance.uniform() * SUB_BIN_S)).count() as u64
}

fn measure(windows: &[Window], steady: &SteadyState, plan: &Plan) -> Recovery {
    let (t_on, t_off) = (plan.t_on(), plan.t_off());
    let edges = Edges { t_on, on_sent: t_on, on_acknowledged: t_on, t_off, off_sent: t_off, off_acknowledged: t_off };
    let evidence = Evidence { windows, steady: Ok(steady), edges, ended: &Ended::Complete, rules: &[], retries: None };
    measure_recovery(&evidence, plan)
}
