//! `brownout run`: one experiment, from its file to its exit code.

mod attach;
mod progress;
mod stage;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::ValueEnum;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use self::progress::{Exported, Metered, Terminal};
use self::stage::Stage;
use super::{Failure, Outcome, output, targets};
use crate::clock;
use crate::diagnostics::Problems;
use crate::experiment::runner::{self, Finished, Means};
use crate::experiment::spec::Experiment;
use crate::experiment::spectator::Spectator;
use crate::experiment::verdict::{Signal, WhenInconclusive};
use crate::load::{Target, TargetError};
use crate::report;
use crate::results::ExperimentResult;
use crate::telemetry::logging;
use crate::units::{parse_duration, show_number};

/// Run an experiment: warm-up, steady state, fault, recovery, verdict
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  brownout run config/experiments/checkout.toml
  brownout run checkout.toml --out results --set load.rate=800/s
  brownout run checkout.toml --metrics 127.0.0.1:7471 --linger 30s")]
pub struct Args {
    /// The experiment file
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Where result.json and report.html are written
    #[arg(long, short, value_name = "DIR", default_value = "brownout-out")]
    out: PathBuf,
    /// Set a key of the file, such as load.rate=800/s; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// Send load to this host although it is neither loopback nor private; may be repeated
    #[arg(long = "allow-target", value_name = "HOST")]
    allow_targets: Vec<String>,
    /// What an inconclusive or invalid run counts as
    #[arg(long, value_name = "AS", default_value = "say")]
    inconclusive: Inconclusive,
    /// What goes to stdout
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Shown,
    /// How long faults on attached sidecars outlive this process if it is killed
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = lease)]
    lease: Duration,
    #[command(flatten)]
    exporter: ExporterArgs,
}

/// The exporter of a run.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ExporterArgs {
    /// Where the run's own exporter listens; overrides the file's metrics.listen
    #[arg(long, value_name = "ADDRESS")]
    pub metrics: Option<std::net::SocketAddr>,
    /// Keep the exporter up after the run for two more scrapes, or this long
    #[arg(long, value_name = "TIME", value_parser = |text: &str| parse_duration(text))]
    pub linger: Option<Duration>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Inconclusive {
    /// exit 4
    Say,
    /// exit 0
    Pass,
    /// exit 1
    Fail,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shown {
    /// a summary in 80 columns
    Text,
    /// the content of result.json
    Json,
}

/// How a run is conducted, whatever its experiment.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What an inconclusive verdict counts as.
    pub inconclusive: WhenInconclusive,
    /// How long faults on attached sidecars outlive this process if it is killed.
    pub lease: Duration,
    /// The run's exporter.
    pub exporter: ExporterArgs,
}

impl Default for Settings {
    /// Says when it is inconclusive; a lease of 30 s; no exporter but the file's.
    fn default() -> Self {
        Self { inconclusive: WhenInconclusive::Say, lease: LEASE, exporter: ExporterArgs::default() }
    }
}

const LEASE: Duration = Duration::from_secs(30);
/// Three renewals must fit in, each over the network.
const SHORTEST_LEASE: Duration = Duration::from_secs(1);

fn lease(text: &str) -> Result<Duration, String> {
    let lease = parse_duration(text).map_err(|error| error.to_string())?;
    let long_enough = lease >= SHORTEST_LEASE;
    long_enough.then_some(lease).ok_or_else(|| "a lease takes a second or more, such as 30s".to_owned())
}

/// Runs the experiment and writes its reports.
pub fn run(args: Args) -> Outcome {
    let Some(file) = &args.file else {
        return Err(Failure::BadInput(Problems::one(
            "run",
            "no experiment file was named",
            Some("for example brownout run config/experiments/checkout.toml, or brownout demo to see one"),
        )));
    };
    let experiment = Experiment::load(file, &args.sets)?;
    let target = resolve(&experiment, &targets::allowed(&args.allow_targets)?)?;
    let inconclusive = match args.inconclusive {
        Inconclusive::Say => WhenInconclusive::Say,
        Inconclusive::Pass => WhenInconclusive::Pass,
        Inconclusive::Fail => WhenInconclusive::Fail,
    };
    let settings = Settings { inconclusive, lease: args.lease, exporter: args.exporter };
    let finished = conduct(&experiment, target, &settings)?;
    show(&finished.result, &args.out, args.format == Shown::Json)
}

/// Resolves the target and holds it against what load may be sent to.
fn resolve(experiment: &Experiment, allowed: &[String]) -> Result<Target, Failure> {
    experiment.scenario.target.resolve(allowed).map_err(|error| match error {
        TargetError::Unresolved { .. } => Failure::CouldNotRun(error.into()),
        _ => Failure::BadInput(Problems::one("[load] target", error.to_string(), None)),
    })
}

/// Runs an experiment on a runtime of its own: starts its proxies, follows the timeline, and leaves nothing behind.
///
/// # Errors
/// When it could not begin.
pub fn conduct(experiment: &Experiment, target: Target, settings: &Settings) -> Result<Finished, Failure> {
    logging::init(logging::Options {
        json: false,
        color: output::colored(output::Stream::Stderr),
        quiet: true, // the progress line says what a run does; warnings still show
    });
    let rate = show_number(experiment.plan.rate_per_s);
    output::note(format_args!("load goes to {} at {rate} requests a second", target.url()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    let finished = runtime.block_on(async {
        let _timer = clock::install().context("no timer")?;
        let interrupt = interrupts()?;
        let mut stage = Stage::set(experiment, &target, settings).await?;
        let metrics = stage.metrics();
        let mut spectators: Vec<Box<dyn Spectator>> =
            vec![Box::new(Terminal::new()), Box::new(Exported(metrics.clone()))];
        let seen_by = stage.seen_by();
        let means = Means {
            target,
            injector: stage.injector(),
            seen_by,
            observer: Some(Arc::new(Metered(metrics.load()))),
            spectator: &mut spectators,
            interrupt,
            inconclusive: settings.inconclusive,
        };
        let finished = runner::run(experiment, means).await.map_err(Failure::CouldNotRun);
        stage.strike().await;
        finished
    });
    runtime.shutdown_background();
    finished
}

/// The first SIGINT or SIGTERM asks the run to end; the second ends the process at once.
fn interrupts() -> Result<watch::Receiver<Option<Signal>>, Failure> {
    let (sender, receiver) = watch::channel(None);
    let mut terminate = signal(SignalKind::terminate()).context("signals cannot be caught")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("signals cannot be caught")?;
    tokio::spawn(async move {
        let mut next = async || {
            tokio::select! {
                _ = terminate.recv() => (Signal::Terminate, 143),
                _ = interrupt.recv() => (Signal::Interrupt, 130),
            }
        };
        let (first, _) = next().await;
        output::alert("stopping: the faults are removed and what was measured is written");
        sender.send_replace(Some(first));
        let (_, code) = next().await;
        // The faults of this process go with it; those on sidecars have a lease.
        std::process::exit(code);
    });
    Ok(receiver)
}

/// Writes the reports, prints the summary and gives the exit code.
pub fn show(result: &ExperimentResult, out: &Path, json: bool) -> Outcome {
    let written = report::write_all(result, out)
        .with_context(|| format!("the reports cannot be written to {}", out.display()))?;
    let page = written.into_iter().find(|path| path.extension().is_some_and(|e| e == "html"));
    let mut text = Vec::new();
    let format: &dyn report::Format = if json {
        &report::json::Json
    } else {
        &report::terminal::Terminal { colour: output::colored(output::Stream::Stdout), report: page }
    };
    format.write(result, &mut text).context("the summary cannot be written")?;
    output::print(String::from_utf8_lossy(&text).trim_end())?;
    Ok(result.exit_code)
}
