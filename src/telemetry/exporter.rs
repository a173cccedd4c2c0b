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

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::sync::oneshot;

    use super::*;

    async fn get(address: SocketAddr, head: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("{head} HTTP/1.1\r\nHost: a.pod\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn the_pages_answer_anybody_who_reads_and_nobody_who_writes() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let ready = Ready::default();
        tokio::spawn(serve_metrics(listener, Metrics::new(), ready.clone(), std::future::pending()));
        let metrics = get(address, "GET /metrics").await;
        assert!(metrics.starts_with("HTTP/1.1 200 OK\r\n"), "{metrics}");
        assert!(metrics.contains("\r\ncontent-type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{metrics}");
        assert!(metrics.contains("\nbrownout_build_info{version=\""), "{metrics}");
        assert!(get(address, "GET /healthz").await.starts_with("HTTP/1.1 200 "));
        assert!(get(address, "GET /readyz").await.starts_with("HTTP/1.1 503 "));
        ready.set(true);
        assert!(get(address, "GET /readyz").await.starts_with("HTTP/1.1 200 "));
        assert!(get(address, "POST /metrics").await.starts_with("HTTP/1.1 405 "));
        assert!(get(address, "GET /").await.starts_with("HTTP/1.1 404 "));
    }

    #[tokio::test]
    async fn a_stop_closes_idle_connections_and_the_listener() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async { stopped.await.unwrap_or_default() };
        let serving = tokio::spawn(serve_metrics(listener, Metrics::new(), Ready::default(), stopped));
        let mut idle = TcpStream::connect(address).await.unwrap();
        idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let mut answer = [0; 12];
        idle.read_exact(&mut answer).await.unwrap();
        stop.send(()).unwrap();
        serving.await.unwrap();
        let mut rest = Vec::new();
        idle.read_to_end(&mut rest).await.unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }
}
