use super::*;
use crate::diagnostics::Node;
use crate::experiment::slo::Objective;
use crate::units::Share;

fn intent(rate: f64) -> Intent {
    Intent {
        rate: Rate::new(rate).unwrap(),
        timeout: Duration::from_secs(2),
        connections: None,
        warmup: Duration::from_secs(10),
        steady: None,
        fault: Duration::from_secs(30),
        recovery: None,
        recovered_within: None,
        slo: Slo::default(),
        policy: Policy::default(),
    }
}

fn p99(limit: Duration) -> Option<Objective> {
    Some(Objective { key: "p99", quantile: 0.99, limit })
}

fn refused(intent: Intent) -> Vec<String> {
    Plan::new(intent).unwrap_err().into_iter().map(|r| format!("{}.{}: {}", r.table, r.key, r.cure)).collect()
}

#[test]
fn the_defaults_fill_in_each_other() {
    let plan = Plan::new(intent(500.0)).unwrap();
    assert_eq!((plan.window_s, plan.hold_s, plan.connections), (1.0, 30.0, 1500));
    assert_eq!((plan.warmup_s, plan.steady_s, plan.fault_s, plan.recovery_s), (10.0, 40.0, 30.0, 120.0));
    assert_eq!((plan.t_on(), plan.t_off(), plan.end()), (50.0, 80.0, 200.0));
    assert_eq!((plan.good_latency_s, plan.quantile, plan.window_requests()), (2.0, 0.95, 500.0));
    assert_eq!(plan.notes, Vec::<String>::new());
}

#[test]
fn the_window_is_the_narrowest_that_holds_enough_requests() {
    for (rate, window) in [(1000.0, 1.0), (100.0, 1.0), (99.0, 2.0), (50.0, 2.0), (20.0, 5.0), (10.0, 10.0)] {
        assert_eq!(Plan::new(intent(rate)).unwrap().window_s, window, "{rate}/s");
    }
    let narrow = |rate| {
        let policy = Policy { min_window: Duration::from_millis(100), ..Policy::default() };
        Plan::new(Intent { policy, ..intent(rate) }).unwrap().window_s
    };
    assert_eq!([1000.0, 999.0, 500.0, 200.0].map(narrow), [0.1, 0.2, 0.2, 0.5]);
    let slo = Slo { objective: p99(Duration::from_millis(250)), ..Slo::default() };
    assert_eq!(Plan::new(Intent { slo, ..intent(100.0) }).unwrap().window_s, 5.0);
}

#[test]
fn low_rates_widen_the_window_and_with_it_hold_and_watch() {
    let plan = Plan::new(intent(20.0)).unwrap();
    assert_eq!((plan.window_s, plan.hold_s), (5.0, 150.0));
    assert_eq!((plan.steady_s, plan.recovery_s), (200.0, 240.0));
}

#[test]
fn phases_are_rounded_up_to_whole_windows() {
    let policy = Policy { min_window: Duration::from_millis(200), ..Policy::default() };
    let uneven =
        Intent { warmup: Duration::from_millis(1_050), fault: Duration::from_millis(4_010), policy, ..intent(500.0) };
    let plan = Plan::new(uneven).unwrap();
    assert!((plan.warmup_s - 1.2).abs() < 1e-9 && (plan.fault_s - 4.2).abs() < 1e-9, "{plan:?}");
}

#[test]
fn a_long_timeout_lengthens_the_default_steady_phase() {
    let plan = Plan::new(Intent { timeout: Duration::from_secs(15), ..intent(500.0) }).unwrap();
    assert_eq!(plan.steady_s, 45.0);
}

#[test]
fn every_reason_to_refuse_is_named_at_once_with_what_is_needed() {
    let short = Intent {
        connections: Some(100),
        steady: Some(Duration::from_secs(20)),
        fault: Duration::from_millis(500),
        recovery: Some(Duration::from_secs(35)),
        ..intent(500.0)
    };
    assert_eq!(
        refused(short),
        [
            "phases.steady: needed: 32.0s",
            "phases.fault: needed: 2.00s",
            "phases.recovery: needed: 40.0s",
            "load.connections: needed: 1500 (1.5 x rate x timeout)",
        ]
    );
}

#[test]
fn a_rate_too_low_names_the_lowest_that_would_do() {
    assert_eq!(refused(intent(3.0)), ["load.rate: needed: at least 10/s"]);
    let slo = Slo { objective: p99(Duration::from_millis(250)), ..Slo::default() };
    assert_eq!(refused(Intent { slo, ..intent(30.0) }), ["load.rate: needed: at least 50/s"]);
}

#[test]
fn a_watch_that_cannot_see_the_expected_recovery_is_refused() {
    let plan = |recovery| Intent {
        recovery: Some(Duration::from_secs(recovery)),
        recovered_within: Some(Duration::from_secs(45)),
        ..intent(500.0)
    };
    assert_eq!(refused(plan(60)), ["phases.recovery: needed: 1m15s"]);
    assert!(Plan::new(plan(75)).is_ok());
}

#[test]
fn a_limit_that_the_timeout_makes_unbreakable_is_refused() {
    let slo = Slo { latency: Some(Duration::from_secs(3)), objective: p99(Duration::from_secs(2)), success: None };
    let refusals = refused(Intent { slo, ..intent(500.0) });
    assert_eq!(refusals.len(), 2, "{refusals:?}");
    assert!(refusals[0].starts_with("slo.latency") && refusals[1].starts_with("slo.p99"), "{refusals:?}");
}

#[test]
fn the_slo_mode_needs_something_to_judge_by() {
    let policy = Policy { mode: Mode::Slo, ..Policy::default() };
    assert_eq!(refused(Intent { policy: policy.clone(), ..intent(500.0) }).len(), 1);
    let slo = Slo { success: Share::new(0.99), ..Slo::default() };
    assert!(Plan::new(Intent { slo, policy, ..intent(500.0) }).is_ok());
}

#[test]
fn a_shortened_hold_is_said_and_one_shorter_than_its_confirmation_is_refused() {
    let hold = |windows| Policy { hold: Duration::ZERO, hold_windows: windows, ..Policy::default() };
    let plan = Plan::new(Intent { policy: hold(12), ..intent(500.0) }).unwrap();
    assert_eq!((plan.hold_s, plan.notes.len()), (12.0, 1));
    assert!(refused(Intent { policy: hold(5), ..intent(500.0) })[0].starts_with("policy.hold"));
}

#[test]
fn a_refusal_finds_the_line_of_its_key() {
    let root =
        Node::from_toml("e.toml", "[load]\nrate = \"3/s\"\n\n[phases]\nsteady = \"5s\"\nfault = \"1s\"\n").unwrap();
    let refusals = Plan::new(Intent {
        steady: Some(Duration::from_secs(5)),
        recovery: Some(Duration::from_secs(5)),
        ..intent(3.0)
    })
    .unwrap_err();
    let lines: Vec<_> = problems(&refusals, "e.toml", &root).0.into_iter().map(|p| (p.message, p.line)).collect();
    let line = |key: &str| lines.iter().find(|(message, _)| message.starts_with(key)).unwrap().1;
    assert_eq!([line("load.rate"), line("phases.steady"), line("phases.recovery")], [Some(2), Some(5), Some(4)]);
}
