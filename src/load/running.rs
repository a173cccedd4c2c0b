//! A load that runs on a thread of its own, and the handle that others hold.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio_util::sync::DropGuard;

use super::driver::{LoadOutcome, drive};
use super::progress::{Progress, Shared};
use super::protocol::http1::Http1;
use super::protocol::tcp::Tcp;
use super::requests::Requests;
use super::spec::LoadSpec;
use super::watch::allow_open_files;
use crate::clock::{self, Instant};
use crate::results::Window;

/// The origin lies this far ahead, so that the first arrivals are not late.
const LEAD: Duration = Duration::from_millis(50);

/// Starts loads.
#[derive(Debug)]
pub struct Driver;

impl Driver {
    /// Starts a load on a thread of its own. May be called from any thread, also from an async one: it returns
    /// within a few milliseconds.
    ///
    /// # Errors
    /// When the spec cannot be worked with, or the thread, its runtime or its timer cannot be had.
    pub fn start(spec: LoadSpec) -> anyhow::Result<RunningLoad> {
        spec.check()?;
        let authority = spec.target.url().authority();
        let requests = Requests::new(&spec.scenario.operations, authority, spec.seed, spec.numbered)
            .context("load: no request can be made of the scenario")?;
        allow_open_files(spec.scenario.connections);
        let shared = Arc::new(Shared::default());
        let (window_sender, windows) = unbounded_channel();
        let (ready_sender, ready) = mpsc::channel();
        let (outcome_sender, outcome) = oneshot::channel();
        let thread_shared = shared.clone();
        std::thread::Builder::new()
            .name("load".to_owned())
            .spawn(move || {
                let outcome = run(&spec, requests, &thread_shared, window_sender, &ready_sender);
                if let Some(outcome) = outcome {
                    let _ = outcome_sender.send(outcome);
                }
            })
            .context("load: cannot start a thread")?;
        let origin = ready.recv().context("load: the driver's thread has died")??;
        let stop = shared.stop.clone().drop_guard();
        Ok(RunningLoad { origin, shared, windows, outcome, stop })
    }
}

/// The thread's life. `None` if it could not begin, which `ready` has been told.
fn run(
    spec: &LoadSpec,
    requests: Requests,
    shared: &Arc<Shared>,
    windows: UnboundedSender<Window>,
    ready: &mpsc::Sender<anyhow::Result<Instant>>,
) -> Option<LoadOutcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default());
    let begin = || -> anyhow::Result<_> { runtime.context("load: cannot start a runtime") };
    let runtime = begin().map_err(|error| ready.send(Err(error))).ok()?;
    runtime.block_on(async {
        let timer = clock::install().context("load: cannot have a timer");
        let _timer = timer.map_err(|error| ready.send(Err(error))).ok()?;
        let origin = clock::now() + LEAD;
        ready.send(Ok(origin)).ok()?;
        let protocol = Http1::new(Tcp::new(spec.target.addresses()));
        Some(drive(spec, protocol, requests, origin, shared, windows).await)
    })
}

/// A load that is running. Dropping it stops the load.
#[derive(Debug)]
pub struct RunningLoad {
    origin: Instant,
    shared: Arc<Shared>,
    windows: UnboundedReceiver<Window>,
    outcome: oneshot::Receiver<LoadOutcome>,
    stop: DropGuard,
}

impl RunningLoad {
    /// Time 0 of all intended starts and windows.
    pub fn origin(&self) -> Instant {
        self.origin
    }

    /// The next window, in order, as soon as it is final: when all of its requests have ended, at the latest one
    /// timeout after its end. `None` after the last one. Cancel-safe.
    pub async fn next_window(&mut self) -> Option<Window> {
        self.windows.recv().await
    }

    /// How it is doing, at most a tenth of a second old.
    pub fn progress(&self) -> Progress {
        self.shared.progress()
    }

    /// From now on, sub-bins count successes up to this latency as `within`.
    pub fn set_latency_limit(&self, limit: Duration) {
        self.shared.limit.set(limit);
    }

    /// Sends nothing from now on. What is under way is still waited for, at most one timeout; every window up to
    /// now is delivered, the last one cut short and not valid.
    pub fn stop(&self) {
        self.shared.stop.cancel();
    }

    /// Waits for the end of the load, stopped or not.
    ///
    /// # Errors
    /// When the driver's thread has died.
    pub async fn join(self) -> anyhow::Result<LoadOutcome> {
        let Self { mut windows, outcome, stop, .. } = self;
        let mut left = Vec::new();
        while let Some(window) = windows.recv().await {
            left.push(window);
        }
        let outcome = outcome.await.context("load: the driver's thread has died")?;
        drop(stop);
        Ok(LoadOutcome { windows: left, ..outcome })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::testing::{ms, spec};
    use crate::load::{LoadSpec, TargetUrl};
    use std::io::{Read, Write};
    use std::net::TcpListener;

    /// A target on a real socket: answers each connection's requests with 200, on a thread each.
    fn target() -> TargetUrl {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = TargetUrl::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    // Small requests, one at a time per connection: each arrives in one read.
                    let mut request = [0; 4096];
                    while stream.read(&mut request).is_ok_and(|n| n > 0) {
                        if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_err() {
                            break;
                        }
                    }
                });
            }
        });
        url
    }

    fn spec_for(url: &TargetUrl, duration: Duration) -> LoadSpec {
        LoadSpec { target: url.resolve(&[]).unwrap(), window: ms(100), ..spec(200.0, duration) }
    }

    #[tokio::test]
    async fn a_load_on_its_own_thread_reaches_a_real_target() {
        let mut load = Driver::start(spec_for(&target(), ms(500))).unwrap();
        let first = load.next_window().await.unwrap();
        assert_eq!((first.start_s, first.planned), (0.0, 20));
        let outcome = load.join().await.unwrap();
        assert_eq!(outcome.windows.len(), 4);
        // A busy machine may be too late for some: then they are missed, and nothing is lost.
        assert_eq!(outcome.totals.requests + outcome.totals.missed, 100);
        assert!(outcome.totals.connections_opened >= 1);
    }

    #[tokio::test]
    async fn a_load_can_be_stopped_from_an_async_thread() {
        let mut load = Driver::start(spec_for(&target(), Duration::from_secs(3_600))).unwrap();
        assert!(load.next_window().await.is_some());
        load.set_latency_limit(ms(5));
        assert!(load.progress().counts.planned > 0);
        load.stop();
        let outcome = load.join().await.unwrap();
        assert!(outcome.totals.requests >= 20 && outcome.totals.requests < 200_000);
    }

    #[test]
    fn a_spec_that_cannot_be_worked_with_is_refused() {
        let url = target();
        for spoil in [
            (|spec| spec.window = ms(250)) as fn(&mut LoadSpec),
            |spec| spec.duration = Duration::ZERO,
            |spec| spec.quantile = 0.0,
            |spec| spec.scenario.connections = 0,
            |spec| spec.scenario.timeout = Duration::from_micros(10),
        ] {
            let mut spec = spec_for(&url, ms(100));
            spoil(&mut spec);
            assert!(Driver::start(spec).is_err());
        }
    }
}
