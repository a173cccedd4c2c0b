//! A small HTTP/1.1 server for the process' own pages: the exporter and the admin API.

use std::future::Future;
use std::io;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock;

/// How long a client may take to send a request's head; also how long an idle connection is kept.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long requests under way may take to end after `stop`.
const DRAIN: Duration = Duration::from_secs(2);
/// After an accept that failed for want of descriptors, so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves `pages` on `listener` until `stop` is over; then requests under way may end within two seconds. Runs on
/// the caller's runtime. Dropping the future stops accepting and closes every connection at once.
pub async fn serve(listener: TcpListener, pages: Router, stop: impl Future<Output = ()>) {
    let tasks = TaskTracker::new();
    let (closing, cut) = (CancellationToken::new(), CancellationToken::new());
    let _cut_when_dropped = cut.clone().drop_guard();
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stop => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((tcp, _)) => {
                let connection = connection(tcp, pages.clone(), closing.clone());
                tasks.spawn(cut.clone().run_until_cancelled_owned(connection));
            }
            Err(error) => pause(error).await,
        }
    }
    drop(listener);
    tasks.close();
    closing.cancel();
    tokio::select! {
        () = tasks.wait() => {}
        () = clock::sleep(DRAIN) => {}
    }
}

async fn pause(error: io::Error) {
    tracing::warn!(%error, "a connection could not be accepted");
    clock::sleep(ACCEPT_PAUSE).await;
}

async fn connection(tcp: TcpStream, pages: Router, closing: CancellationToken) {
    let _ = tcp.set_nodelay(true);
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(tcp), TowerToHyperService::new(pages));
    let mut served = std::pin::pin!(served);
    // A connection that ends in an error is the client's affair: nobody is left to be told.
    tokio::select! {
        _ = &mut served => return,
        () = closing.cancelled() => {}
    }
    served.as_mut().graceful_shutdown();
    let _ = served.await;
}
