//! `brownout toxiproxy`: takes the place of Toxiproxy's server, with its flags and its configuration file.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::serve::signals::{Signal, Signals};
use super::{Failure, Outcome, output};
use crate::clock;
use crate::config::Toxiproxy;
use crate::diagnostics::Problems;
use crate::rules::{Ceilings, Store};
use crate::shards::Shards;
use crate::tcp::api::{Api, Exported, Problem, VERSION, read_file, serve_toxiproxy};
use crate::tcp::{Around, Registry};
use crate::telemetry::{Metrics, logging};

/// How long connections may go on after SIGTERM.
const DRAIN: Duration = Duration::from_secs(10);

/// Take the place of a Toxiproxy server: its flags, its configuration file, its API
#[derive(Debug, clap::Args)]
#[command(after_help = "Flags may have one dash, as Toxiproxy's have.

Examples:
  brownout toxiproxy
  brownout toxiproxy -host 0.0.0.0 -port 8474 -config toxiproxy.json
  brownout toxiproxy -seed 7 -proxy-metrics
  curl -d '{\"name\":\"redis\",\"listen\":\"127.0.0.1:26379\",\"upstream\":\"127.0.0.1:6379\"}' localhost:8474/proxies")]
pub struct Args {
    /// Where the API listens
    #[arg(long, value_name = "HOST", default_value = "localhost")]
    host: String,
    /// The port it listens on
    #[arg(long, value_name = "PORT", default_value_t = Toxiproxy::PORT)]
    port: u16,
    /// Proxies to start with, a JSON list as for /populate; toxics in it are taken over
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Seeds toxicity, jitter and the like: the same seed decides the same
    #[arg(long, value_name = "N", default_value_t = 42, allow_negative_numbers = true)]
    seed: i64,
    /// Toxiproxy's behaviour, also where ours is another one
    #[arg(long)]
    strict: bool,
    /// Export bytes of every proxy under /metrics
    #[arg(long)]
    proxy_metrics: bool,
    /// Export figures of the process under /metrics
    #[arg(long)]
    runtime_metrics: bool,
    /// Print the version of Toxiproxy that is spoken
    #[arg(long)]
    version: bool,
}

/// Gives the flags behind `toxiproxy` the second dash that they need to be told from a bundle of letters.
pub(super) fn with_two_dashes(arguments: Vec<OsString>) -> Vec<OsString> {
    let Some(at) = arguments.iter().position(|argument| argument == "toxiproxy") else { return arguments };
    let is_flag = |text: &str| {
        let mut rest = text.chars();
        rest.next() == Some('-') && rest.next().is_some_and(|c| c.is_ascii_alphabetic()) && rest.next().is_some()
    };
    let dashed = |(n, argument): (usize, OsString)| match argument.to_str() {
        Some(text) if n > at && is_flag(text) => format!("-{text}").into(),
        _ => argument,
    };
    arguments.into_iter().enumerate().map(dashed).collect()
}

/// Serves until told to stop: SIGTERM or SIGINT drain and end with 0; a second one ends at once with 143 or 130.
pub fn run(args: Args) -> Outcome {
    if args.version {
        output::print(format_args!("toxiproxy-server version {VERSION} (brownout {})", env!("CARGO_PKG_VERSION")))?;
        return Ok(0);
    }
    logging::init(logging::Options {
        json: false,
        color: output::colored(output::Stream::Stderr),
        quiet: output::quiet(),
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    let outcome = runtime.block_on(async {
        let _timer = clock::install().context("no timer")?;
        serve(args).await
    });
    runtime.shutdown_background();
    outcome
}

async fn serve(args: Args) -> Outcome {
    let mut signals = Signals::new().context("signals cannot be caught")?;
    let (store, metrics) = (Store::new(args.seed.cast_unsigned()), Metrics::new());
    let cores = available_parallelism().map_or(1, usize::from);
    let shards = Shards::start(cores).context("the proxies' threads cannot be started")?;
    let registry = Registry::new(Around {
        shards: Arc::new(shards),
        rules: store.clone(),
        observer: metrics,
        seed: args.seed.cast_unsigned(),
        strict: args.strict,
        ceilings: Ceilings::default(),
    });
    let api = Api::new(registry.clone(), Exported { proxy: args.proxy_metrics, runtime: args.runtime_metrics });
    if let Some(file) = &args.config {
        populate(&registry, &api, file).await?;
    }
    let (listener, address) = bind(&args.host, args.port).await?;
    output::print(format_args!("toxics   http://{address}  (Toxiproxy's API)"))?;
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async {
        let _ = stopped.await;
    };
    let serving = tokio::spawn(serve_toxiproxy(listener, api, stopped));
    loop {
        match signals.next().await {
            Signal::Terminate(_) => break,
            Signal::Off => store.off(),
            Signal::Reload => tracing::warn!("SIGHUP is not used here: proxies are changed over the API"),
        }
    }
    let _ = stop.send(());
    let code = tokio::select! {
        _ = registry.drain(DRAIN) => 0,
        code = signals.terminated() => code,
    };
    if code == 0 {
        let _ = serving.await;
    }
    Ok(code)
}

async fn bind(host: &str, port: u16) -> Result<(TcpListener, SocketAddr), Failure> {
    let listener = TcpListener::bind((host, port)).await.with_context(|| format!("cannot listen on {host}:{port}"))?;
    let address = listener.local_addr().context("a listener without an address")?;
    Ok((listener, address))
}

/// Starts the proxies of a configuration file.
async fn populate(registry: &Registry, api: &Api, path: &Path) -> Result<(), Failure> {
    let file = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Problems::one(&file, format!("cannot be read: {error}"), None))?;
    let wrong = |problem: Problem| {
        let cure = Some(
            "a JSON list such as [{\"name\": \"redis\", \"listen\": \"127.0.0.1:26379\", \"upstream\": \"127.0.0.1:6379\"}]",
        );
        Problems::one(&file, problem.message, cure)
    };
    for wanted in read_file(api, &text).await.map_err(wrong)? {
        let name = wanted.spec.name.clone();
        let shown = registry.populate(wanted).await.with_context(|| format!("proxy \"{name}\""))?;
        output::print(format_args!("proxy    tcp://{} -> {}  ({name})", shown.listen, shown.upstream))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_with_one_dash_are_flags_behind_the_command_only() {
        let dashed = |line: &str| {
            let all = with_two_dashes(line.split(' ').map(OsString::from).collect());
            all.into_iter().map(|text| text.into_string().unwrap()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            dashed("brownout -q toxiproxy -host 0.0.0.0 -port=8474 --strict -h -seed -7"),
            "brownout -q toxiproxy --host 0.0.0.0 --port=8474 --strict -h --seed -7"
        );
        assert_eq!(dashed("brownout serve -config x"), "brownout serve -config x");
    }
}
