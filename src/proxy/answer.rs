//! Answers of our own, and the ways to end an exchange without one.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, Method, StatusCode};
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;

use super::stream::{ClientStream, Control};
use super::visit::{End, Visit};
use crate::clock;
use crate::faults::{Answer, CloseHow};
use crate::names;
use crate::telemetry::events::{ExchangeOutcome, Trouble};

/// Frames of a stream that is reset are given this long to leave: a reset drops what is still queued.
const H2_SETTLE: Duration = Duration::from_millis(1);

/// Sends a fault's answer. The connection stays usable: an unread request body is read and dropped afterwards.
pub(super) async fn send(session: &mut ServerSession, visit: &mut Visit, answer: &Answer, marked: bool) -> End {
    visit.outcome = ExchangeOutcome::Injected;
    let Ok(mut head) = head(answer.status, &answer.headers, answer.body.len()) else { return End::Closed };
    if marked {
        visit.mark(&mut head);
    }
    write(session, visit, head, answer.body.clone()).await
}

/// Says what trouble the proxy itself has; the connection stays usable.
pub(super) async fn trouble(session: &mut ServerSession, visit: &mut Visit, trouble: Trouble) -> End {
    visit.outcome = match trouble {
        Trouble::BadRequest => ExchangeOutcome::BadRequest,
        _ => ExchangeOutcome::UpstreamError,
    };
    visit.trouble = Some(trouble);
    let body = Bytes::from(format!("brownout: {trouble}\n"));
    let Ok(mut head) = head(trouble.status(), &HeaderMap::new(), body.len()) else { return End::Closed };
    let _ = head.insert_header(CONTENT_TYPE, "text/plain; charset=utf-8");
    let _ = head.insert_header(names::ERROR_HEADER, trouble.name());
    visit.mark(&mut head);
    write(session, visit, head, body).await
}

fn head(status: StatusCode, headers: &HeaderMap, length: usize) -> pingora::Result<ResponseHeader> {
    let mut head = ResponseHeader::build(status, Some(headers.len() + 4))?;
    for (name, value) in headers {
        head.append_header(name.clone(), value.clone())?;
    }
    if !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) && !status.is_informational() {
        head.insert_header(CONTENT_LENGTH, length)?;
    }
    Ok(head)
}

async fn write(session: &mut ServerSession, visit: &mut Visit, head: ResponseHeader, body: Bytes) -> End {
    let bodiless = session.req_header().method == Method::HEAD
        || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    visit.status = Some(head.status.as_u16());
    if expects_to_continue(session) {
        session.set_keepalive(None); // whether it sends the body now is its choice: no framing to rely on
    }
    let written = async {
        session.write_response_header(Box::new(head)).await?;
        session.write_response_body(if bodiless { Bytes::new() } else { body }, true).await
    };
    match written.await {
        Ok(()) => End::Complete,
        Err(_) => End::Closed,
    }
}

fn expects_to_continue(session: &mut ServerSession) -> bool {
    session.req_header().headers.contains_key(http::header::EXPECT) && !session.is_body_done()
}

/// Ends the exchange without (the rest of) an answer: FIN or RST on HTTP/1, a reset stream on HTTP/2.
pub(super) async fn close(session: &mut ServerSession, control: &Control, how: CloseHow) -> End {
    if session.is_http2() {
        tokio::task::yield_now().await;
        clock::sleep(H2_SETTLE).await;
        session.shutdown_with_reason(match how {
            CloseHow::Close => h2::Reason::CANCEL,
            CloseHow::Reset => h2::Reason::INTERNAL_ERROR,
        });
        return End::Closed;
    }
    session.set_keepalive(None);
    match how {
        CloseHow::Reset => control.reset().await,
        CloseHow::Close => {
            if let Some(stream) = client_stream(session) {
                stream.close().await;
            }
        }
    }
    End::Closed
}

/// The HTTP/1 session's own stream.
pub(super) fn client_stream(session: &ServerSession) -> Option<&ClientStream> {
    session.stream()?.as_any().downcast_ref()
}
