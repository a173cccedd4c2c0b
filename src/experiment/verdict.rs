//! From outcome and expectations to verdict and exit code: one table.

use crate::results::{Expectation, ExpectationState, Outcome, Verdict};

/// What `--inconclusive` makes of a verdict that says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenInconclusive {
    /// Exit 4: neither pass nor fail.
    #[default]
    Say,
    /// Exit 0.
    Pass,
    /// Exit 1.
    Fail,
}

/// Which signal ended a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Ctrl-C: exit 130.
    Interrupt,
    /// SIGTERM: exit 143.
    Terminate,
}

/// A verdict, its exit code, and why, one sentence each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruling {
    /// The verdict.
    pub verdict: Verdict,
    /// The process' exit code.
    pub exit_code: u8,
    /// Why.
    pub reasons: Vec<String>,
}

/// What an outcome means by itself.
enum Weight {
    /// It decides, whatever was expected.
    Final(Verdict, u8),
    /// A failure unless `[expect] outcome` names it.
    Failure,
    /// The expectations decide.
    Open,
}

fn weight(outcome: Outcome, signal: Signal) -> Weight {
    match outcome {
        Outcome::Interrupted => {
            Weight::Final(Verdict::Interrupted, if signal == Signal::Interrupt { 130 } else { 143 })
        }
        Outcome::FaultNotRemovable => Weight::Final(Verdict::Invalid, 3),
        Outcome::DriverLost | Outcome::ProxyLost | Outcome::NotExercised | Outcome::NoSteadyState => {
            Weight::Final(Verdict::Invalid, 4)
        }
        Outcome::NeverRecovered | Outcome::Relapsed => Weight::Failure,
        Outcome::RemovalTransient | Outcome::Recovered | Outcome::Withstood => Weight::Open,
    }
}

/// Rules on one run. `named` are the outcomes that `[expect] outcome` asks for; `signal` matters only to an
/// interrupted run; `reason` is the outcome's.
pub fn rule(
    outcome: Outcome,
    reason: &str,
    expectations: &[Expectation],
    named: &[Outcome],
    inconclusive: WhenInconclusive,
    signal: Signal,
) -> Ruling {
    let mut reasons = vec![format!("{}: {reason}", outcome.name())];
    let count = |state| expectations.iter().filter(|e| e.state == state).count();
    let (verdict, code) = match weight(outcome, signal) {
        Weight::Final(verdict, code) => (verdict, code),
        Weight::Failure if !named.contains(&outcome) => (Verdict::Fail, 1),
        _ if count(ExpectationState::Fail) > 0 => (Verdict::Fail, 1),
        _ if count(ExpectationState::Inconclusive) > 0 => (Verdict::Inconclusive, 4),
        _ => (Verdict::Pass, 0),
    };
    let open = expectations.iter().filter(|e| e.state != ExpectationState::Pass);
    let words = |state| if state == ExpectationState::Fail { "does not hold" } else { "cannot be told" };
    if !matches!(verdict, Verdict::Interrupted | Verdict::Invalid) {
        reasons.extend(open.map(|e| format!("{} {}: {}", e.text, words(e.state), e.measured)));
    }
    let exit_code = match (code, inconclusive) {
        (4, WhenInconclusive::Pass) => 0,
        (4, WhenInconclusive::Fail) => 1,
        _ => code,
    };
    Ruling { verdict, exit_code, reasons }
}

/// The ruling over several runs: that of the worst, with the reasons of all. `None` without runs.
pub fn worst(rulings: Vec<Ruling>) -> Option<Ruling> {
    let gravity = |ruling: &Ruling| match ruling.verdict {
        Verdict::Pass => 0,
        Verdict::Inconclusive => 1,
        // A fault that could not be removed outweighs everything that was measured.
        Verdict::Invalid if ruling.exit_code == 3 => 4,
        Verdict::Invalid => 2,
        Verdict::Fail => 3,
        Verdict::Interrupted => 5,
    };
    let several = rulings.len() > 1;
    let (verdict, exit_code) = rulings.iter().max_by_key(|r| gravity(r)).map(|r| (r.verdict, r.exit_code))?;
    let numbered = |(i, ruling): (usize, Ruling)| {
        let label = if several { format!("run {}: ", i + 1) } else { String::new() };
        ruling.reasons.into_iter().map(move |reason| format!("{label}{reason}"))
    };
    let reasons = rulings.into_iter().enumerate().flat_map(numbered).collect();
    Some(Ruling { verdict, exit_code, reasons })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ExpectationState::{Fail, Inconclusive, Pass};

    fn expectations(states: &[ExpectationState]) -> Vec<Expectation> {
        let one = |state: &ExpectationState| Expectation {
            text: "recovered_within = 5.00s".to_owned(),
            state: *state,
            measured: "7.00s (6.80s to 7.10s)".to_owned(),
        };
        states.iter().map(one).collect()
    }

    fn ruled(outcome: Outcome, states: &[ExpectationState], named: &[Outcome]) -> (Verdict, u8) {
        let expectations = expectations(states);
        let ruling = rule(outcome, "why", &expectations, named, WhenInconclusive::Say, Signal::Interrupt);
        (ruling.verdict, ruling.exit_code)
    }

    #[test]
    fn the_whole_table() {
        use Outcome::*;
        for (outcome, alone, with_failed, with_inconclusive) in [
            (Interrupted, (Verdict::Interrupted, 130), 130, 130),
            (FaultNotRemovable, (Verdict::Invalid, 3), 3, 3),
            (DriverLost, (Verdict::Invalid, 4), 4, 4),
            (ProxyLost, (Verdict::Invalid, 4), 4, 4),
            (NotExercised, (Verdict::Invalid, 4), 4, 4),
            (NoSteadyState, (Verdict::Invalid, 4), 4, 4),
            (NeverRecovered, (Verdict::Fail, 1), 1, 1),
            (Relapsed, (Verdict::Fail, 1), 1, 1),
            (RemovalTransient, (Verdict::Pass, 0), 1, 4),
            (Recovered, (Verdict::Pass, 0), 1, 4),
            (Withstood, (Verdict::Pass, 0), 1, 4),
        ] {
            assert_eq!(ruled(outcome, &[], &[]), alone, "{outcome:?}");
            assert_eq!(ruled(outcome, &[Pass, Pass], &[]), alone, "{outcome:?}");
            assert_eq!(ruled(outcome, &[Pass, Inconclusive, Fail], &[]).1, with_failed, "{outcome:?}");
            assert_eq!(ruled(outcome, &[Pass, Inconclusive], &[]).1, with_inconclusive, "{outcome:?}");
        }
    }

    #[test]
    fn a_failure_that_was_expected_by_name_is_none() {
        assert_eq!(ruled(Outcome::NeverRecovered, &[Pass], &[Outcome::NeverRecovered]), (Verdict::Pass, 0));
        assert_eq!(ruled(Outcome::Relapsed, &[Fail], &[Outcome::NeverRecovered]), (Verdict::Fail, 1));
    }

    #[test]
    fn a_termination_has_its_own_code() {
        let ruling = rule(Outcome::Interrupted, "SIGTERM", &[], &[], WhenInconclusive::Fail, Signal::Terminate);
        assert_eq!((ruling.verdict, ruling.exit_code), (Verdict::Interrupted, 143));
    }

    #[test]
    fn the_user_chooses_what_inconclusive_exits_with() {
        for (choice, code) in [(WhenInconclusive::Say, 4), (WhenInconclusive::Pass, 0), (WhenInconclusive::Fail, 1)] {
            let open = expectations(&[Inconclusive]);
            let ruling = rule(Outcome::Recovered, "why", &open, &[], choice, Signal::Interrupt);
            assert_eq!((ruling.verdict, ruling.exit_code), (Verdict::Inconclusive, code));
            let ruling = rule(Outcome::DriverLost, "why", &open, &[], choice, Signal::Interrupt);
            assert_eq!((ruling.verdict, ruling.exit_code), (Verdict::Invalid, code));
            let ruling = rule(Outcome::FaultNotRemovable, "why", &open, &[], choice, Signal::Interrupt);
            assert_eq!(ruling.exit_code, 3, "could not run is no matter of choice");
        }
    }

    #[test]
    fn reasons_name_the_outcome_and_every_expectation_that_does_not_hold() {
        let open = expectations(&[Pass, Fail]);
        let ruling = rule(Outcome::Recovered, "good again", &open, &[], WhenInconclusive::Say, Signal::Interrupt);
        assert_eq!(
            ruling.reasons,
            ["recovered: good again", "recovered_within = 5.00s does not hold: 7.00s (6.80s to 7.10s)"]
        );
    }

    #[test]
    fn the_worst_run_decides() {
        let ruling = |outcome| rule(outcome, "why", &[], &[], WhenInconclusive::Say, Signal::Interrupt);
        let worst_of = |outcomes: &[Outcome]| worst(outcomes.iter().map(|o| ruling(*o)).collect()).map(|r| r.exit_code);
        use Outcome::*;
        assert_eq!(worst_of(&[]), None);
        assert_eq!(worst_of(&[Recovered, Withstood]), Some(0));
        assert_eq!(worst_of(&[Recovered, DriverLost]), Some(4));
        assert_eq!(worst_of(&[DriverLost, NeverRecovered, Recovered]), Some(1));
        assert_eq!(worst_of(&[NeverRecovered, FaultNotRemovable]), Some(3));
        assert_eq!(worst_of(&[NeverRecovered, Interrupted]), Some(130));
        let both = worst(vec![ruling(Recovered), ruling(Relapsed)]).unwrap();
        assert_eq!(both.reasons, ["run 1: recovered: why", "run 2: relapsed: why"]);
    }
}
