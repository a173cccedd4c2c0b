//! `brownout demo`: a small shop is degraded and watched as it comes back, in under a minute.

use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;

use super::run::{self, ExporterArgs, Settings};
use super::{Failure, Outcome, output};
use crate::demo::{EXPERIMENT, Habits, Inventory, Shop};
use crate::diagnostics::Node;
use crate::experiment::spec::Experiment;

/// Degrade an embedded shop and watch it come back, in under a minute
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  brownout demo
  brownout demo --out /tmp/demo --metrics 127.0.0.1:7471 --linger 1m")]
pub struct Args {
    /// Where result.json and report.html are written
    #[arg(long, short, value_name = "DIR", default_value = "brownout-out")]
    out: PathBuf,
    #[command(flatten)]
    exporter: ExporterArgs,
}

/// How long the inventory takes for an answer when nothing is wrong.
const SERVICE_TIME: Duration = Duration::from_millis(80);
/// Enough for 1.5 times the load when nothing is wrong, and naive in every other respect.
const HABITS: Habits = Habits { workers: 24, attempts: 4, attempt_timeout: Duration::from_millis(300) };

/// Starts the shop, runs the experiment, writes the reports; 0 unless something kept it from being measured.
pub fn run(args: Args) -> Outcome {
    let inventory = Inventory::start(SERVICE_TIME).context("the inventory cannot be started")?;
    // The shop must know the proxy's address before the proxy is there.
    let proxy = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).context("no free port")?;
    let shop = Shop::start(proxy, HABITS).context("the shop cannot be started")?;
    output::note(format_args!(
        "load -> shop ({}) -> brownout ({proxy}) -> inventory ({})\n\
         The shop has {} workers, calls the inventory up to {} times an order, and has no limit on its queue.\n\
         For six seconds most of those calls will fail, and some will not be answered at all.\n",
        shop.address(),
        inventory.address(),
        HABITS.workers,
        HABITS.attempts,
    ));
    let address = |name: &str| match name {
        "PROXY" => Some(proxy.to_string()),
        "INVENTORY" => Some(inventory.address().to_string()),
        "SHOP" => Some(shop.address().to_string()),
        _ => None,
    };
    let document = Node::from_toml_with("demo.toml", EXPERIMENT, &address)?;
    let experiment = Experiment::resolve("demo.toml", &document)?;
    let target = experiment.scenario.target.resolve(&[]).map_err(|error| Failure::CouldNotRun(error.into()))?;
    let finished = run::conduct(&experiment, target, &Settings { exporter: args.exporter, ..Settings::default() })?;
    run::show(&finished.result, &args.out, false)
}
