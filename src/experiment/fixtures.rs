//! Plans and windows for the tests of this folder: 500 requests a second, windows of a second, fault from 50 s to 80 s.

use std::time::Duration;

use super::baseline::SteadyState;
use super::gate::Gate;
use super::plan::{Intent, Plan};
use super::policy::{Mode, Policy};
use super::slo::Slo;
use crate::results::{Baseline, Edges, Phase, SubBin, Thresholds, Window};
use crate::units::Rate;

pub(super) fn plan() -> Plan {
    let intent = Intent {
        rate: Rate::new(500.0).unwrap(),
        timeout: Duration::from_secs(2),
        connections: None,
        warmup: Duration::from_secs(10),
        steady: None,
        fault: Duration::from_secs(30),
        recovery: None,
        recovered_within: None,
        slo: Slo::default(),
        policy: Policy::default(),
    };
    Plan::new(intent).unwrap()
}

pub(super) fn edges() -> Edges {
    Edges { t_on: 50.0, on_sent: 50.0, on_acknowledged: 50.0, t_off: 80.0, off_sent: 80.0, off_acknowledged: 80.0 }
}

pub(super) fn baseline() -> Baseline {
    Baseline {
        windows: 30,
        from_s: 18.0,
        to_s: 48.0,
        attainment: 1.0,
        goodput_per_s: 500.0,
        p_q_s: Some(0.1),
        p_q_mad_s: Some(0.001),
        in_flight_p95: 30.0,
        attainment_cv: 0.0,
        smallest_visible_drop: Some(0.06),
    }
}

pub(super) fn steady() -> SteadyState {
    let (baseline, plan) = (baseline(), plan());
    let gate = Gate::new(Mode::Relative, &baseline, &plan);
    let other = Thresholds { attainment_min: None, latency_max_s: None, in_flight_max: None };
    SteadyState { baseline, gate, other }
}

/// The `index`-th second of a run, 500 requests spread evenly, this share of them good in each 100 ms.
pub(super) fn window(index: usize, attainment: f64) -> Window {
    let bin_good = (50.0 * attainment).round() as u32;
    window_of_bins(index, [bin_good; 10])
}

/// The `index`-th second of a run with this many good requests of 50 in each 100 ms.
pub(super) fn window_of_bins(index: usize, good: [u32; 10]) -> Window {
    let total: u64 = good.iter().map(|g| u64::from(*g)).sum();
    let start_s = index as f64;
    let phase = match index {
        0..10 => Phase::Warmup,
        10..50 => Phase::Steady,
        50..80 => Phase::Fault,
        _ => Phase::Recovery,
    };
    Window {
        start_s,
        width_s: 1.0,
        phase,
        planned: 500,
        sent: 500,
        missed: 0,
        success: total,
        good: total,
        timeouts: 0,
        errors: 500 - total,
        attainment: Some(total as f64 / 500.0),
        goodput_per_s: total as f64,
        p50_s: Some(0.05),
        p95_s: Some(0.1),
        p99_s: Some(0.1),
        p_q_s: Some(0.1),
        in_flight: 30.0,
        lag_p99_s: 0.0,
        valid: true,
        bad: None,
        bins: good.iter().map(|g| SubBin { sent: 50, good: *g, within: *g }).collect(),
    }
}

/// A whole run of 200 s: good but for the windows listed with their attainment.
pub(super) fn run(bad: impl IntoIterator<Item = (std::ops::Range<usize>, f64)>) -> Vec<Window> {
    let mut windows: Vec<Window> = (0..200).map(|i| window(i, 1.0)).collect();
    for (range, attainment) in bad {
        for i in range {
            windows[i] = window(i, attainment);
        }
    }
    steady().gate.mark(&mut windows);
    windows
}
