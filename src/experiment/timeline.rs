//! One run: warm-up, steady state, faults on, faults off, watch, measure.

use std::time::Duration;

use anyhow::Context;
use tokio::sync::watch;

use super::amounts::{Calls, Retries};
use super::baseline::{SteadyState, Unsteady, measure_baseline};
use super::gate::judge_validity;
use super::injector::{Acknowledged, Injector, InjectorError, Tally};
use super::measure::{Ended, Evidence, measure_recovery};
use super::plan::Plan;
use super::runner::Means;
use super::spec::Experiment;
use super::spectator::Spectator;
use super::verdict::Signal;
use crate::clock::{self, Instant};
use crate::load::{Driver, LoadSpec, Phases, RunningLoad, Scenario};
use crate::results::{Edges, Phase, Run, Window};

/// How often the proxies' counters are read while the run goes on, at least a window apart.
const SAMPLE: Duration = Duration::from_secs(1);

/// What one run follows.
pub(super) struct Timeline<'a> {
    pub(super) index: usize,
    pub(super) of: usize,
    pub(super) seed: u64,
    scenario: &'a Scenario,
    plan: &'a Plan,
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
        }
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

/// A run while it goes on.
struct Watch<'a> {
    timeline: &'a Timeline<'a>,
    plan: &'a Plan,
    load: RunningLoad,
    origin: Instant,
    phase: Option<Phase>,
    windows: Vec<Window>,
    steady: Option<Result<SteadyState, Unsteady>>,
    on: Option<Acknowledged>,
    off: Option<Acknowledged>,
    /// When, on the run's clock, how many requests the proxies had received.
    received: Vec<(f64, u64)>,
}

/// The next thing to do at a moment of the run's clock.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Due {
    On,
    Off,
    Sample,
}

impl<'a> Watch<'a> {
    fn new(timeline: &'a Timeline<'a>, load: RunningLoad) -> Self {
        Self {
            timeline,
            plan: timeline.plan,
            origin: load.origin(),
            load,
            phase: None,
            windows: Vec::new(),
            steady: None,
            on: None,
            off: None,
            received: Vec::new(),
        }
    }

    fn moment(&self, s: f64) -> Instant {
        self.origin + seconds(s)
    }

    fn at(&self, moment: Instant) -> f64 {
        // The first command may be sent before the clock's zero.
        match moment.checked_duration_since(self.origin) {
            Some(after) => after.as_secs_f64(),
            None => -(self.origin - moment).as_secs_f64(),
        }
    }

    /// Follows the timeline to its end, to a signal, or to where it makes no sense to go on. The rules are off then.
    async fn follow(&mut self, means: &mut Means<'_>) -> Ended {
        let mut next_sample = 0.0;
        let mut interrupt = means.interrupt.clone();
        loop {
            let (at, due) = self.next_due(next_sample);
            self.enter_phase(means);
            tokio::select! {
                biased;
                signal = asked_to_stop(&mut interrupt) => return self.stop(means, interrupted(signal)).await,
                () = clock::sleep_until(self.moment(at)) => {
                    if due == Due::Sample {
                        next_sample = at + SAMPLE.as_secs_f64().max(self.plan.window_s);
                    }
                    if let Err(error) = self.act(due, means.injector).await {
                        return self.stop(means, error.into()).await;
                    }
                }
                window = self.load.next_window() => match window {
                    Some(window) => {
                        self.take(window, means.spectator);
                        if let Some(Err(unsteady)) = &self.steady {
                            tracing::info!(%unsteady, "no steady state: the run ends early");
                            return self.stop(means, Ended::Complete).await;
                        }
                    }
                    None => return Ended::Complete,
                },
            }
        }
    }

    fn next_due(&self, next_sample: f64) -> (f64, Due) {
        let edge = match (self.on, self.off) {
            (None, _) => (self.plan.t_on(), Due::On),
            (Some(_), None) => (self.plan.t_off(), Due::Off),
            _ => (f64::INFINITY, Due::Off),
        };
        // After the load's end the counters say nothing more; the windows' channel ends the loop.
        if edge.0 <= next_sample { edge } else { (next_sample.min(self.plan.end() + 3600.0), Due::Sample) }
    }

    async fn act(&mut self, due: Due, injector: &mut dyn Injector) -> Result<(), InjectorError> {
        match due {
            Due::On => self.on = Some(injector.on().await?),
            Due::Off => self.off = Some(injector.off().await?),
            Due::Sample => {
                let received = injector.tally().await?.received;
                self.received.push((self.at(clock::now()), received));
            }
        }
        Ok(())
    }

    fn enter_phase(&mut self, means: &mut Means<'_>) {
        let phase = self.timeline.phase_at(self.at(clock::now()));
        if self.phase != Some(phase) {
            self.phase = Some(phase);
            means.spectator.phase(self.timeline.index, self.timeline.of, Some(phase));
        }
    }

    /// Takes a final window in, and the baseline as soon as the last window before the fault's reach is there.
    fn take(&mut self, window: Window, spectator: &mut dyn Spectator) {
        let (plan, end) = (self.plan, window.start_s + window.width_s);
        spectator.window(&window);
        self.windows.push(window);
        if self.steady.is_none() && end + plan.window_s > plan.t_on() - plan.timeout_s + 1e-6 {
            judge_validity(&mut self.windows, plan);
            let steady = measure_baseline(&self.windows, plan.t_on(), plan);
            if let Ok(steady) = &steady
                && let Some(limit) = steady.gate.limits.latency_max_s
            {
                self.load.set_latency_limit(seconds(limit));
            }
            self.steady = Some(steady);
        }
    }

    /// Ends the run before its time: rules off first, then the load.
    async fn stop(&mut self, means: &mut Means<'_>, ended: Ended) -> Ended {
        if self.on.is_some() && self.off.is_none() {
            match means.injector.off().await {
                Ok(off) => self.off = Some(off),
                Err(error @ InjectorError::NotRemovable(_)) => {
                    self.load.stop();
                    return error.into();
                }
                Err(error) => tracing::warn!(%error, "the faults could not be turned off; their lease ends them"),
            }
        }
        self.load.stop();
        ended
    }

    /// Collects what is left and measures.
    async fn finish(mut self, means: &mut Means<'_>, ended: Ended) -> anyhow::Result<Told> {
        let tally = means.injector.tally().await.unwrap_or_else(|error| {
            tracing::warn!(%error, "the proxies' counters could not be read");
            Tally::default()
        });
        while let Some(window) = self.load.next_window().await {
            means.spectator.window(&window);
            self.windows.push(window);
        }
        means.spectator.phase(self.timeline.index, self.timeline.of, None);
        let edges = self.edges();
        let Self { timeline, plan, load, origin, mut windows, steady, on, mut received, .. } = self;
        received.push((plan.end(), tally.received));
        let outcome = load.join().await?;
        judge_validity(&mut windows, plan);
        let steady = steady.unwrap_or_else(|| measure_baseline(&windows, plan.t_on(), plan));
        if let Ok(steady) = &steady {
            steady.gate.mark(&mut windows);
        }
        let rules = if on.is_some() { tally.rules } else { Vec::new() };
        let mut evidence =
            Evidence { windows: &windows, steady: steady.as_ref(), edges, ended: &ended, rules: &rules, retries: None };
        // Where the disturbance ended is only known once it was measured; the retries until then belong to it.
        let first = measure_recovery(&evidence, plan);
        let until = first.recovered_at_s.unwrap_or(plan.end());
        evidence.retries = retries(&received, &windows, plan, until).filter(|_| sees_retries(means));
        let recovery = measure_recovery(&evidence, plan);
        let run = Run {
            index: timeline.index,
            seed: timeline.seed,
            recovery,
            baseline: steady.as_ref().ok().map(|s| s.baseline.clone()),
            gate: steady.as_ref().ok().map(|s| s.gate.limits),
            thresholds: steady.as_ref().ok().map(|s| s.other),
            edges,
            windows,
            rules,
            load: outcome.totals,
            expectations: Vec::new(),
            notes: plan.notes.iter().cloned().chain(outcome.notes).collect(),
        };
        Ok(Told { run, origin })
    }

    /// The edges as acknowledged; as planned where the run did not come so far.
    fn edges(&self) -> Edges {
        let (t_on, t_off) = (self.plan.t_on(), self.plan.t_off());
        let told = |ack: Option<Acknowledged>, planned: f64| match ack {
            Some(ack) => (self.at(ack.sent), self.at(ack.at)),
            None => (planned, planned),
        };
        let ((on_sent, on_acknowledged), (off_sent, off_acknowledged)) = (told(self.on, t_on), told(self.off, t_off));
        Edges { t_on, on_sent, on_acknowledged, t_off, off_sent, off_acknowledged }
    }
}

/// Resolves when the user wants to stop; never if nobody can ask for it any more.
async fn asked_to_stop(interrupt: &mut watch::Receiver<Option<Signal>>) -> Signal {
    let asked = interrupt.wait_for(Option::is_some).await.ok().and_then(|signal| *signal);
    match asked {
        Some(signal) => signal,
        None => std::future::pending().await,
    }
}

fn interrupted(signal: Signal) -> Ended {
    Ended::Interrupted(match signal {
        Signal::Terminate => "ended by SIGTERM; the faults were removed".to_owned(),
        Signal::Interrupt => "ended by Ctrl-C; the faults were removed".to_owned(),
    })
}

fn sees_retries(means: &Means<'_>) -> bool {
    means.seen_by == crate::results::AmplificationSource::Proxy
}

/// Requests received by the proxies for the requests that the driver sent, in the steady phase and while disturbed.
fn retries(received: &[(f64, u64)], windows: &[Window], plan: &Plan, until: f64) -> Option<Retries> {
    let calls = |from: f64, to: f64| {
        // Whole samples inside the span; the windows between the same two moments.
        let first = received.iter().find(|(at, _)| *at >= from - 1e-6)?;
        let last = received.iter().rfind(|(at, _)| *at <= to + 1.0)?;
        let inside = windows.iter().filter(|w| w.start_s >= first.0 - 1e-6 && w.start_s < last.0 - 1e-6);
        Some(Calls { counted: last.1.saturating_sub(first.1), offered: inside.map(|w| w.sent).sum() })
    };
    Some(Retries { baseline: calls(plan.warmup_s, plan.t_on() - 1.0)?, disturbed: calls(plan.t_on(), until)? })
}
