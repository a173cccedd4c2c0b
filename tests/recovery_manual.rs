//! docs/recovery.md says what the code does: its tables are held against the code's own.

use brownout::experiment::policy::Policy;
use brownout::experiment::verdict::{Signal, WhenInconclusive, rule};
use brownout::results::Outcome;

const MANUAL: &str = include_str!("../docs/recovery.md");

#[test]
fn every_figure_of_the_policy_is_in_the_manual_with_its_default() {
    let rows: Vec<String> =
        Policy::figures().iter().map(|f| format!("| `{}` | `{}` | {} |", f.key, f.default, f.meaning)).collect();
    let table = rows.join("\n");
    assert!(MANUAL.contains(&table), "the table of docs/recovery.md should read:\n{table}");
}

#[test]
fn every_outcome_is_in_the_manual_in_the_order_in_which_it_wins_with_its_exit_code() {
    use Outcome::*;
    let order = [
        Interrupted,
        FaultNotRemovable,
        DriverLost,
        ProxyLost,
        NotExercised,
        NoSteadyState,
        NeverRecovered,
        Relapsed,
        RemovalTransient,
        Recovered,
        Withstood,
    ];
    let mut at = 0;
    for outcome in order {
        let start = format!("\n| {} | ", outcome.name());
        let found = MANUAL.find(&start).unwrap_or_else(|| panic!("{} has no row", outcome.name()));
        assert!(found > at, "{} is out of order", outcome.name());
        at = found;
        let code = rule(outcome, "", &[], &[], WhenInconclusive::Say, Signal::Interrupt).exit_code.to_string();
        let row = MANUAL[found + 1..].lines().next().unwrap();
        assert!(row.rsplit('|').nth(1).unwrap().contains(&code), "{row}: exits {code}");
    }
}
