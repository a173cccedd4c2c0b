//! One run: warm-up, steady state, faults on, faults off, watch, measure.

mod watch;

use std::time::Duration;

use anyhow::Context;

use self::watch::Watch;
use super::plan::Plan;
use super::runner::Means;
use super::spec::Experiment;
use crate::clock::Instant;
use crate::config::ExperimentProxy;
use crate::load::{Driver, LoadSpec, Phases, Scenario};
use crate::results::{AmplificationSource, Phase, Run};

/// What one run follows.
pub(super) struct Timeline<'a> {
    pub(super) index: usize,
    pub(super) of: usize,
    pub(super) seed: u64,
    scenario: &'a Scenario,
    plan: &'a Plan,
    attached: bool,
}

/// A run that has been measured.
pub(super) struct Told {
    pub(super) run: Run,
    pub(super) origin: Instant,
}

impl<'a> Timeline<'a> {
    /// Run `index`, from 1.
    pub(super) fn new(experiment: &'a Experiment, index: usize) -> Self {
        Self {
            index,
            of: experiment.repeat,
            seed: experiment.seed.wrapping_add(index as u64 - 1),
            scenario: &experiment.scenario,
            plan: &experiment.plan,
            attached: experiment.proxies.iter().any(|proxy| matches!(proxy, ExperimentProxy::Attach { .. })),
        }
    }

    /// What a reader must know beforehand.
    fn notes(&self, means: &Means<'_>) -> impl Iterator<Item = String> {
        let shared = (self.attached && sees_retries(means)).then(|| {
            "retry amplification counts all requests that the sidecars received, whoever sent them".to_owned()
        });
        self.plan.notes.iter().cloned().chain(shared)
    }

    fn phase_at(&self, seconds: f64) -> Phase {
        phase_at(self.plan.warmup_s, self.plan.t_on(), self.plan.t_off(), seconds)
    }

    fn load(&self, means: &Means<'_>) -> LoadSpec {
        let plan = self.plan;
        let (warmup, t_on, t_off) = (plan.warmup_s, plan.t_on(), plan.t_off());
        LoadSpec {
            scenario: Scenario { connections: plan.connections, ..self.scenario.clone() },
            target: means.target.clone(),
            duration: seconds(plan.end()),
            window: seconds(plan.window_s),
            phases: Phases::new(move |start| phase_at(warmup, t_on, t_off, start.as_secs_f64())),
            good_latency: Some(seconds(plan.good_latency_s)),
            quantile: plan.quantile,
            seed: self.seed,
            numbered: true,
            observer: means.observer.clone(),
        }
    }
}

fn phase_at(warmup: f64, t_on: f64, t_off: f64, at: f64) -> Phase {
    // Window starts are sums of decimal fractions: a hair before an edge is the edge.
    match at + 1e-6 {
        at if at < warmup => Phase::Warmup,
        at if at < t_on => Phase::Steady,
        at if at < t_off => Phase::Fault,
        _ => Phase::Recovery,
    }
}

fn seconds(s: f64) -> Duration {
    Duration::from_nanos((s * 1e9).round() as u64)
}

/// Runs the timeline once. On every way out the rules are off and the proxies given back.
pub(super) async fn run(timeline: &Timeline<'_>, means: &mut Means<'_>) -> anyhow::Result<Told> {
    means.injector.take().await.context("the proxies cannot be had for this run")?;
    let load = match Driver::start(timeline.load(means)) {
        Ok(load) => load,
        Err(error) => {
            let _ = means.injector.give_back().await;
            return Err(error.context("the load driver cannot start"));
        }
    };
    let mut watch = Watch::new(timeline, load);
    let ended = watch.follow(means).await;
    let told = watch.finish(means, ended).await;
    if let Err(error) = means.injector.give_back().await {
        tracing::warn!(%error, "the proxies could not be given back; their lease ends by itself");
    }
    told
}

fn sees_retries(means: &Means<'_>) -> bool {
    means.seen_by == AmplificationSource::Proxy
}
