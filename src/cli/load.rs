//! `brownout load`: sends requests to a target and says how it answered.

use std::io;
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::load_screen::{Screen, nothing_reached};
use super::{Failure, Outcome, output, targets};
use crate::diagnostics::{Problem, Problems};
use crate::load::{
    Arrivals, Demand, Driver, LoadOutcome, LoadSpec, Operation, OperationError, OperationText, Phases, Scenario,
    TargetError, TargetUrl,
};
use crate::report::load_summary::LoadSummary;
use crate::results::Phase;
use crate::units::{Rate, parse_duration, show_count, show_duration};

/// Send requests when they are due, and say how they were answered
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Latency counts from the moment a request was due, not from when it could be sent: a target that
stalls is charged for everybody who had to wait. With --users it counts from the send.

Examples:
  brownout load http://127.0.0.1:8080/ --rate 500/s --duration 30s
  brownout load 'http://127.0.0.1:8080/items/{{id:1000}}' --rate 50/s --warmup 5s --format json
  brownout load http://127.0.0.1:8080/orders --rate 20/s -H 'content-type: application/json' \\
      --body '{\"item\": {{id}}, \"key\": \"{{uuid}}\"}'
  brownout load http://127.0.0.1:8080/ --users 64 --duration 10s"
)]
pub struct Args {
    /// Where to: http://host[:port][/path]; the path may have {{seq}}, {{id}}, {{id:N}}, {{uuid}}
    #[arg(value_name = "URL")]
    target: String,
    /// How many requests a second, on average, whether or not earlier ones were answered
    #[arg(long, short, value_name = "RATE", required_unless_present = "users", conflicts_with = "users")]
    rate: Option<Rate>,
    /// How long requests are sent and counted
    #[arg(long, short, value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    duration: Duration,
    /// Sent before that and not counted, in whole seconds
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = parse_duration)]
    warmup: Duration,
    /// poisson (independent users) or constant (evenly)
    #[arg(long, value_name = "KIND", default_value = "poisson", value_parser = arrivals, conflicts_with = "users")]
    arrivals: Arrivals,
    /// Instead of a rate: so many users, each sending when its last request was answered
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    users: Option<u32>,
    /// At most so many connections [default: 1.5 x rate x timeout]
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), conflicts_with = "users")]
    connections: Option<u32>,
    /// When a request is given up, counted from when it was due
    #[arg(long, short, value_name = "TIME", default_value = "2s", value_parser = parse_duration)]
    timeout: Duration,
    /// A request header; may be repeated, values may have variables
    #[arg(long, short = 'H', value_name = "NAME: VALUE", value_parser = header)]
    header: Vec<(String, String)>,
    /// The request method [default: GET, or POST with a body]
    #[arg(long, short = 'X', value_name = "METHOD")]
    method: Option<String>,
    /// The request body; may have variables
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    body: String,
    /// A host that load may be sent to although it is neither loopback nor private; may be repeated
    #[arg(long, value_name = "HOST")]
    allow_target: Vec<String>,
    /// Seeds arrivals and variables: the same seed sends the same requests at the same times
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// text or json
    #[arg(long, value_name = "FORMAT", default_value = "text", value_parser = ["text", "json"], hide_possible_values = true)]
    format: String,
}

fn arrivals(text: &str) -> Result<Arrivals, String> {
    let known = Arrivals::ALL.iter().find(|(name, _)| *name == text);
    known.map(|(_, arrivals)| *arrivals).ok_or_else(|| "expected poisson or constant".to_owned())
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("expected \"name: value\"")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

/// Sends the load and prints its summary. Failures of the target are results, not failures of the command.
///
/// # Errors
/// When the arguments make no load, or the driver cannot start.
pub fn run(args: &Args) -> Outcome {
    let spec = args.spec()?;
    // Quiet or not: where load goes and how much must not be a surprise.
    output::alert(announcement(&spec));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("cannot start a runtime")?;
    let (outcome, watched) = runtime.block_on(watch(&spec))?;
    let Some(outcome) = outcome else { return Ok(watched.exit_code) };
    complain(&spec, &outcome, watched.has_warned);
    let summary =
        LoadSummary { target: &spec.target.url().to_string(), seconds: watched.measured_s, totals: &outcome.totals };
    let mut text = Vec::new();
    let written = match args.format.as_str() {
        "json" => summary.write_json(&mut text),
        _ => summary.write_text(output::colored(output::Stream::Stdout), &mut text),
    };
    written.context("the summary cannot be written")?;
    output::print(String::from_utf8_lossy(&text).trim_end())?;
    Ok(watched.exit_code)
}

impl Args {
    fn spec(&self) -> Result<LoadSpec, Failure> {
        const WINDOW: Duration = Duration::from_secs(1);
        let target = TargetUrl::parse(&self.target).map_err(|error| bad("URL", error.to_string()))?;
        let operation = self.operation(&target)?;
        let demand = match (self.users, self.rate) {
            (Some(users), _) => Demand::Closed { users: users as usize },
            (None, Some(rate)) => Demand::Open { rate, arrivals: self.arrivals },
            (None, None) => return Err(bad("--rate", "is missing, and so is --users".to_owned())),
        };
        let connections = match demand {
            Demand::Closed { users } => users,
            Demand::Open { rate, .. } => match self.connections {
                Some(connections) => connections as usize,
                None => Scenario::default_connections(rate, self.timeout),
            },
        };
        let resolved = target.resolve(&targets::allowed(&self.allow_target)?).map_err(|error| match error {
            TargetError::Unresolved { .. } => Failure::CouldNotRun(error.into()),
            wrong => bad("URL", wrong.to_string()),
        })?;
        let scenario = Scenario { target, operations: vec![operation], demand, timeout: self.timeout, connections };
        let warmup = Duration::from_secs(self.warmup.as_secs_f64().ceil() as u64);
        let spec = LoadSpec {
            window: WINDOW,
            phases: Phases::steady_after(warmup),
            seed: self.seed,
            ..LoadSpec::new(scenario, resolved, warmup + self.duration)
        };
        if self.duration.is_zero() {
            return Err(bad("--duration", "is zero".to_owned()));
        }
        spec.check().map_err(|error| bad("brownout load", error.to_string()))?;
        Ok(spec)
    }

    fn operation(&self, target: &TargetUrl) -> Result<Operation, Problems> {
        let text = OperationText {
            name: None,
            method: self.method.clone(),
            path: target.path().to_owned(),
            headers: self.header.clone(),
            body: self.body.clone(),
            weight: 1.0,
        };
        Operation::new(text).map_err(|wrong| Problems(wrong.into_iter().map(problem).collect()))
    }
}

fn bad(flag: &str, message: String) -> Failure {
    Failure::BadInput(Problems::one(flag, message, None))
}

fn problem(error: OperationError) -> Problem {
    let flag = match error.key {
        "method" => "--method",
        "headers" => "--header",
        "body" => "--body",
        _ => "URL",
    };
    Problem { file: flag.to_owned(), line: None, message: error.message, cure: Some(error.cure) }
}

fn announcement(spec: &LoadSpec) -> String {
    let addresses: Vec<String> = spec.target.addresses().iter().map(ToString::to_string).collect();
    let demand = match spec.scenario.demand {
        Demand::Open { rate, .. } => {
            format!("up to {rate} over at most {} connections", show_count(spec.scenario.connections as u64))
        }
        Demand::Closed { users } => format!("{users} users, each as fast as it is answered"),
    };
    let (target, duration) = (spec.target.url(), show_duration(spec.duration));
    format!("load: {target} ({}), {demand}, for {duration}", addresses.join(", "))
}

/// What the command itself saw of a load.
struct Watched {
    exit_code: u8,
    /// Time after the warm-up.
    measured_s: f64,
    /// It has been said already that nothing is reached.
    has_warned: bool,
}

/// Runs the load, shows its progress and heeds signals: the first ends it early, the second at once.
async fn watch(spec: &LoadSpec) -> anyhow::Result<(Option<LoadOutcome>, Watched)> {
    let mut signals = Signals::new().context("signals cannot be received")?;
    let mut load = Driver::start(spec.clone())?;
    let mut screen = Screen::new();
    let mut watched = Watched { exit_code: 0, measured_s: 0.0, has_warned: false };
    let second = Duration::from_secs(1);
    let mut every_second = tokio::time::interval_at(load.origin() + second, second);
    loop {
        tokio::select! {
            window = load.next_window() => match window {
                Some(window) if window.phase == Phase::Warmup => {}
                Some(window) => watched.measured_s += window.width_s,
                None => break,
            },
            _ = every_second.tick() => {
                screen.show(&load.progress(), spec);
                watched.has_warned = screen.has_warned();
            }
            code = signals.next() => {
                if watched.exit_code != 0 {
                    return Ok((None, watched));
                }
                watched.exit_code = code;
                output::note("ending early: waiting for what is under way (again: end at once)");
                load.stop();
            }
        }
    }
    screen.clear();
    Ok((Some(load.join().await?), watched))
}

/// The signals that end a command, as its exit code.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.interrupt.recv() => 130,
            _ = self.terminate.recv() => 143,
        }
    }
}

/// What a reader of the summary must know beside it.
fn complain(spec: &LoadSpec, outcome: &LoadOutcome, has_warned: bool) {
    if outcome.nothing_reached && !has_warned {
        output::alert(nothing_reached(spec, outcome.totals.requests));
    }
    for note in &outcome.notes {
        output::alert(format_args!("warning: {note}"));
    }
}
