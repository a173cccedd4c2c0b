//! One shape of event for an upstream of either protocol.

use bytes::Bytes;
use pingora::Result;
use pingora::protocols::http::HttpTask;
use pingora::protocols::http::client::HttpSession;

/// The next part of the response. Can be cancelled: nothing read is lost.
pub(super) async fn task(up: &mut HttpSession) -> Result<HttpTask> {
    let h2 = match up {
        HttpSession::H1(h1) => return h1.read_response_task().await,
        HttpSession::H2(h2) => h2,
        HttpSession::Custom(()) => return Ok(HttpTask::Done),
    };
    let Some(_) = h2.response_header() else {
        h2.read_response_header().await?;
        let end = h2.check_response_end_or_error()?;
        return Ok(match h2.response_header() {
            Some(head) => HttpTask::Header(Box::new(head.clone()), end),
            None => HttpTask::Done,
        });
    };
    if let Some(bytes) = h2.read_response_body().await? {
        // The end is told with the last bytes where possible, so that it needs no frame of its own.
        let end = h2.check_response_end_or_error()?;
        return Ok(HttpTask::Body(Some(bytes), end));
    }
    Ok(match h2.read_trailers().await? {
        Some(trailers) => HttpTask::Trailer(Some(Box::new(trailers))),
        None => HttpTask::Body(Some(Bytes::new()), true),
    })
}
