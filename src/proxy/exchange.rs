//! The duplex loop: a request goes up, a response comes down, and body faults are lines in between.
//!
//! One biased `select!` an event. Reads and waits are its branches, because they can be cancelled; writes are
//! awaited in the branch bodies, because pingora's cannot.

use bytes::Bytes;
use http::{StatusCode, Version};
use pingora::http::ResponseHeader;
use pingora::protocols::http::client::HttpSession;
use pingora::protocols::http::{HttpTask, ServerSession};
use pingora::{Error as PingoraError, ErrorType, RetryType};

use super::drip::Drip;
use super::enforce::{self, Next, client_gone};
use super::gateway::Connection;
use super::headers::{self, Audience};
use super::upstream::{Taken, exchange_trouble};
use super::visit::{End, Visit};
use super::{answer, receive, view};
use crate::clock::{self, Instant};
use crate::faults::CloseHow;
use crate::telemetry::events::{ExchangeOutcome, Trouble};

/// What came of an attempt on one upstream connection.
pub(super) enum Exchanged {
    /// The reused connection was closed under us and the upstream has not seen the request: try a fresh one.
    Stale,
    /// Nothing has been sent to the client yet.
    Failed(Trouble),
    /// The exchange is over.
    Ended(End),
}

/// What a step of the loop leads to.
enum Step {
    GoOn,
    Done(Exchanged),
}

/// One event of the loop.
enum Event {
    Upstream(pingora::Result<HttpTask>),
    Due,
    Released,
    Client(ClientEvent),
    Flushed,
    Silence,
}

/// What the client does while it is served.
enum ClientEvent {
    Piece(Bytes),
    BodyEnd,
    Gone,
}

/// One attempt.
struct Exchange<'a> {
    connection: &'a Connection,
    session: &'a mut ServerSession,
    visit: &'a mut Visit,
    up: &'a mut HttpSession,
    reused: bool,
    audience: Audience,
    drip: Drip,
    /// When the piece that waits in the drip is due; `None`: at once.
    due: Option<Instant>,
    /// All of the client's body has been read.
    request_done: bool,
    /// The upstream still takes the client's body.
    forwarding: bool,
    /// Something of the client's body has gone upstream: it must not be sent again.
    body_sent: bool,
    head_sent: bool,
    response_done: bool,
    /// The last time anybody said anything.
    heard: Instant,
    sent_at: Instant,
}

/// Sends the request up and the response down.
pub(super) async fn run(
    connection: &Connection,
    session: &mut ServerSession,
    visit: &mut Visit,
    mut taken: Taken,
) -> Exchanged {
    let now = clock::now();
    let audience = Audience::of(session.req_header());
    let request_done = session.is_body_done();
    let mut exchange = Exchange {
        connection,
        session,
        visit,
        up: &mut taken.session,
        reused: taken.reused,
        audience,
        drip: Drip::default(),
        due: None,
        request_done,
        forwarding: !request_done,
        body_sent: false,
        head_sent: false,
        response_done: false,
        heard: now,
        sent_at: now,
    };
    let exchanged = exchange.run().await;
    let clean = exchange.response_done && exchange.request_done && matches!(exchanged, Exchanged::Ended(End::Complete));
    if clean {
        connection.gateway().pool().put_back(taken).await;
    } else {
        taken.session.shutdown().await;
    }
    exchanged
}

impl Exchange<'_> {
    async fn run(&mut self) -> Exchanged {
        if let Step::Done(exchanged) = self.send_head().await {
            return exchanged;
        }
        loop {
            if self.is_over() {
                return Exchanged::Ended(End::Complete);
            }
            let step = match self.next_event().await {
                Event::Upstream(Ok(task)) => self.on_task(task).await,
                Event::Upstream(Err(error)) => self.on_upstream_error(&error).await,
                Event::Due => self.on_due().await,
                Event::Released => self.on_release(),
                Event::Client(event) => self.on_client(event).await,
                Event::Flushed => Step::GoOn,
                Event::Silence => self.on_silence().await,
            };
            if let Step::Done(exchanged) = step {
                return exchanged;
            }
        }
    }

    /// The response is out and the upstream has all it will get of the request.
    fn is_over(&self) -> bool {
        self.response_done && !self.drip.is_waiting() && (self.request_done || !self.forwarding)
    }

    /// Sends the request's head; without a body that is all of the request.
    async fn send_head(&mut self) -> Step {
        let head = self.session.req_header();
        let to_h2 = self.connection.gateway().pool().upstream().is_h2();
        let Some(head) = headers::upstream_request(head, to_h2, !self.request_done) else {
            return Step::Done(Exchanged::Failed(Trouble::BadRequest));
        };
        let end = self.request_done;
        let sent = match &mut *self.up {
            HttpSession::H2(up) => up.write_request_header(Box::new(head), end),
            up => up.write_request_header(Box::new(head)).await,
        };
        match sent {
            Ok(()) => Step::GoOn,
            Err(error) => self.on_upstream_error(&error).await,
        }
    }

    async fn next_event(&mut self) -> Event {
        let waiting = self.drip.is_waiting();
        let throttle = self.drip.rate().filter(|_| waiting).map(|source| self.visit.plan.released(source.hit));
        let (due, deadline) = (self.due, self.heard + self.connection.gateway().pool().upstream().read_timeout());
        let control = self.connection.control();
        // HTTP/2 frames are flushed by their connection's own task, which must stay the only one to wait for it.
        let holding = !self.session.is_http2() && control.is_holding();
        tokio::select! {
            biased;
            task = receive::task(self.up), if !self.response_done && !waiting => Event::Upstream(task),
            () = pause_until(due), if waiting => Event::Due,
            () = async { if let Some(released) = throttle { released.await } }, if waiting && self.drip.rate().is_some() => Event::Released,
            event = client_event(self.connection, self.session, self.request_done) => Event::Client(event),
            // Polled last, so only when nothing else goes on: what a slow upstream has sent so far leaves now.
            _ = control.flush(), if holding => Event::Flushed,
            () = clock::sleep_until(deadline), if self.is_timed() => Event::Silence,
        }
    }

    /// Whether silence is somebody's fault: not while a fault holds the body back, nor on an upgraded connection.
    fn is_timed(&self) -> bool {
        !self.drip.is_waiting() && !self.session.was_upgraded()
    }

    async fn on_task(&mut self, task: HttpTask) -> Step {
        self.heard = clock::now();
        match task {
            HttpTask::Header(head, end) => self.on_head(head, end).await,
            HttpTask::Body(bytes, end) | HttpTask::UpgradedBody(bytes, end) => {
                self.response_done |= end;
                self.on_bytes(bytes.unwrap_or_default(), end).await
            }
            HttpTask::Trailer(trailers) => {
                self.response_done = true;
                let written = match trailers {
                    Some(trailers) => self.session.write_response_trailers(*trailers).await,
                    None => self.session.write_response_body(Bytes::new(), true).await,
                };
                self.written(written)
            }
            HttpTask::Done => {
                self.response_done = true;
                self.on_bytes(Bytes::new(), true).await
            }
            HttpTask::Failed(error) => self.on_upstream_error(&error).await,
        }
    }

    async fn on_head(&mut self, mut head: Box<ResponseHeader>, end: bool) -> Step {
        if head.status.is_informational() && head.status != StatusCode::SWITCHING_PROTOCOLS {
            let written = self.session.write_response_header(head).await;
            return self.written(written);
        }
        self.response_done = end;
        self.visit.upstream = Some(clock::now() - self.sent_at);
        // Faults of the response side: the upstream has done its work, its connection is held.
        if !self.visit.plan.is_empty() {
            let course = self.visit.plan.response_course(&view::response(&head));
            let next =
                enforce::suffer(self.connection, self.session, self.visit, &course.delays, &course.terminals).await;
            if let Next::Ended(ended) = next {
                return Step::Done(Exchanged::Ended(ended));
            }
            self.drip = Drip::new(course.rates, course.cuts);
            self.drip.forget(|hit| self.visit.plan.is_released(hit));
            for source in self.drip.sources().collect::<Vec<_>>() {
                self.visit.note(source);
            }
            if self.connection.gateway().marks() {
                self.visit.mark(&mut head);
            }
            // Hits that have nothing left to do are over now, however long the body takes.
            let busy: Vec<usize> = self.drip.hits().collect();
            self.visit.plan.settle(|hit| busy.contains(&hit));
        }
        self.send_response_head(head, end).await
    }

    async fn send_response_head(&mut self, mut head: Box<ResponseHeader>, end: bool) -> Step {
        headers::downstream_response(&mut head, self.audience);
        if self.audience.version == Version::HTTP_10 && !head.headers.contains_key(http::header::CONTENT_LENGTH) {
            self.session.set_keepalive(None);
        }
        self.visit.status = Some(head.status.as_u16());
        let upgraded = head.status == StatusCode::SWITCHING_PROTOCOLS;
        // A shaped body must not wait in the write buffer for its end; nor must a tunnel's bytes.
        let through = !self.drip.is_idle() || upgraded;
        self.connection.control().set_through(through);
        let sent = match &mut *self.session {
            ServerSession::H2(session) => session.write_response_header(head, end),
            session => session.write_response_header(head).await,
        };
        self.head_sent = true;
        if let Step::Done(exchanged) = self.written(sent) {
            return Step::Done(exchanged);
        }
        if upgraded {
            // From here both sides are plain bytes until one of them closes.
            if let HttpSession::H1(up) = &mut *self.up {
                up.maybe_upgrade_body_writer();
            }
            self.request_done = false;
            self.forwarding = true;
        }
        let now = clock::now();
        self.heard = now;
        self.drip.start(now, !end);
        if self.drip.is_waiting() {
            return Step::GoOn; // a cut right after the head
        }
        if end {
            let finished = self.session.write_response_body(Bytes::new(), true).await;
            return self.written(finished);
        }
        Step::GoOn
    }

    /// Bytes of the response body: straight on, or into the drip.
    async fn on_bytes(&mut self, bytes: Bytes, end: bool) -> Step {
        if self.drip.is_idle() {
            let written = self.session.write_response_body(bytes, end).await;
            return self.written(written);
        }
        self.drip.take(bytes, end);
        self.due = self.drip.due(clock::now());
        Step::GoOn
    }

    /// The next piece of a shaped body is due.
    async fn on_due(&mut self) -> Step {
        if let Some(source) = self.drip.rate() {
            self.visit.plan.acted(source);
        }
        let piece = self.drip.next(self.due);
        let written = self.session.write_response_body(piece.bytes, piece.is_last).await;
        if let Step::Done(exchanged) = self.written(written) {
            return Step::Done(exchanged);
        }
        if let Some((source, how)) = piece.cut {
            self.visit.plan.acted(source);
            self.visit.outcome = ExchangeOutcome::Injected;
            let end = answer::close(self.session, self.connection.control(), how).await;
            return Step::Done(Exchanged::Ended(end));
        }
        let now = clock::now();
        self.heard = now;
        self.due = if self.drip.is_waiting() { self.drip.due(now) } else { None };
        Step::GoOn
    }

    /// A rule that shapes this body is gone: its throttle opens at once.
    fn on_release(&mut self) -> Step {
        let plan = &self.visit.plan;
        self.drip.forget(|hit| plan.is_released(hit));
        let busy: Vec<usize> = self.drip.hits().collect();
        self.visit.plan.settle(|hit| busy.contains(&hit));
        self.due = self.drip.due(clock::now());
        Step::GoOn
    }

    async fn on_client(&mut self, event: ClientEvent) -> Step {
        self.heard = clock::now();
        match event {
            ClientEvent::Gone if self.session.was_upgraded() => Step::Done(Exchanged::Ended(End::Closed)),
            ClientEvent::Gone => Step::Done(Exchanged::Ended(self.visit.departs())),
            ClientEvent::Piece(bytes) => {
                if self.forwarding {
                    self.body_sent = true;
                    // An upstream that stops reading may still answer: only reading from it tells.
                    self.forwarding = self.up.write_request_body(bytes, false).await.is_ok();
                }
                Step::GoOn
            }
            ClientEvent::BodyEnd => {
                self.request_done = true;
                if self.session.was_upgraded() {
                    return Step::Done(Exchanged::Ended(End::Closed));
                }
                if self.forwarding {
                    self.forwarding = self.up.finish_request_body().await.is_ok();
                }
                Step::GoOn
            }
        }
    }

    /// Nobody said anything for too long.
    async fn on_silence(&mut self) -> Step {
        if self.response_done {
            // Only the client's upload is missing: it has its answer.
            return Step::Done(Exchanged::Ended(End::Closed));
        }
        self.fail(Trouble::UpstreamTimeout).await
    }

    async fn on_upstream_error(&mut self, error: &PingoraError) -> Step {
        if self.session.was_upgraded() {
            return Step::Done(Exchanged::Ended(End::Closed));
        }
        if !self.head_sent && !self.body_sent && self.may_try_again(error) {
            return Step::Done(Exchanged::Stale);
        }
        self.fail(exchange_trouble(error)).await
    }

    /// Sending the request again is safe: the upstream said that it did not process it, or the connection had been
    /// idle and the method may be repeated (RFC 9110 section 9.2.2).
    fn may_try_again(&self, error: &PingoraError) -> bool {
        if matches!(error.retry, RetryType::Decided(true)) {
            return true;
        }
        let lost = matches!(error.etype(), ErrorType::ConnectionClosed | ErrorType::ReadError | ErrorType::WriteError);
        self.reused && lost && self.session.req_header().method.is_idempotent()
    }

    /// The upstream failed: an answer that says so, or the end of the one that has begun.
    async fn fail(&mut self, trouble: Trouble) -> Step {
        if !self.head_sent {
            return Step::Done(Exchanged::Failed(trouble));
        }
        self.visit.outcome = ExchangeOutcome::UpstreamError;
        self.visit.trouble = Some(trouble);
        let end = answer::close(self.session, self.connection.control(), CloseHow::Close).await;
        Step::Done(Exchanged::Ended(end))
    }

    /// A write to the client that fails means that the client is gone.
    fn written(&mut self, written: pingora::Result<()>) -> Step {
        match written {
            Ok(()) => Step::GoOn,
            Err(_) => Step::Done(Exchanged::Ended(self.visit.departs())),
        }
    }
}

async fn pause_until(due: Option<Instant>) {
    if let Some(due) = due {
        clock::sleep_until(due).await;
    }
}

/// The next thing that the client does: sends a piece of its body, ends it, or leaves.
async fn client_event(connection: &Connection, session: &mut ServerSession, request_done: bool) -> ClientEvent {
    if request_done {
        client_gone(connection, session).await;
        return ClientEvent::Gone;
    }
    match session.read_request_body().await {
        Ok(Some(bytes)) => ClientEvent::Piece(bytes),
        Ok(None) => ClientEvent::BodyEnd,
        Err(_) => ClientEvent::Gone,
    }
}
