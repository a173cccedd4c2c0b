//! Runs an experiment: every repeat of its timeline, and what they say together.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::watch;

use super::environment::environment;
use super::expect::{judge, named_outcomes};
use super::injector::{Injector, InjectorError};
use super::spec::Experiment;
use super::spectator::Spectator;
use super::timeline::{self, Timeline};
use super::verdict::{Ruling, Signal, WhenInconclusive, rule, worst};
use crate::clock::Instant;
use crate::load::{Demand, Observer, Target};
use crate::results::{AmplificationSource, ExperimentResult, Outcome, Run, SCHEMA, Verdict};
use crate::rules::RuleSpec;

/// What a run needs besides the experiment itself.
pub struct Means<'a> {
    /// Where the load goes, resolved and allowed.
    pub target: Target,
    /// The proxies whose rules are switched; taken, and given back after each run.
    pub injector: &'a mut dyn Injector,
    /// Whether those proxies stand behind the system under test: only then do they see its retries.
    pub seen_by: AmplificationSource,
    /// Whoever watches.
    pub spectator: &'a mut dyn Spectator,
    /// Told of every arrival of the load.
    pub observer: Option<Arc<dyn Observer>>,
    /// Becomes `Some` when the user wants to stop: the faults are removed and what was measured is kept.
    pub interrupt: watch::Receiver<Option<Signal>>,
    /// What an inconclusive verdict counts as.
    pub inconclusive: WhenInconclusive,
}

/// An experiment that was run.
pub struct Finished {
    /// What it says.
    pub result: ExperimentResult,
    /// When each run's clock was at zero.
    pub origins: Vec<Instant>,
}

/// Runs every repeat, one after another.
///
/// # Errors
/// When the first run could not begin: the proxies are not to be had, or the driver cannot start.
pub async fn run(experiment: &Experiment, mut means: Means<'_>) -> anyhow::Result<Finished> {
    let started_at = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let (mut runs, mut rulings, mut origins) = (Vec::new(), Vec::new(), Vec::new());
    for index in 1..=experiment.repeat {
        let timeline = Timeline::new(experiment, index);
        let told = match timeline::run(&timeline, &mut means).await {
            Ok(told) => told,
            Err(error) if runs.is_empty() => return Err(error),
            Err(error) => {
                // The runs before it stand; this one says why there are no more.
                rulings.push(Ruling { verdict: Verdict::Invalid, exit_code: 3, reasons: vec![format!("{error:#}")] });
                break;
            }
        };
        origins.push(told.origin);
        let (measured, ruling) = rule_on(experiment, &means, told.run);
        means.spectator.measured(&measured);
        let stop = matches!(measured.recovery.outcome, Outcome::Interrupted | Outcome::FaultNotRemovable);
        runs.push(measured);
        rulings.push(ruling);
        if stop {
            break;
        }
    }
    let ruling = worst(rulings).unwrap_or(Ruling { verdict: Verdict::Invalid, exit_code: 4, reasons: Vec::new() });
    let result = ExperimentResult {
        schema: SCHEMA.to_owned(),
        name: experiment.name.clone(),
        verdict: ruling.verdict,
        exit_code: ruling.exit_code,
        reasons: ruling.reasons,
        started_at,
        seed: experiment.seed,
        plan: plan_summary(experiment, &means),
        runs,
        environment: environment(),
    };
    Ok(Finished { result, origins })
}

fn rule_on(experiment: &Experiment, means: &Means<'_>, mut run: Run) -> (Run, Ruling) {
    run.expectations = judge(&experiment.expect, &run.recovery, &run.windows, &run.edges);
    let signal = (*means.interrupt.borrow()).unwrap_or(Signal::Interrupt);
    let ruling = rule(
        run.recovery.outcome,
        &run.recovery.reason,
        &run.expectations,
        named_outcomes(&experiment.expect),
        means.inconclusive,
        signal,
    );
    (run, ruling)
}

fn plan_summary(experiment: &Experiment, means: &Means<'_>) -> crate::results::PlanSummary {
    let arrivals = match experiment.scenario.demand {
        Demand::Open { arrivals, .. } => arrivals.name(),
        Demand::Closed { .. } => "closed",
    };
    let rules = experiment.rules.iter().map(words).collect();
    experiment.plan.summary(&means.target.url().to_string(), arrivals, rules, means.seen_by)
}

/// A rule in one sentence: which requests, how many of them, and what happens to them.
fn words(rule: &RuleSpec) -> String {
    let faults: Vec<String> = rule.faults.iter().map(|fault| fault.fault.describe()).collect();
    format!("{}: {}, {}", rule.name, rule.trigger.describe(), faults.join(", then "))
}

impl From<InjectorError> for super::measure::Ended {
    fn from(error: InjectorError) -> Self {
        match error {
            InjectorError::NotRemovable(why) => Self::FaultNotRemovable(why),
            InjectorError::Lost(why) | InjectorError::Refused(why) => Self::ProxyLost(why),
        }
    }
}
