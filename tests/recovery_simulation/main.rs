//! The statistical claims of docs/recovery.md: thousands of runs against systems whose recovery is known, on a virtual
//! clock, with a fixed seed. Prints what it finds (`--nocapture`) and holds it against the bars.

// Helpers of a test are tests too; what they print is for `--nocapture`.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod chance;
mod system;
mod tally;

use brownout::dice::Dice;
use brownout::experiment::policy::Policy;
use brownout::results::{Impact, Outcome};

use chance::Chance;
use system::{Course, Setting, Simulation};
use tally::{Accuracy, Share};

/// The shares that the issue allows for false answers.
const RARE: f64 = 0.01;

/// Runs a system that is ill from fault-on until a random moment after fault-off.
fn accuracy(setting: Setting, policy: Policy, runs: u64, shortest_s: f64, longest_s: f64) -> Accuracy {
    let plan = setting.plan(policy);
    let simulation = Simulation::new(setting, &plan);
    let mut accuracy = Accuracy::default();
    for seed in 0..runs {
        let mut chance = Chance::seeded(seed);
        let truth_s = chance.log_uniform(shortest_s, longest_s);
        let ill = |at_s: f64| at_s >= plan.t_on() && at_s < plan.t_off() + truth_s;
        let recovery = simulation.run(&mut chance, &ill);
        accuracy.add(recovery.as_ref().ok(), truth_s, plan.window_s);
    }
    accuracy
}

fn assert_accurate(name: &str, accuracy: &Accuracy) {
    println!("{}", accuracy.line(name));
    // A rare run in which chance made a bad run within the hold is off by dozens of windows: it may widen the mean's own
    // uncertainty, but not shift the rest.
    let ((bias, error), (trimmed, _)) = (accuracy.bias(), accuracy.trimmed_bias());
    assert!(bias.abs() <= 0.05 + 2.0 * error, "{name}: biased by {bias} +- {error} windows");
    assert!(trimmed.abs() <= 0.05, "{name}: biased by {trimmed} windows");
    assert!(accuracy.within.interval().0 >= 0.95, "{name}: within one window in {}", accuracy.within);
    assert!(accuracy.covered.share() >= 0.95, "{name}: the interval covers {}", accuracy.covered);
    assert!(accuracy.unsteady.share() <= RARE, "{name}: no steady state in {}", accuracy.unsteady);
}

#[test]
fn recovery_times_are_unbiased_and_within_one_window() {
    for (name, setting) in [
        ("500/s w=1s, 100% to 0%", Setting::new(500.0, 1000, 1.0, 0.0)),
        ("500/s w=1s, 99% to 0%", Setting::new(500.0, 1000, 0.99, 0.0)),
        ("500/s w=1s, 100% to 50%", Setting::new(500.0, 1000, 1.0, 0.5)),
        ("500/s w=1s, 99% to 80%", Setting::new(500.0, 1000, 0.99, 0.8)),
        ("500/s w=1s, 99% to 90%", Setting::new(500.0, 1000, 0.99, 0.9)),
        ("500/s w=1s, 90% to 70%", Setting::new(500.0, 1000, 0.9, 0.7)),
        ("500/s w=1s, 99% to 50%, even arrivals", Setting::new(500.0, 1000, 0.99, 0.5).even()),
        ("100/s w=1s, 99% to 50%", Setting::new(100.0, 1000, 0.99, 0.5)),
        ("100/s w=1s, 99% to 80%", Setting::new(100.0, 1000, 0.99, 0.8)),
        ("50/s w=2s, 99% to 50%", Setting::new(50.0, 2000, 0.99, 0.5)),
        ("20/s w=5s, 99% to 50%", Setting::new(20.0, 5000, 0.99, 0.5)),
        ("20/s w=5s, 99% to 80%", Setting::new(20.0, 5000, 0.99, 0.8)),
        ("500/s w=200ms, 100% to 0%", Setting::new(500.0, 200, 1.0, 0.0)),
        ("500/s w=200ms, 99% to 50%", Setting::new(500.0, 200, 0.99, 0.5)),
        ("500/s w=200ms, 99% to 80%", Setting::new(500.0, 200, 0.99, 0.8)),
        ("1000/s w=100ms, 99% to 50%", Setting::new(1000.0, 100, 0.99, 0.5)),
    ] {
        assert_accurate(name, &accuracy(setting, Policy::default(), 500, 0.2, 60.0));
    }
}

#[test]
fn a_recovery_within_the_first_window_is_not_read_as_none() {
    for (name, setting) in [
        ("shorter than w: 500/s w=1s, 99% to 50%", Setting::new(500.0, 1000, 0.99, 0.5)),
        ("shorter than w: 500/s w=200ms, 99% to 50%", Setting::new(500.0, 200, 0.99, 0.5)),
        ("shorter than w: 20/s w=5s, 99% to 0%", Setting::new(20.0, 5000, 0.99, 0.0)),
    ] {
        assert_accurate(name, &accuracy(setting, Policy::default(), 500, 0.02, setting.window_s()));
    }
}

#[test]
fn a_fault_that_moves_latency_only_is_timed_as_well() {
    for (name, setting) in [
        ("200/s w=1s, latency x10", Setting::new(200.0, 1000, 1.0, 1.0).slowed(10.0)),
        ("100/s w=1s, 99% good, latency x3", Setting::new(100.0, 1000, 0.99, 0.99).slowed(3.0)),
        ("500/s w=200ms, latency x3", Setting::new(500.0, 200, 1.0, 1.0).slowed(3.0)),
    ] {
        assert_accurate(name, &accuracy(Setting { watch_s: 20.0, ..setting }, Policy::default(), 200, 0.2, 15.0));
    }
}

/// In each window the system is ill with this probability, for ever.
fn unstable(seed: u64, ill_share: f64, window_s: f64, t_on: f64) -> impl Course {
    move |at_s: f64| {
        let window = (at_s / window_s + 1e-6).floor() as u64;
        at_s >= t_on && Dice::new(seed, 0, window).happens(0, ill_share)
    }
}

/// How often a system that never comes back is said to have.
fn false_recoveries(setting: Setting, policy: Policy, runs: u64, ill_share: f64) -> Share {
    let plan = setting.plan(policy);
    let simulation = Simulation::new(setting, &plan);
    let mut share = Share::default();
    for seed in 0..runs {
        let course = unstable(seed, ill_share, plan.window_s, plan.t_on());
        if let Ok(recovery) = simulation.run(&mut Chance::seeded(seed), &course) {
            share.add(recovery.ttr_s.is_some());
        }
    }
    share
}

#[test]
fn a_state_that_looks_good_half_of_the_time_is_not_called_recovered() {
    for (name, setting, ill_share) in [
        ("plateau, 500/s w=1s, half of the windows bad", Setting::new(500.0, 1000, 0.99, 0.85), 0.5),
        ("plateau, 500/s w=200ms, half of the windows bad", Setting::new(500.0, 200, 0.99, 0.8), 0.5),
        ("plateau, 100/s w=1s, steadily at the limit", Setting::new(100.0, 1000, 0.99, 0.94), 1.0),
        ("plateau, 100/s w=1s, steadily below the limit", Setting::new(100.0, 1000, 0.99, 0.92), 1.0),
    ] {
        let false_recovery = false_recoveries(setting, Policy::default(), 1000, ill_share);
        println!("{name:<52} recovered {false_recovery}");
        assert!(false_recovery.share() <= RARE, "{name}: {false_recovery}");
    }
    // No bar: the better the state, the more it is a matter of taste whether it is one of recovery.
    for ill_share in [0.33, 0.2] {
        let recovered = false_recoveries(Setting::new(500.0, 1000, 0.99, 0.85), Policy::default(), 500, ill_share);
        println!("good but for {:.0}% of the windows: recovered {recovered}", 100.0 * ill_share);
    }
}

#[test]
fn a_shorter_hold_has_its_price() {
    for windows in [30, 25, 20, 15, 10] {
        let policy = Policy { hold: std::time::Duration::ZERO, hold_windows: windows, ..Policy::default() };
        let share = false_recoveries(Setting::new(500.0, 1000, 0.99, 0.85), policy, 500, 0.5);
        println!("hold of {windows} windows: recovered from a half-good state {share}");
        assert!(windows != 10 || share.share() > 0.05, "then the hold could be shorter: {share}");
    }
}

#[test]
fn a_system_that_flaps_is_never_recovered() {
    for (period_s, ill_s) in [(4.0, 2.0), (10.0, 5.0), (25.0, 3.0)] {
        let setting = Setting::new(500.0, 1000, 0.99, 0.5);
        let plan = setting.plan(Policy::default());
        let simulation = Simulation::new(setting, &plan);
        let mut never = Share::default();
        for seed in 0..200 {
            let mut chance = Chance::seeded(seed);
            let shift = chance.uniform() * period_s;
            let flaps = |at_s: f64| at_s >= plan.t_on() && (at_s + shift) % period_s < ill_s;
            let recovery = simulation.run(&mut chance, &flaps);
            never.add(recovery.is_ok_and(|r| r.outcome == Outcome::NeverRecovered));
        }
        println!("ill for {ill_s} s of every {period_s} s: never recovered {never}");
        assert!(never.share() >= 1.0 - RARE, "{never}");
    }
}

#[test]
fn without_a_fault_there_is_no_onset() {
    for (name, setting) in [
        ("no fault, 500/s w=1s, 100%", Setting::new(500.0, 1000, 1.0, 1.0)),
        ("no fault, 500/s w=1s, 99%", Setting::new(500.0, 1000, 0.99, 0.99)),
        ("no fault, 500/s w=1s, 99%, heavy tail", Setting::new(500.0, 1000, 0.99, 0.99).spread(1.0)),
        ("no fault, 100/s w=1s, 99%", Setting::new(100.0, 1000, 0.99, 0.99)),
        ("no fault, 100/s w=1s, 95%", Setting::new(100.0, 1000, 0.95, 0.95)),
        ("no fault, 100/s w=1s, 100%, heavy tail", Setting::new(100.0, 1000, 1.0, 1.0).spread(1.0)),
        ("no fault, 20/s w=5s, 99%", Setting::new(20.0, 5000, 0.99, 0.99)),
        ("no fault, 500/s w=200ms, 99%", Setting::new(500.0, 200, 0.99, 0.99)),
        ("no fault, 500/s w=200ms, 99%, heavy tail", Setting::new(500.0, 200, 0.99, 0.99).spread(1.0)),
        ("no fault, 500/s w=200ms, 90%", Setting::new(500.0, 200, 0.9, 0.9)),
    ] {
        // An onset later than the hold after fault-off is none: a longer watch would add nothing.
        let setting = Setting { fault_windows: 30, watch_s: 1.0, ..setting };
        let plan = setting.plan(Policy::default());
        let simulation = Simulation::new(setting, &plan);
        let (mut onset, mut unsteady) = (Share::default(), Share::default());
        for seed in 0..1000 {
            let recovery = simulation.run(&mut Chance::seeded(seed), &|_: f64| false);
            unsteady.add(recovery.is_err());
            let Ok(recovery) = recovery else { continue };
            onset.add(recovery.onset_at_s.is_some());
            assert!(recovery.onset_at_s.is_some() || recovery.impact == Impact::None, "{recovery:?}");
        }
        println!("{name:<42} onset {onset}  no steady state {unsteady}");
        assert!(onset.share() <= RARE, "{name}: {onset}");
        assert!(unsteady.share() <= RARE, "{name}: {unsteady}");
    }
}
