//! What a run does when its proxies do not do as they are told.

use async_trait::async_trait;
use brownout::clock;
use brownout::diagnostics::Node;
use brownout::experiment::injector::{Acknowledged, Injector, InjectorError, Tally};
use brownout::experiment::runner::{self, Means};
use brownout::experiment::spec::Experiment;
use brownout::experiment::spectator::Spectator;
use brownout::experiment::verdict::WhenInconclusive;
use brownout::results::{AmplificationSource, ExperimentResult, Outcome};
use tokio::sync::watch;

use super::file::{ERROR, experiment, free_address, own_proxy};
use super::support::{Origin, ok};

/// Says yes to everything but what it is told not to, and remembers what it was asked.
#[derive(Default)]
struct Unreliable {
    keeps_its_faults: bool,
    has_lost_its_counters: bool,
    asked: Vec<&'static str>,
}

impl Unreliable {
    fn times(&self, what: &str) -> usize {
        self.asked.iter().filter(|asked| **asked == what).count()
    }
}

#[async_trait]
impl Injector for Unreliable {
    async fn take(&mut self) -> Result<(), InjectorError> {
        self.asked.push("take");
        Ok(())
    }

    async fn on(&mut self) -> Result<Acknowledged, InjectorError> {
        self.asked.push("on");
        Ok(Acknowledged { sent: clock::now(), at: clock::now() })
    }

    async fn off(&mut self) -> Result<Acknowledged, InjectorError> {
        self.asked.push("off");
        match self.keeps_its_faults {
            true => Err(InjectorError::NotRemovable("3 requests still suffer it".to_owned())),
            false => Ok(Acknowledged { sent: clock::now(), at: clock::now() }),
        }
    }

    async fn tally(&mut self) -> Result<Tally, InjectorError> {
        match self.has_lost_its_counters {
            true => Err(InjectorError::Lost("nobody answers".to_owned())),
            false => Ok(Tally::default()),
        }
    }

    async fn give_back(&mut self) -> Result<(), InjectorError> {
        self.asked.push("give back");
        Ok(())
    }
}

struct Nobody;

impl Spectator for Nobody {}

/// Runs the short experiment on a service that is always fine.
fn run(injector: &mut Unreliable) -> ExperimentResult {
    let origin = Origin::answering(|_| ok("ordered"));
    let text = experiment(&own_proxy(free_address(), origin.address), origin.address, ERROR);
    let document = Node::from_toml("experiment.toml", &text).expect("TOML");
    let experiment = Experiment::resolve("experiment.toml", &document).unwrap_or_else(|wrong| panic!("{wrong}"));
    let target = experiment.scenario.target.resolve(&[]).expect("loopback is allowed");
    let (_nobody_asks, interrupt) = watch::channel(None);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let means = Means {
        target,
        injector,
        seen_by: AmplificationSource::Driver,
        spectator: &mut Nobody,
        observer: None,
        interrupt,
        inconclusive: WhenInconclusive::Say,
    };
    runtime.block_on(runner::run(&experiment, means)).expect("the run can begin").result
}

#[test]
fn a_fault_that_cannot_be_removed_is_tried_again_and_said() {
    let mut injector = Unreliable { keeps_its_faults: true, ..Unreliable::default() };
    let result = run(&mut injector);
    let recovery = &result.runs[0].recovery;
    assert_eq!((recovery.outcome, result.exit_code), (Outcome::FaultNotRemovable, 3), "{}", recovery.reason);
    assert!(recovery.reason.contains("3 requests"), "{}", recovery.reason);
    assert_eq!((injector.times("off"), injector.times("give back")), (2, 1));
}

#[test]
fn proxies_that_cannot_be_asked_any_more_end_the_run_before_its_fault() {
    let mut injector = Unreliable { has_lost_its_counters: true, ..Unreliable::default() };
    let result = run(&mut injector);
    let recovery = &result.runs[0].recovery;
    assert_eq!((recovery.outcome, result.exit_code), (Outcome::ProxyLost, 4), "{}", recovery.reason);
    assert_eq!(injector.asked, ["take", "give back"], "no fault was turned on");
}
