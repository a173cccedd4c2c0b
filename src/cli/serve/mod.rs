//! `brownout serve`: the proxies of a configuration file, their rules, the exporter and the admin API.

mod proxies;
mod reload;
mod signals;

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use self::proxies::Proxies;
use self::reload::Files;
use self::signals::{Signal, Signals};
use super::{Failure, Outcome, output};
use crate::admin::{Api, Latch, Setup, serve_admin, sweep};
use crate::clock;
use crate::config::{Config, DEFAULT_PATH, LogFormat};
use crate::proxy::{Shards, Surroundings};
use crate::rules::Store;
use crate::telemetry::events::Observer;
use crate::telemetry::exporter::{Ready, serve_metrics};
use crate::telemetry::{AccessLog, Metrics, logging};

/// Start the proxies of a configuration file
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  brownout serve
  brownout serve -c staging.toml --set rules.seed=7
  kill -HUP  $(pgrep -x brownout)    read the files again
  kill -USR1 $(pgrep -x brownout)    turn every fault off until `brownout on`")]
pub struct Args {
    /// The configuration file
    #[arg(short, long, value_name = "FILE", default_value = DEFAULT_PATH)]
    config: PathBuf,
    /// Set a key of the file, such as proxy.0.listen=127.0.0.1:8081; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
}

/// Serves until told to stop: SIGTERM or SIGINT drain and end with 0; a second one ends at once with 143 or 130.
pub fn run(args: Args) -> Outcome {
    let config = Config::load(&args.config, &args.sets)?;
    logging::init(logging::Options {
        json: config.log.format == LogFormat::Json,
        color: output::colored(output::Stream::Stderr),
        quiet: output::quiet(),
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    let outcome = runtime.block_on(async {
        let _timer = clock::install().context("no timer")?;
        serve(config, args).await
    });
    runtime.shutdown_background();
    outcome
}

async fn serve(config: Config, args: Args) -> Outcome {
    // Caught from here on: whoever waits for the printed addresses may signal at once.
    let mut signals = Signals::new().context("signals cannot be caught")?;
    let (store, metrics) = (Store::new(config.rules.seed), Metrics::new());
    metrics.watch_rules(store.clone());
    let latch = Arc::new(Latch::restore(store.clone(), metrics.clone(), Some(config.safety.state_file.clone())));
    let mut files = Files::new(args.config, args.sets, config.clone(), store.clone(), metrics.reloads());
    files.read_rules()?;
    let shards = Shards::start(config.shards().get()).context("the proxy's threads cannot be started")?;
    let around = Surroundings { shards: Arc::new(shards), rules: store.clone(), observer: observer(&config, &metrics) };
    let mut proxies = Proxies::start(&config, around).await?;
    let mut pages = Pages::default();
    let ready = Ready::default();
    let exporter = bind("metrics", config.metrics.listen).await?;
    output::print(format_args!("metrics  http://{}/metrics", exporter.1))?;
    pages.add(|stop| serve_metrics(exporter.0, metrics.clone(), ready.clone(), stop));
    let (listener, listen) = bind("admin", config.admin.listen).await?;
    output::print(format_args!("admin    http://{listen}"))?;
    let setup = Setup {
        store,
        metrics,
        latch: latch.clone(),
        ceilings: config.safety.ceilings(),
        listen,
        token: config.admin.token.clone(),
        names: config.admin.hosts.clone(),
    };
    let api = Api::new(setup);
    proxies.tell(api.clone());
    pages.add(|stop| serve_admin(listener, api.clone(), stop));
    let sweeper = tokio::spawn(sweep(api));
    ready.set(true);

    let signal = steer(&mut signals, &mut files, &mut proxies, &latch, &ready).await;
    tracing::info!(exit_code = signal, "asked to stop: draining");
    ready.set(false);
    let code = tokio::select! {
        () = proxies.drain() => 0,
        code = signals.terminated() => code,
    };
    sweeper.abort();
    if code == 0 {
        pages.close().await;
    }
    Ok(code)
}

/// Obeys signals and files until asked to end; the exit code of a process that ends by that signal.
async fn steer(signals: &mut Signals, files: &mut Files, proxies: &mut Proxies, latch: &Latch, ready: &Ready) -> u8 {
    loop {
        tokio::select! {
            signal = signals.next() => match signal {
                Signal::Reload => files.reload(proxies).await,
                Signal::Off => {
                    latch.set(true).await;
                }
                Signal::Terminate(code) => return code,
            },
            () = files.changed() => files.reload(proxies).await,
        }
        ready.set(proxies.all_listen());
    }
}

/// Counts everything; writes access lines if the configuration asks for them.
fn observer(config: &Config, metrics: &Arc<Metrics>) -> Arc<dyn Observer> {
    if config.log.access { Arc::new(AccessLog::new(metrics.clone())) } else { metrics.clone() }
}

/// The process' own pages while they are served.
#[derive(Default)]
struct Pages {
    stops: Vec<oneshot::Sender<()>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Pages {
    fn add<F: Future<Output = ()> + Send + 'static>(&mut self, serve: impl FnOnce(Stop) -> F) {
        let (stop, stopped) = oneshot::channel();
        self.stops.push(stop);
        self.tasks.push(tokio::spawn(serve(Box::pin(over(stopped)))));
    }

    /// Ends them, requests under way first.
    async fn close(self) {
        for stop in self.stops {
            let _ = stop.send(());
        }
        for task in self.tasks {
            let _ = task.await;
        }
    }
}

type Stop = Pin<Box<dyn Future<Output = ()> + Send>>;

async fn over(stopped: oneshot::Receiver<()>) {
    let _ = stopped.await;
}

async fn bind(what: &str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), Failure> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("{what}: cannot listen on {address}"))?;
    let address = listener.local_addr().context("a listener without an address")?;
    Ok((listener, address))
}
