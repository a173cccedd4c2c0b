//! A run while it goes on: what is due, what comes in, and what is made of it in the end.

use std::time::Duration;

use tokio::sync::watch;

use super::{Timeline, Told, seconds, sees_retries};
use crate::clock::{self, Instant};
use crate::experiment::baseline::{SteadyState, Unsteady, measure_baseline};
use crate::experiment::gate::judge_validity;
use crate::experiment::injector::{Acknowledged, Injector, InjectorError};
use crate::experiment::measure::{Ended, Evidence, measure_recovery};
use crate::experiment::plan::Plan;
use crate::experiment::runner::Means;
use crate::experiment::samples::Samples;
use crate::experiment::spectator::Spectator;
use crate::experiment::verdict::Signal;
use crate::load::{LATE_NOTE, LoadOutcome, RunningLoad};
use crate::results::{Edges, Phase, RuleReport, Run, Window};

/// How often the proxies' counters are read while the run goes on, at least a window apart.
const SAMPLE: Duration = Duration::from_secs(1);
/// How long one reading may take: it must not keep anything else waiting.
const SAMPLE_LIMIT: Duration = Duration::from_millis(500);

/// A run while it goes on.
pub(super) struct Watch<'a> {
    timeline: &'a Timeline<'a>,
    plan: &'a Plan,
    load: RunningLoad,
    origin: Instant,
    phase: Option<Phase>,
    windows: Vec<Window>,
    steady: Option<Result<SteadyState, Unsteady>>,
    on: Option<Acknowledged>,
    off: Option<Acknowledged>,
    /// The rules may be on, even if nobody has confirmed it.
    switched: bool,
    samples: Samples,
}

/// The next thing to do at a moment of the run's clock.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Due {
    On,
    Off,
    Sample,
}

impl<'a> Watch<'a> {
    pub(super) fn new(timeline: &'a Timeline<'a>, load: RunningLoad) -> Self {
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
            switched: false,
            samples: Samples::default(),
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
    pub(super) async fn follow(&mut self, means: &mut Means<'_>) -> Ended {
        let mut next_sample = 0.0;
        let mut interrupt = means.interrupt.clone();
        loop {
            let (at, due) = self.next_due(next_sample);
            self.enter_phase(means);
            tokio::select! {
                biased;
                signal = asked_to_stop(&mut interrupt) => return self.stop(means, interrupted(signal)).await,
                () = clock::sleep_until(self.moment(at)) => {
                    next_sample = match due {
                        Due::Sample => at + SAMPLE.as_secs_f64().max(self.plan.window_s),
                        Due::On | Due::Off => at, // what comes before an edge is told from what comes after it
                    };
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
                    // At the end, or because the driver has died: then the rules may still be on.
                    None => return self.stop(means, Ended::Complete).await,
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
        if edge.0 <= next_sample { edge } else { (next_sample, Due::Sample) }
    }

    async fn act(&mut self, due: Due, injector: &mut dyn Injector) -> Result<(), InjectorError> {
        match due {
            Due::On => {
                self.switched = true;
                self.on = Some(injector.on().await?);
            }
            Due::Off => self.off = Some(injector.off().await?),
            Due::Sample => self.sample(injector).await?,
        }
        Ok(())
    }

    /// Reads the proxies' counters, unless that would take until the next edge.
    async fn sample(&mut self, injector: &mut dyn Injector) -> Result<(), InjectorError> {
        let (edge, _) = self.next_due(f64::INFINITY);
        let limit = clock::now() + SAMPLE_LIMIT;
        let limit = if edge.is_finite() { limit.min(self.moment(edge)) } else { limit };
        let tally = tokio::select! {
            biased;
            tally = injector.tally() => tally,
            () = clock::sleep_until(limit) => return Ok(()),
        };
        match tally {
            Ok(tally) => self.samples.take(self.at(clock::now()), tally.received),
            Err(error) if self.samples.failed() => return Err(error),
            Err(error) => tracing::warn!(%error, "the proxies' counters could not be read"),
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
        let removed = match self.off {
            None if self.switched => means.injector.off().await.map(|off| self.off = Some(off)),
            _ => Ok(()),
        };
        self.load.stop();
        match (removed, ended) {
            (Err(error @ InjectorError::NotRemovable(_)), _) => error.into(),
            (Err(error), Ended::Interrupted(why)) => {
                Ended::Interrupted(format!("{why}; whether the faults are off is not known: {error}"))
            }
            (Ok(()), Ended::Interrupted(why)) if self.switched => {
                Ended::Interrupted(format!("{why}; the faults were removed"))
            }
            (Err(error), Ended::Complete) => error.into(),
            (_, ended) => ended,
        }
    }

    /// Collects what is left and measures.
    pub(super) async fn finish(mut self, means: &mut Means<'_>, mut ended: Ended) -> anyhow::Result<Told> {
        let rules = match means.injector.tally().await {
            Ok(tally) => {
                self.samples.take(self.at(clock::now()), tally.received);
                tally.rules
            }
            Err(error) => {
                // Without the counters nobody can say that the faults acted.
                if ended == Ended::Complete {
                    ended = error.into();
                }
                Vec::new()
            }
        };
        while let Some(window) = self.load.next_window().await {
            means.spectator.window(&window);
            self.windows.push(window);
        }
        means.spectator.phase(self.timeline.index, self.timeline.of, None);
        self.measure(means, &ended, rules).await
    }

    async fn measure(self, means: &Means<'_>, ended: &Ended, rules: Vec<RuleReport>) -> anyhow::Result<Told> {
        let edges = self.edges();
        let Self { timeline, plan, load, origin, mut windows, steady, on, samples, .. } = self;
        let mut outcome = load.join().await?;
        judge_validity(&mut windows, plan);
        judge_driver(&mut outcome, &windows, plan);
        let steady = steady.unwrap_or_else(|| measure_baseline(&windows, plan.t_on(), plan));
        if let Ok(steady) = &steady {
            steady.gate.mark(&mut windows);
        }
        // A run that ended for want of a steady state did not get to its fault phase, or only just.
        let rules = if on.is_some() && steady.is_ok() { rules } else { Vec::new() };
        let mut evidence =
            Evidence { windows: &windows, steady: steady.as_ref(), edges, ended, rules: &rules, retries: None };
        // Where the disturbance ended is only known once it was measured; the retries until then belong to it.
        let first = measure_recovery(&evidence, plan);
        let until = first.recovered_at_s.unwrap_or(plan.end());
        evidence.retries = samples.retries(&windows, plan, until).filter(|_| sees_retries(means));
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
            notes: timeline.notes(means).chain(outcome.notes).collect(),
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

/// The windows are judged by the plan, which may take a driver for good enough that does not think so itself.
fn judge_driver(outcome: &mut LoadOutcome, windows: &[Window], plan: &Plan) {
    let whole = |w: &Window| w.width_s > plan.window_s - 1e-6;
    let late = |w: &Window| !w.valid && w.planned > 0 && whole(w) && w.phase != Phase::Warmup;
    outcome.notes.retain(|note| note != LATE_NOTE);
    if windows.iter().any(late) {
        outcome.notes.push(LATE_NOTE.to_owned());
    }
    outcome.totals.driver_limited = !outcome.notes.is_empty();
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
        Signal::Terminate => "ended by SIGTERM".to_owned(),
        Signal::Interrupt => "ended by Ctrl-C".to_owned(),
    })
}
