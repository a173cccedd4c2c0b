//! Requests that are sent once more, behind the client's back.

use std::sync::Arc;

use pingora::protocols::http::HttpTask;

use super::forwarded::{self, Asker};
use super::gateway::Gateway;
use super::link::Link;
use super::pool::Wanted;
use super::upload::Copy;
use crate::clock;

/// Sends a request to the upstream and drops its answer. Ends by itself, with the upstream's patience at the latest.
pub(super) async fn send(gateway: Arc<Gateway>, copy: Arc<Copy>) {
    let limit = gateway.pool().upstream().timeouts().read;
    tokio::select! {
        () = Box::pin(exchange(&gateway, &copy)) => {}
        () = clock::sleep(limit) => tracing::debug!(proxy = gateway.name(), "a copy of a request got no answer"),
    }
}

async fn exchange(gateway: &Gateway, copy: &Copy) {
    // Certain: a copy is not sent twice either.
    let Ok(mut link) = gateway.pool().take(Wanted::Certain, copy.request.version == http::Version::HTTP_2).await else {
        return;
    };
    let target = link.is_h2().then(|| gateway.pool().upstream().h2_target(copy.is_secure));
    let bodiless = copy.body.is_empty();
    let Some(mut head) = copy.shape.head(&copy.request, target, !bodiless) else { return };
    let scheme = if copy.is_secure { "https" } else { "http" };
    forwarded::tell(&mut head, gateway.forwarded(), &Asker { address: copy.address, scheme, request: &copy.request });
    let asked = async {
        link.send_head(Box::new(head), bodiless).await?;
        if bodiless { Ok(()) } else { link.send_last(copy.body.clone()).await }
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
