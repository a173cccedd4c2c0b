//! A target in memory, for driving whole loads on a paused clock: exact times, no ports, no waiting.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::LocalSet;

use super::driver::{LoadOutcome, drive};
use super::operation::{Operation, OperationText};
use super::progress::Shared;
use super::protocol::Dial;
use super::protocol::http1::Http1;
use super::requests::Requests;
use super::scenario::{Demand, Scenario};
use super::spec::LoadSpec;
use super::target::TargetUrl;
use crate::load::Arrivals;
use crate::results::Window;
use crate::units::Rate;

pub(super) fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// `GET /` at a constant rate, timeout 1 s, windows of 1 s.
pub(super) fn spec(per_second: f64, duration: Duration) -> LoadSpec {
    let text = OperationText {
        name: None,
        method: None,
        path: "/{{seq}}".to_owned(),
        headers: Vec::new(),
        body: String::new(),
        weight: 1.0,
    };
    let (rate, timeout) = (Rate::new(per_second).unwrap(), ms(1_000));
    let target = TargetUrl::parse("http://127.0.0.1:9").unwrap();
    let scenario = Scenario {
        target: target.clone(),
        operations: vec![Operation::new(text).unwrap()],
        demand: Demand::Open { rate, arrivals: Arrivals::Constant },
        timeout,
        connections: Scenario::default_connections(rate, timeout),
    };
    LoadSpec::new(scenario, target.resolve(&[]).unwrap(), duration)
}

/// Dials by handing one end of a pipe to `serve`, which takes it or refuses.
struct Memory<F>(F);

impl<F: Fn(DuplexStream) -> io::Result<()> + 'static> Dial for Memory<F> {
    type Stream = DuplexStream;

    async fn dial(&self) -> io::Result<DuplexStream> {
        let (near, far) = tokio::io::duplex(64 * 1024);
        self.0(far)?;
        Ok(near)
    }
}

/// Runs a load against `serve` to its end, and gives all of its windows with the outcome.
pub(super) async fn run(spec: &LoadSpec, serve: impl Fn(DuplexStream) -> io::Result<()> + 'static) -> LoadOutcome {
    run_with(spec, &Arc::new(Shared::default()), serve).await
}

/// As [`run`], with the handle that others would hold.
pub(super) async fn run_with(
    spec: &LoadSpec,
    shared: &Arc<Shared>,
    serve: impl Fn(DuplexStream) -> io::Result<()> + 'static,
) -> LoadOutcome {
    let requests =
        Requests::new(&spec.scenario.operations, spec.target.url().authority(), spec.seed, spec.numbered).unwrap();
    let (sender, mut receiver) = unbounded_channel();
    let origin = crate::clock::now() + ms(50);
    let protocol = Http1::new(Memory(serve));
    let outcome = LocalSet::new().run_until(drive(spec, protocol, requests, origin, shared, sender)).await;
    let windows: Vec<Window> = std::iter::from_fn(|| receiver.try_recv().ok()).collect();
    LoadOutcome { windows, ..outcome }
}

/// A server that answers each request by a function of it.
pub(super) fn http<A>(
    answer: impl Fn(Request<Incoming>) -> A + Clone + 'static,
) -> impl Fn(DuplexStream) -> io::Result<()>
where
    A: Future<Output = Response<Full<Bytes>>> + 'static,
{
    move |stream| {
        let answer = answer.clone();
        let service = service_fn(move |request| {
            let answer = answer(request);
            async { Ok::<_, Infallible>(answer.await) }
        });
        tokio::task::spawn_local(
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
        );
        Ok(())
    }
}

/// A server that answers every request with this status after this long.
pub(super) fn answers(status: u16, after: Duration) -> impl Fn(DuplexStream) -> io::Result<()> {
    http(move |_| async move {
        tokio::time::sleep(after).await;
        response(status)
    })
}

pub(super) fn response(status: u16) -> Response<Full<Bytes>> {
    Response::builder().status(status).body(Full::new(Bytes::from_static(b"hello"))).unwrap()
}

/// A server that reads one request head, writes these bytes and closes.
pub(super) fn writes(bytes: &'static [u8]) -> impl Fn(DuplexStream) -> io::Result<()> {
    move |mut stream| {
        tokio::task::spawn_local(async move {
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await;
            let _ = stream.write_all(bytes).await;
        });
        Ok(())
    }
}
