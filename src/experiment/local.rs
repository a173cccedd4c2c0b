//! Faults on proxies of this very process: the store is a function call away.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::injector::{Acknowledged, Injector, InjectorError, Tally};
use crate::clock;
use crate::results::RuleReport;
use crate::rules::{Layer, RuleSpec, RuleStatus, Store};

/// How long the last request may take to let go of a fault that is off: it is released within 50 ms.
const LET_GO: Duration = Duration::from_secs(5);
/// How often the active gauge is read while it falls.
const TICK: Duration = Duration::from_millis(1);

/// The run's rules in the store of the run's own proxies.
pub struct Local {
    store: Arc<Store>,
    layer: Layer,
    rules: Vec<RuleSpec>,
    received: Box<dyn Fn() -> u64 + Send + Sync>,
}

impl Local {
    /// Rules for a store; `received` counts the requests that the store's proxies have received. The rules live as long
    /// as the run does, as on a sidecar: their own leases are not looked at.
    pub fn new(
        store: Arc<Store>,
        run: &str,
        mut rules: Vec<RuleSpec>,
        received: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Self {
        rules.iter_mut().for_each(|rule| rule.lease = None);
        Self { store, layer: Layer::run(run), rules, received: Box::new(received) }
    }
}

#[async_trait]
impl Injector for Local {
    async fn take(&mut self) -> Result<(), InjectorError> {
        Ok(())
    }

    async fn on(&mut self) -> Result<Acknowledged, InjectorError> {
        let sent = clock::now();
        self.store.replace(&self.layer, self.rules.clone());
        Ok(Acknowledged { sent, at: clock::now() })
    }

    async fn off(&mut self) -> Result<Acknowledged, InjectorError> {
        let sent = clock::now();
        // Disabled, not removed: what they did is still to be told.
        for rule in &self.rules {
            self.store.set_enabled(&self.layer, &rule.name, false);
        }
        while self.store.active(&self.layer) > 0 {
            if clock::now() > sent + LET_GO {
                let active = self.store.active(&self.layer);
                return Err(InjectorError::NotRemovable(format!("{active} requests still suffer a rule that is off")));
            }
            clock::sleep(TICK).await;
        }
        Ok(Acknowledged { sent, at: clock::now() })
    }

    async fn tally(&mut self) -> Result<Tally, InjectorError> {
        let own = self.store.status().into_iter().filter(|status| status.layer == self.layer);
        Ok(Tally { rules: own.map(report).collect(), received: (self.received)() })
    }

    async fn give_back(&mut self) -> Result<(), InjectorError> {
        self.store.remove_layer(&self.layer);
        Ok(())
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.store.remove_layer(&self.layer);
    }
}

/// A rule's status as the report tells it.
pub(super) fn report(status: RuleStatus) -> RuleReport {
    let does: Vec<&str> = status.faults.iter().map(|fault| fault.does.as_str()).collect();
    RuleReport {
        rule: status.name,
        summary: does.join(", "),
        matched: status.counts.matched,
        triggered: status.counts.triggered,
        limited: status.counts.limited,
        skipped: status.counts.skipped,
        injected: status.counts.injected,
        released: status.counts.released,
        departed: status.counts.departed,
    }
}
