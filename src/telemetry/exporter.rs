//! The `[metrics]` listener: `/metrics`, `/healthz`, `/readyz`. Read-only, without a token.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

use super::metrics::Metrics;
use super::serve::serve;

/// Whether the process can do its work: false at first, true once every listener is bound, false again in the drain.
#[derive(Debug, Clone, Default)]
pub struct Ready(Arc<AtomicBool>);

impl Ready {
    /// Says whether the process can do its work.
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Relaxed);
    }

    /// Whether it can.
    pub fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Serves the exporter's pages until `stop` is over. Runs on the caller's runtime.
pub async fn serve_metrics(listener: TcpListener, metrics: Arc<Metrics>, ready: Ready, stop: impl Future<Output = ()>) {
    serve(listener, pages(metrics, ready), stop).await;
}

/// The pages themselves. `/healthz` answers 200 as long as the process answers at all; `/readyz` 200 or 503.
fn pages(metrics: Arc<Metrics>, ready: Ready) -> Router {
    Router::new()
        .route("/metrics", get(scrape).with_state(metrics))
        .route("/healthz", get("ok\n"))
        .route("/readyz", get(readiness).with_state(ready))
}

async fn scrape(State(metrics): State<Arc<Metrics>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.text())
}

async fn readiness(State(ready): State<Ready>) -> impl IntoResponse {
    if ready.get() { (StatusCode::OK, "ready\n") } else { (StatusCode::SERVICE_UNAVAILABLE, "not ready\n") }
}
