//! Requests that are sent once more, behind the client's back.

use std::sync::Arc;

use bytes::Bytes;
use pingora::http::RequestHeader;
use pingora::protocols::http::HttpTask;

use super::gateway::Gateway;
use super::link::Link;
use super::pool::Wanted;
use crate::clock;

/// Sends a request to the upstream and drops its answer. Ends by itself, with the upstream's patience at the latest.
pub(super) async fn send(gateway: Arc<Gateway>, head: RequestHeader, body: Bytes) {
    let limit = gateway.pool().upstream().timeouts().read;
    tokio::select! {
        () = Box::pin(exchange(&gateway, head, body)) => {}
        () = clock::sleep(limit) => tracing::debug!(proxy = gateway.name(), "a copy of a request got no answer"),
    }
}

async fn exchange(gateway: &Gateway, head: RequestHeader, body: Bytes) {
    // Certain: a copy is not sent twice either.
    let Ok(mut link) = gateway.pool().take(Wanted::Certain).await else { return };
    let asked = async {
        link.send_head(Box::new(head), body.is_empty()).await?;
        if body.is_empty() { Ok(()) } else { link.send_last(body).await }
    };
    let clean = asked.await.is_ok() && hear_out(&mut link).await;
    gateway.pool().put_back(link, clean).await;
}

/// Reads the answer to its end; whether it came to one.
async fn hear_out(link: &mut Link) -> bool {
    loop {
        let holding = link.is_holding();
        let (upstream, outlet) = link.ears();
        tokio::select! {
            task = upstream.heard() => match task {
                Ok(HttpTask::Header(head, end)) => {
                    if head.status == http::StatusCode::SWITCHING_PROTOCOLS {
                        return false;
                    }
                    if end && !head.status.is_informational() {
                        return true;
                    }
                }
                Ok(HttpTask::Body(_, end) | HttpTask::UpgradedBody(_, end)) => {
                    if end {
                        return true;
                    }
                }
                Ok(HttpTask::Trailer(_) | HttpTask::Done) => return true,
                Ok(HttpTask::Failed(_)) | Err(_) => return false,
            },
            moved = outlet.moved(), if holding => if moved.is_err() { return false },
        }
    }
}
