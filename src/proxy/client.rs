//! The client's side of one exchange: what it says, what it is told, and whether it is still there.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use pingora::ErrorType;
use pingora::apps::{HttpPersistentSettings, ReusedHttpStream};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::ServerSession;
use pingora::server::ShutdownWatch;
use tokio::sync::watch;

use super::bounds::Bounds;
use super::forwarded::Asker;
use super::frames::{Broken, Frames};
use super::outlet::Outlet;
use super::wire::Control;
use crate::clock;
use crate::faults::CloseHow;

/// Frames of a stream that is reset are given this long to leave: a reset drops what is still queued.
const H2_SETTLE: Duration = Duration::from_millis(1);

/// The client left, or broke the rules of its own protocol: nothing can be said to it any more.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gone;

/// What the client does while it is served.
#[derive(Debug)]
pub(super) enum Said {
    /// A piece of its body.
    Piece(Bytes),
    /// That its body is complete.
    End,
    /// Something that is not its body: the framing is broken.
    Nonsense,
    /// Nothing more: it left.
    Left,
}

/// What is wanted of the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    /// The next piece of its body.
    Body,
    /// Nothing: only whether it leaves.
    Presence,
}

/// One request's client.
pub(super) struct Client {
    session: ServerSession,
    control: Arc<Control>,
    /// Whether the proxy is to stop: then no further request follows.
    shutdown: ShutdownWatch,
    /// HTTP/2's response body, once the head is out.
    frames: Option<Frames>,
    /// Its FIN only means that it has no more to say.
    half_open: bool,
    /// Something of its body has been read.
    has_spoken: bool,
    /// HTTP/1: the body goes to the connection as it is, whatever the head says of its length.
    raw: bool,
    /// Tells an HTTP/2 client that its connection takes no further requests.
    goodbye: watch::Sender<bool>,
    /// What was read of it ahead of the exchange, and is yet to be heard there.
    early: VecDeque<Said>,
}

impl Client {
    pub(super) fn new(
        session: ServerSession,
        control: Arc<Control>,
        shutdown: ShutdownWatch,
        goodbye: watch::Sender<bool>,
        half_open: bool,
    ) -> Self {
        let (raw, early) = (false, VecDeque::new());
        Self { session, control, shutdown, frames: None, half_open, has_spoken: false, raw, goodbye, early }
    }

    /// Its request's head. Only after [`session`](Self::session) has read it.
    pub(super) fn request(&self) -> &RequestHeader {
        self.session.req_header()
    }

    /// pingora's session, for what is done before and after an exchange.
    pub(super) fn session(&mut self) -> &mut ServerSession {
        &mut self.session
    }

    /// Its connection.
    pub(super) fn control(&self) -> &Control {
        &self.control
    }

    /// Who it is.
    pub(super) fn asker(&self) -> Asker<'_> {
        Asker {
            address: self.control.peer(),
            scheme: if self.is_secure() { "https" } else { "http" },
            request: self.request(),
        }
    }

    pub(super) fn is_h2(&self) -> bool {
        self.session.is_http2()
    }

    /// Whether it is spoken to over TLS.
    pub(super) fn is_secure(&self) -> bool {
        self.control.is_secure()
    }

    /// All of its body has been read and heard, or it has none.
    pub(super) fn is_request_done(&mut self) -> bool {
        self.early.is_empty() && self.session.is_body_done()
    }

    /// The address that it comes from.
    pub(super) fn address(&self) -> Option<IpAddr> {
        self.control.peer()
    }

    /// Reads its body ahead of the exchange: all of it, if that is at most `limit` bytes and comes within `patience`,
    /// else nothing is known of it. The exchange hears everything as if it had not been read. One that waits to be told
    /// to send its body is not told here.
    pub(super) async fn read_ahead(&mut self, limit: usize, patience: Duration) -> Option<Vec<u8>> {
        if self.awaits_continue() {
            return None;
        }
        let deadline = clock::now() + patience;
        let mut body = Vec::new();
        while !self.session.is_body_done() && body.len() <= limit {
            let said = tokio::select! {
                said = Inlet::Body(&mut self.session, &mut self.has_spoken, self.control.bounds()).heard() => said,
                () = clock::sleep_until(deadline) => return None,
            };
            match &said {
                Said::Piece(bytes) => body.extend_from_slice(bytes),
                Said::End => break,
                Said::Nonsense | Said::Left => {
                    self.early.push_back(said);
                    return None;
                }
            }
            self.early.push_back(said);
        }
        if !self.early.is_empty() && self.session.is_body_done() {
            self.early.push_back(Said::End);
        }
        (body.len() <= limit).then_some(body)
    }

    /// It waits to be told to send its body (RFC 9110 section 10.1.1), and has sent none of it.
    pub(super) fn awaits_continue(&mut self) -> bool {
        let head = self.session.req_header();
        let expects =
            head.headers.get(http::header::EXPECT).is_some_and(|e| e.as_bytes().eq_ignore_ascii_case(b"100-continue"));
        expects && !self.has_spoken && !self.session.is_body_done()
    }

    /// The connection serves no further request; the response's head says so. Nothing on HTTP/2.
    pub(super) fn forbid_reuse(&mut self) {
        self.session.set_keepalive(None);
    }

    /// So much waits to be sent that nothing should be added.
    pub(super) fn is_full(&self) -> bool {
        match &self.frames {
            Some(frames) => frames.is_waiting(),
            None => !self.is_h2() && self.control.is_full(),
        }
    }

    /// Something waits to be sent.
    pub(super) fn is_holding(&self) -> bool {
        match &self.frames {
            Some(frames) => frames.is_waiting(),
            None => !self.is_h2() && self.control.is_holding(),
        }
    }

    /// Sends a head; with `end` the response is complete. Interim heads do not reach HTTP/2: the library has no call.
    pub(super) async fn send_head(&mut self, head: Box<ResponseHeader>, end: bool) -> Result<(), Gone> {
        let is_interim = head.status.is_informational();
        if *self.shutdown.borrow() {
            self.forbid_reuse();
        }
        match &mut self.session {
            ServerSession::H2(session) => {
                session.write_response_header(head, end).map_err(|_| Gone)?;
                if !end && !is_interim {
                    self.frames = session.take_response_body_writer().map(Frames::new);
                }
                Ok(())
            }
            session => {
                session.write_response_header(head).await.map_err(|_| Gone)?;
                if end { self.send_body(Bytes::new(), true).await } else { Ok(()) }
            }
        }
    }

    /// Sends a piece of the body; with `end` it is the last. Never waits: see [`is_full`](Self::is_full).
    pub(super) async fn send_body(&mut self, bytes: Bytes, end: bool) -> Result<(), Gone> {
        match &mut self.frames {
            Some(frames) => frames.push(bytes, end).map_err(|Broken| Gone),
            None if self.raw => self.send_raw(&bytes),
            None => self.session.write_response_body(bytes, end).await.map_err(|_| Gone),
        }
    }

    /// HTTP/1: puts these very bytes on the connection.
    pub(super) fn send_raw(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        self.control.put(bytes).map_err(|_| Gone)
    }

    /// HTTP/1, once the head is out: the body will not be as long as the head says. The connection ends with it.
    pub(super) fn break_promise(&mut self) {
        self.raw = !self.is_h2();
    }

    /// HTTP/2: tells the client that this connection takes no further requests; those under way go on.
    pub(super) fn say_goodbye(&mut self) {
        self.goodbye.send_replace(true);
    }

    /// Ends the response with trailers; HTTP/1 loses them (pingora has no writer).
    pub(super) async fn send_trailers(&mut self, trailers: HeaderMap) -> Result<(), Gone> {
        match &mut self.frames {
            Some(frames) => frames.trailers(trailers).map_err(|Broken| Gone),
            None => self.send_body(Bytes::new(), true).await,
        }
    }

    /// Sends what waits, as far as that goes without waiting.
    pub(super) fn nudge(&mut self) -> Result<(), Gone> {
        if self.is_h2() { Ok(()) } else { self.control.nudge().map_err(|_| Gone) }
    }

    /// Waits until everything said has left, at most this long.
    pub(super) async fn drain(&mut self, limit: Duration) -> Result<(), Gone> {
        let deadline = clock::now() + limit;
        self.nudge()?;
        while self.is_holding() {
            tokio::select! {
                moved = self.ears(Want::Presence).1.moved() => moved.map_err(|Broken| Gone)?,
                () = clock::sleep_until(deadline) => return Err(Gone),
            }
        }
        Ok(())
    }

    /// Both directions apart, so that one can be waited for beside the other.
    pub(super) fn ears(&mut self, want: Want) -> (Inlet<'_>, Outlet<'_>) {
        let is_h2 = self.session.is_http2();
        let outlet = match &mut self.frames {
            Some(frames) => Outlet::Frames(frames),
            None if is_h2 => Outlet::None,
            None => Outlet::Wire(&self.control),
        };
        let inlet = match want {
            Want::Body if !self.early.is_empty() => Inlet::Early(&mut self.early),
            Want::Body => Inlet::Body(&mut self.session, &mut self.has_spoken, self.control.bounds()),
            Want::Presence if !is_h2 => Inlet::Wire(&self.control, self.half_open),
            // Once the head is out, it is the outlet that hears of a reset.
            Want::Presence if matches!(outlet, Outlet::Frames(_)) => Inlet::None,
            Want::Presence => Inlet::Stream(&mut self.session),
        };
        (inlet, outlet)
    }

    /// Resolves when the client has left; nothing of what it sent is read.
    pub(super) async fn gone(&mut self) {
        loop {
            let (inlet, outlet) = self.ears(Want::Presence);
            tokio::select! {
                _ = inlet.heard() => return,
                moved = outlet.moved() => if moved.is_err() { return },
            }
        }
    }

    /// Ends the exchange without (the rest of) an answer. What was sent before still arrives, unless the client does
    /// not take it within `limit`.
    pub(super) async fn close(&mut self, how: CloseHow, limit: Duration) {
        let _ = self.drain(limit).await;
        if self.is_h2() {
            return self.close_stream(how).await;
        }
        self.forbid_reuse();
        match how {
            CloseHow::Reset | CloseHow::ConnectionReset => self.control.reset().await,
            CloseHow::HalfClose => self.control.half_close(),
            CloseHow::Close | CloseHow::ConnectionClose | CloseHow::StreamReset(_) => self.control.close().await,
        }
    }

    async fn close_stream(&mut self, how: CloseHow) {
        if let (CloseHow::HalfClose, Some(frames)) = (how, &mut self.frames) {
            let _ = frames.push(Bytes::new(), true);
            return;
        }
        tokio::task::yield_now().await; // to the connection's own task, which sends the frames
        clock::sleep(H2_SETTLE).await;
        match how {
            CloseHow::Close => self.reset_stream(h2::Reason::CANCEL),
            CloseHow::Reset => self.reset_stream(h2::Reason::INTERNAL_ERROR),
            CloseHow::HalfClose => self.reset_stream(h2::Reason::NO_ERROR),
            CloseHow::StreamReset(code) => self.reset_stream(h2::Reason::from(code)),
            CloseHow::ConnectionClose => self.control.sever(),
            CloseHow::ConnectionReset => {
                self.control.reset().await;
                self.control.sever();
            }
        }
    }

    /// HTTP/1, after half a close: resolves when the client has left; what it still says is dropped.
    pub(super) async fn fall_silent(&mut self) {
        if !self.is_h2() {
            self.control.swallow().await;
        }
    }

    fn reset_stream(&mut self, reason: h2::Reason) {
        match &mut self.frames {
            Some(frames) => frames.reset(reason),
            None => self.session.shutdown_with_reason(reason),
        }
    }

    /// Ends the request when its response is complete; gives the connection for the next one, if it may have one.
    ///
    /// An unread rest of the request body is read and dropped for a while, for the sake of the connection.
    pub(super) async fn finish(mut self, patience: Duration) -> Option<ReusedHttpStream> {
        if self.is_h2() {
            let _ = self.session.finish().await;
            return None;
        }
        let may_serve = self.session.get_keepalive().is_some() && !*self.shutdown.borrow();
        let reusable = may_serve && self.swallow_body(patience).await;
        if !reusable {
            self.control.close().await;
            return None;
        }
        let settings = HttpPersistentSettings::for_session(&self.session);
        let reusable = self.session.finish().await.ok()??;
        Some(ReusedHttpStream::from_reusable_stream(reusable, settings))
    }

    async fn swallow_body(&mut self, patience: Duration) -> bool {
        if self.session.is_body_done() {
            return !self.control.bounds().is_misread();
        }
        let rest = async {
            loop {
                match self.session.read_request_body().await {
                    Ok(_) if self.control.bounds().is_misread() => return false,
                    Ok(Some(_)) => {}
                    Ok(None) => return true,
                    Err(_) => return false,
                }
            }
        };
        tokio::select! {
            swallowed = rest => swallowed,
            () = clock::sleep(patience) => false,
        }
    }

    /// The response to this request has no body, whatever its head says.
    pub(super) fn asked_for_head(&self) -> bool {
        self.request().method == Method::HEAD
    }
}

/// Where the client is heard.
pub(super) enum Inlet<'a> {
    Early(&'a mut VecDeque<Said>),
    Body(&'a mut ServerSession, &'a mut bool, &'a Bounds),
    Wire(&'a Control, bool),
    Stream(&'a mut ServerSession),
    None,
}

impl Inlet<'_> {
    /// The next thing that the client does. Can be cancelled: nothing read is lost.
    pub(super) async fn heard(self) -> Said {
        match self {
            Self::Early(early) => early.pop_front().unwrap_or(Said::Left),
            Self::Body(session, has_spoken, bounds) => match session.read_request_body().await {
                // What the library forgives the upstream might read in another way.
                Ok(_) if bounds.is_misread() => Said::Nonsense,
                Ok(Some(bytes)) => {
                    *has_spoken = true;
                    Said::Piece(bytes)
                }
                Ok(None) => Said::End,
                Err(error) => match error.etype() {
                    ErrorType::ConnectionClosed | ErrorType::ReadError | ErrorType::H2Error => Said::Left,
                    _ => Said::Nonsense,
                },
            },
            Self::Wire(control, half_open) => {
                control.gone(half_open).await;
                Said::Left
            }
            Self::Stream(session) => {
                if let Some(idle) = session.watch_h2_stream_close() {
                    let _ = idle.await;
                }
                Said::Left
            }
            Self::None => std::future::pending().await,
        }
    }
}
