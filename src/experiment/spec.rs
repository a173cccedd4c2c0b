//! An experiment file: raw text to everything that the runner needs, every mistake at once.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::expect::{self, Expected};
use super::plan::{self, Intent, Plan};
use super::policy::Policy;
use super::slo::Slo;
use crate::config::{ExperimentProxy, ProxyConfig, read_experiment_proxy};
use crate::diagnostics::{Node, Problems, Reader};
use crate::load::{Demand, Scenario};
use crate::rules::{self, RuleSpec};

/// An experiment, resolved: load, timeline, rules, objectives and expectations.
#[derive(Debug, Clone)]
pub struct Experiment {
    /// What it shows, in words.
    pub name: String,
    /// Seeds every arrival and every fault decision; each repeat counts it up by one.
    pub seed: u64,
    /// How often the whole timeline is run.
    pub repeat: usize,
    /// The proxies whose rules are switched.
    pub proxies: Vec<ExperimentProxy>,
    /// Where the exporter of the run listens, if it has one.
    pub metrics: Option<SocketAddr>,
    /// What is sent.
    pub scenario: Scenario,
    /// On during the fault phase.
    pub rules: Vec<RuleSpec>,
    /// Phases, windows and hold.
    pub plan: Plan,
    /// What must hold.
    pub expect: Vec<Expected>,
}

impl Experiment {
    /// Reads a file; `sets` are assignments such as `load.rate=100/s`, applied in order.
    ///
    /// # Errors
    /// Every mistake in the file, in `sets`, and in the plan that they make.
    pub fn load(path: &Path, sets: &[String]) -> Result<Self, Problems> {
        let document = Node::from_toml_file_with(path, sets)?;
        Self::resolve(&path.display().to_string(), &document)
    }

    /// Resolves a document that has been read; `file` names it in problems.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn resolve(file: &str, document: &Node) -> Result<Self, Problems> {
        let problems = RefCell::default();
        let mut top = Reader::new(file, document, "", &problems);
        let head = Head::read(&mut top);
        let proxies = read_proxies(&mut top);
        let metrics = read_metrics(&mut top);
        let scenario = read_load(&mut top);
        let rules = rules::read_rules(&mut top);
        let expect = top.table("expect").map(expect::read).unwrap_or_default();
        let intent = read_intent(&mut top, scenario.as_ref(), &expect);
        check_rules(&top, &rules, &proxies);
        if problems.borrow().is_empty() {
            problems.borrow_mut().extend(rules::check::couples(&rules));
        }
        top.finish();
        let plan = intent.and_then(|intent| {
            let refused = |refusals: Vec<_>| problems.borrow_mut().extend(plan::problems(&refusals, file, document));
            Plan::new(intent).map_err(refused).ok()
        });
        let problems = problems.into_inner();
        match (problems.is_empty(), head, scenario, plan) {
            (true, Some(head), Some(scenario), Some(plan)) => {
                let Head { name, seed, repeat } = head;
                Ok(Self { name, seed, repeat, proxies, metrics, scenario, rules, plan, expect })
            }
            _ => Err(problems),
        }
    }

    /// The proxies that are started for the run.
    pub fn own_proxies(&self) -> impl Iterator<Item = &ProxyConfig> {
        self.proxies.iter().filter_map(|proxy| match proxy {
            ExperimentProxy::Start(config) => Some(&**config),
            ExperimentProxy::Attach { .. } => None,
        })
    }
}

/// `[experiment]`.
struct Head {
    name: String,
    seed: u64,
    repeat: usize,
}

impl Head {
    fn read(top: &mut Reader<'_>) -> Option<Self> {
        let Some(mut table) = top.table("experiment") else {
            let cure = "write [experiment] with name = \"checkout survives a slow inventory\"";
            top.complain("there is no [experiment]".to_owned(), Some(cure));
            return None;
        };
        let name = table.required::<String>("name", "\"checkout survives a slow inventory\"");
        let seed = table.or("seed", 1);
        let repeat = table.or("repeat", 1usize);
        if !(1..=MOST_REPEATS).contains(&repeat) {
            table.reject("repeat", format!("{repeat} runs"), Some(&format!("from 1 to {MOST_REPEATS}")));
        }
        table.finish();
        Some(Self { name: name?, seed, repeat })
    }
}

/// More runs than this in one file are a typing mistake.
const MOST_REPEATS: usize = 1_000;

fn read_proxies(top: &mut Reader<'_>) -> Vec<ExperimentProxy> {
    if !top.has("proxy") {
        let cure = "write [[proxy]] with listen and upstream, or with attach to one that runs";
        top.complain("there is no [[proxy]] to put faults into".to_owned(), Some(cure));
    }
    let mut proxies: Vec<ExperimentProxy> = Vec::new();
    for mut table in top.tables("proxy") {
        if let Some(proxy) = read_experiment_proxy(&mut table) {
            if proxies.iter().any(|p| p.name() == proxy.name()) {
                table.reject("name", format!("\"{}\" is used twice", proxy.name()), Some("names are unique"));
            }
            proxies.push(proxy);
        }
        table.finish();
    }
    proxies
}

fn read_metrics(top: &mut Reader<'_>) -> Option<SocketAddr> {
    let mut table = top.table("metrics")?;
    let listen = table.required::<String>("listen", "\"127.0.0.1:7471\"");
    let address = listen.and_then(|text| match text.parse() {
        Ok(address) => Some(address),
        Err(_) => {
            table.reject("listen", format!("\"{text}\" is not an address"), Some("for example \"127.0.0.1:7471\""));
            None
        }
    });
    table.finish();
    address
}

fn read_load(top: &mut Reader<'_>) -> Option<Scenario> {
    match top.table("load") {
        Some(table) => Scenario::read(table),
        None => {
            let cure = "write [load] with target = \"http://127.0.0.1:8080\" and rate = \"500/s\"";
            top.complain("there is no [load]".to_owned(), Some(cure));
            None
        }
    }
}

/// `[phases]`, `[slo]`, `[policy]`: what the plan is worked out from.
fn read_intent(top: &mut Reader<'_>, scenario: Option<&Scenario>, expect: &[Expected]) -> Option<Intent> {
    let slo = top.table("slo").map(Slo::read).unwrap_or_default();
    let policy = top.table("policy").map(Policy::read).unwrap_or_default();
    let Some(mut phases) = top.table("phases") else {
        let cure = "write [phases] with fault = \"30s\"; warmup, steady and recovery have defaults";
        top.complain("there is no [phases]".to_owned(), Some(cure));
        return None;
    };
    let warmup = phases.or("warmup", DEFAULT_WARMUP);
    let steady = phases.optional("steady");
    let fault = phases.required::<Duration>("fault", "\"30s\"");
    let recovery = phases.optional("recovery");
    phases.finish();
    let scenario = scenario?;
    let Demand::Open { rate, .. } = scenario.demand else { return None };
    Some(Intent {
        rate,
        timeout: scenario.timeout,
        connections: Some(scenario.connections),
        warmup,
        steady,
        fault: fault?,
        recovery,
        recovered_within: expect::recovered_within(expect),
        slo,
        policy,
    })
}

/// Long enough for pools to fill and caches to warm.
const DEFAULT_WARMUP: Duration = Duration::from_secs(10);

/// A rule that can hit nothing would make the run say nothing.
fn check_rules(top: &Reader<'_>, rules: &[RuleSpec], proxies: &[ExperimentProxy]) {
    if rules.is_empty() && !top.has("rule") {
        let cure = "write [[rule]] with a [[rule.fault]]: it is on during the fault phase";
        top.complain("there is no [[rule]]".to_owned(), Some(cure));
    }
    let names: Vec<&str> = proxies.iter().map(ExperimentProxy::name).collect();
    for rule in rules {
        for proxy in rule.proxies.iter().flatten() {
            if !names.contains(&proxy.as_str()) {
                let cure = format!("the proxies of this file: {}", names.join(", "));
                let message = format!("rule \"{}\": there is no proxy \"{proxy}\"", rule.name);
                top.complain_at(rule.origin.line, message, Some(&cure));
            }
        }
    }
}
