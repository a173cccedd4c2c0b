//! The upstream's side of one exchange: a connection (HTTP/2: a stream) taken from the pool.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pingora::http::RequestHeader;
use pingora::protocols::http::HttpTask;
use pingora::protocols::http::client::HttpSession;
use pingora::protocols::http::v1::client::HttpSession as Http1;
use pingora::protocols::http::v2::client::Http2Session as Http2;
use pingora::{Error, ErrorType, Result};

use super::frames::{Broken, Frames};
use super::outlet::Outlet;
use super::wire::{Control, tls_reason};
use crate::clock;
use crate::telemetry::events::Trouble;

/// A connection to the upstream, for one request.
pub(super) struct Link {
    session: HttpSession,
    way: Way,
    origin: Origin,
}

/// Where a link comes from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin {
    pub(super) address: SocketAddr,
    /// It has served a request before, so it may turn out to be closed.
    pub(super) reused: bool,
    /// Of the settings that it was made with.
    pub(super) age: u64,
}

/// How the request gets there, and what the pool needs to know of it.
enum Way {
    H1 {
        control: Arc<Control>,
        /// Bytes received when it was taken: more means that the upstream has said something to this request.
        heard_before: u64,
    },
    H2 {
        frames: Option<Frames>,
    },
}

/// A link taken apart for the pool.
pub(super) enum Parts {
    H1(Box<Http1>, Arc<Control>, Origin),
    H2(Box<Http2>, Origin),
}

impl Link {
    pub(super) fn h1(control: Arc<Control>, origin: Origin) -> Self {
        let session = HttpSession::H1(Http1::new(control.wire()));
        Self { session, way: Way::H1 { heard_before: control.received(), control }, origin }
    }

    pub(super) fn h2(session: Http2, origin: Origin) -> Self {
        Self { session: HttpSession::H2(session), way: Way::H2 { frames: None }, origin }
    }

    /// Whether HTTP/2 is spoken.
    pub(super) fn is_h2(&self) -> bool {
        matches!(self.way, Way::H2 { .. })
    }

    pub(super) fn into_parts(self) -> Option<Parts> {
        match (self.session, self.way) {
            (HttpSession::H1(session), Way::H1 { control, .. }) => {
                Some(Parts::H1(Box::new(session), control, self.origin))
            }
            (HttpSession::H2(session), Way::H2 { .. }) => Some(Parts::H2(Box::new(session), self.origin)),
            _ => None,
        }
    }

    /// The upstream may have closed it before this request came, and has not said a word to it: on a fresh connection
    /// the request may fare better.
    pub(super) fn may_be_stale(&self) -> bool {
        let silent = match &self.way {
            Way::H1 { control, heard_before, .. } => control.received() == *heard_before,
            Way::H2 { .. } => self.session.response_header().is_none(),
        };
        self.origin.reused && silent
    }

    /// So much waits to be sent that nothing should be added.
    pub(super) fn is_full(&self) -> bool {
        match &self.way {
            Way::H1 { control, .. } => control.is_full(),
            Way::H2 { frames, .. } => frames.as_ref().is_some_and(Frames::is_waiting),
        }
    }

    /// Something waits to be sent.
    pub(super) fn is_holding(&self) -> bool {
        match &self.way {
            Way::H1 { control, .. } => control.is_holding(),
            Way::H2 { .. } => self.is_full(),
        }
    }

    /// Sends the request's head; with `end` that is all of the request.
    pub(super) async fn send_head(&mut self, head: Box<RequestHeader>, end: bool) -> Result<()> {
        match (&mut self.session, &mut self.way) {
            (HttpSession::H2(session), Way::H2 { frames, .. }) => {
                session.write_request_header(head, end)?;
                if !end {
                    *frames = session.take_request_body_writer().map(Frames::new);
                }
                Ok(())
            }
            (session, Way::H1 { control, .. }) => {
                session.write_request_header(head).await?;
                // Without a body nothing follows that the head could travel with.
                if end { control.nudge().map_err(|_| lost()) } else { Ok(()) }
            }
            _ => Err(lost()),
        }
    }

    /// Sends a piece of the request's body. Never waits: see [`is_full`](Self::is_full).
    pub(super) async fn send_body(&mut self, bytes: Bytes) -> Result<()> {
        if bytes.is_empty() {
            return Ok(()); // as a chunk it would be the last one
        }
        match &mut self.way {
            Way::H1 { .. } => self.session.write_request_body(bytes, false).await,
            Way::H2 { frames, .. } => push(frames, bytes, false),
        }
    }

    /// Sends the last piece of the request's body.
    pub(super) async fn send_last(&mut self, bytes: Bytes) -> Result<()> {
        match &mut self.way {
            Way::H1 { .. } if bytes.is_empty() => self.end_body().await,
            Way::H1 { .. } => {
                self.session.write_request_body(bytes, false).await?;
                self.end_body().await
            }
            Way::H2 { frames, .. } => push(frames, bytes, true),
        }
    }

    /// The request's body is complete.
    pub(super) async fn end_body(&mut self) -> Result<()> {
        match &mut self.way {
            Way::H1 { .. } => self.session.finish_request_body().await,
            Way::H2 { frames, .. } => push(frames, Bytes::new(), true),
        }
    }

    /// The upstream has agreed to speak another protocol: from here both sides are plain bytes.
    pub(super) fn upgrade(&mut self) {
        if let HttpSession::H1(session) = &mut self.session {
            session.maybe_upgrade_body_writer();
        }
    }

    /// Waits until everything said has left, at most this long.
    pub(super) async fn drain(&mut self, limit: Duration) {
        let deadline = clock::now() + limit;
        while self.is_holding() {
            tokio::select! {
                moved = self.ears().1.moved() => if moved.is_err() { return },
                () = clock::sleep_until(deadline) => return,
            }
        }
    }

    /// Both directions apart, so that one can be waited for beside the other.
    pub(super) fn ears(&mut self) -> (Source<'_>, Outlet<'_>) {
        let outlet = match &mut self.way {
            Way::H1 { control, .. } => Outlet::Wire(control),
            Way::H2 { frames: Some(frames), .. } => Outlet::Frames(frames),
            Way::H2 { frames: None } => Outlet::None,
        };
        (Source(&mut self.session), outlet)
    }
}

fn lost() -> Box<Error> {
    Error::new(ErrorType::WriteError)
}

fn push(frames: &mut Option<Frames>, bytes: Bytes, end: bool) -> Result<()> {
    frames.as_mut().ok_or(Broken).and_then(|frames| frames.push(bytes, end)).map_err(|Broken| lost())
}

/// Where the upstream is heard: one shape of event for both protocols.
pub(super) struct Source<'a>(&'a mut HttpSession);

impl Source<'_> {
    /// The next part of the response. Can be cancelled: nothing read is lost.
    pub(super) async fn heard(self) -> Result<HttpTask> {
        let h2 = match self.0 {
            HttpSession::H1(h1) => return h1.read_response_task().await,
            HttpSession::H2(h2) => h2,
            HttpSession::Custom(()) => return Ok(HttpTask::Done),
        };
        if h2.response_header().is_none() {
            return head(h2).await;
        }
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
}

async fn head(h2: &mut Http2) -> Result<HttpTask> {
    h2.read_response_header().await?;
    let end = h2.check_response_end_or_error()?;
    Ok(match h2.response_header() {
        Some(head) => HttpTask::Header(Box::new(head.clone()), end),
        None => HttpTask::Done,
    })
}

/// What a failed exchange is called.
pub(super) fn trouble(error: &Error) -> Trouble {
    match error.etype() {
        _ if is_tls(error) => Trouble::UpstreamTls,
        ErrorType::ReadTimedout | ErrorType::WriteTimedout => Trouble::UpstreamTimeout,
        ErrorType::InvalidHTTPHeader | ErrorType::H1Error | ErrorType::InvalidH2 => Trouble::UpstreamMalformed,
        ErrorType::Custom(_) => Trouble::UpstreamMalformed, // chunks and trailers that are none
        _ => Trouble::UpstreamReset,
    }
}

/// What the upstream said is no TLS, or TLS that says why it ends: with TLS 1.3, that our certificate is not accepted
/// is heard only when the first answer is awaited.
fn is_tls(error: &Error) -> bool {
    let cause = error.root_cause();
    if let Some(error) = cause.downcast_ref::<h2::Error>() {
        // The reason itself is lost on the way through HTTP/2; of a wire's errors only its cipher's are of this kind.
        return error.get_io().is_some_and(|io| io.kind() == std::io::ErrorKind::InvalidData);
    }
    cause.downcast_ref().is_some_and(|io| tls_reason(io).is_some())
}

/// The upstream itself says that it has not processed the request, so that any request may be sent again: it refused
/// the stream, or said goodbye before it (RFC 9113 section 8.7).
pub(super) fn is_unprocessed(error: &Error) -> bool {
    let Some(error) = error.root_cause().downcast_ref::<h2::Error>() else { return false };
    error.is_remote()
        && match error.reason() {
            Some(h2::Reason::REFUSED_STREAM) => error.is_reset(),
            Some(h2::Reason::NO_ERROR) => error.is_go_away(),
            _ => false,
        }
}

/// The connection was lost, rather than something wrong said on it.
pub(super) fn is_lost(error: &Error) -> bool {
    matches!(error.etype(), ErrorType::ConnectionClosed | ErrorType::ReadError | ErrorType::WriteError)
}
