//! What an experiment runner tells the exporter.

use std::sync::{Mutex, MutexGuard, PoisonError};

use prometheus::proto::MetricFamily;

use super::family::Family;
use crate::names::metrics as names;
use crate::results::{Outcome, Phase, Recovery, SplitAmount};

/// Where a run is and what the last one found. Nothing is exported before the first phase of the first run.
#[derive(Debug, Default)]
pub struct RunMetrics(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    started: bool,
    phase: Option<Phase>,
    attainment: Option<f64>,
    recovery: Option<Recovery>,
}

impl RunMetrics {
    /// The run has entered a phase; `None` after the last one.
    pub fn phase(&self, phase: Option<Phase>) {
        let mut state = self.state();
        state.started = true;
        state.phase = phase;
    }

    /// A window is complete; `None` if nothing was sent in it.
    pub fn attainment(&self, attainment: Option<f64>) {
        self.state().attainment = attainment;
    }

    /// A run has been measured. Its figures stay until the next one's.
    pub fn finished(&self, recovery: &Recovery) {
        self.state().recovery = Some(recovery.clone());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn collect(&self) -> Vec<MetricFamily> {
        let state = self.state();
        let mut phases = Family::new(&names::EXPERIMENT_PHASE);
        if state.started {
            for phase in Phase::ALL {
                phases.add(&[phase.name()], f64::from(state.phase == Some(phase)));
            }
        }
        let mut families = vec![phases, Family::of(&names::SLO_ATTAINMENT, state.attainment)];
        if let Some(recovery) = &state.recovery {
            families.extend(of_recovery(recovery));
        }
        families.into_iter().filter_map(Family::finish).collect()
    }
}

fn of_recovery(recovery: &Recovery) -> Vec<Family> {
    let mut outcomes = Family::new(&names::EXPERIMENT_OUTCOME);
    for outcome in Outcome::ALL {
        outcomes.add(&[&outcome.name().replace(' ', "_")], f64::from(recovery.outcome == outcome));
    }
    // A run that had nothing to recover from is neither censored nor recovered.
    let censored = match (recovery.censored_at_s, recovery.ttr_s) {
        (Some(_), _) => Some(1.0),
        (None, Some(_)) => Some(0.0),
        (None, None) => None,
    };
    let ttr = recovery.ttr_s.filter(|_| recovery.censored_at_s.is_none());
    vec![
        outcomes,
        Family::of(&names::TIME_TO_IMPACT, recovery.tti_s),
        Family::of(&names::RECOVERY_TIME, ttr),
        Family::of(&names::RECOVERY_CENSORED, censored),
        Family::of(&names::RESILIENCE_LOSS, recovery.resilience_loss_s.map(|loss| SplitAmount::total(&loss))),
        Family::of(&names::RETRY_AMPLIFICATION, recovery.retry_amplification),
    ]
}
