//! The way down: from the upstream to the client, through the faults of the response side.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, StatusCode, Version};
use pingora::http::ResponseHeader;
use pingora::protocols::http::HttpTask;

use super::flow::Flow;
use super::talk::Talk;
use super::{Exchange, Exchanged, Step};
use crate::clock;
use crate::faults::body::Rewrite;
use crate::faults::compose::{Asked, ResponseCourse};
use crate::faults::header::Edits;
use crate::faults::{CutEnd, Side};
use crate::proxy::client::Gone;
use crate::proxy::enforce::{self, Next};
use crate::proxy::frames::Broken;
use crate::proxy::{edit, headers, view};
use crate::telemetry::events::{ExchangeOutcome, Trouble};

/// What befalls a response besides waits, ends and the shape of its body.
pub(super) struct Course {
    pub(super) rewrites: Asked<Arc<Rewrite>>,
    edits: Asked<Arc<Edits>>,
    trailers: Asked<Arc<HeaderMap>>,
    /// Trailers that wait for the body before them.
    last: Option<HeaderMap>,
}

impl Course {
    /// Whether this hit may still do something at the end of the response.
    fn is_awaited_by(&self, hit: usize) -> bool {
        self.trailers.iter().any(|(source, _)| source.hit == hit)
    }
}

impl Exchange<'_> {
    pub(super) async fn on_task(&mut self, task: HttpTask) -> Step {
        self.heard = clock::now();
        match task {
            HttpTask::Header(head, end) => self.on_head(head, end).await,
            HttpTask::Body(bytes, end) | HttpTask::UpgradedBody(bytes, end) => {
                self.response_done |= end;
                self.on_bytes(bytes.unwrap_or_default(), end).await
            }
            HttpTask::Trailer(Some(trailers)) => {
                self.response_done = true;
                self.on_trailers(*trailers).await
            }
            HttpTask::Trailer(None) | HttpTask::Done => {
                self.response_done = true;
                self.on_bytes(Bytes::new(), true).await
            }
            HttpTask::Failed(error) => self.on_upstream_error(&error).await,
        }
    }

    async fn on_head(&mut self, mut head: Box<ResponseHeader>, end: bool) -> Step {
        let switching = head.status == StatusCode::SWITCHING_PROTOCOLS;
        if head.status.is_informational() && !switching {
            let told = self.client.send_head(head, false).await;
            return self.told(told);
        }
        let asked = || head.version == Version::HTTP_11 && headers::may_upgrade(self.client.request());
        if switching && !asked() {
            return self.fail(Trouble::UpstreamMalformed).await;
        }
        self.response_done = end;
        self.visit.upstream = Some(clock::now() - self.sent_at);
        // Faults of the response side: the upstream has done its work, its connection is held.
        if !self.visit.plan.is_empty() {
            if let Next::Ended(ended) = Box::pin(self.suffer(&mut head)).await {
                return Step::ended(ended);
            }
            if self.course.as_ref().is_some_and(|course| !course.rewrites.is_empty()) {
                return Box::pin(self.rewrite_from_head(head, end)).await;
            }
        }
        self.send_response_head(head, end).await
    }

    /// The waits and ends that the plan has for this response, and what befalls the rest of it.
    async fn suffer(&mut self, head: &mut ResponseHeader) -> Next {
        let course = self.visit.plan.response_course(&view::response(head));
        let ResponseCourse { delays, terminals, edits, mut body, trailers, messages } = course;
        let next = enforce::suffer(self.gateway, self.client, self.visit, &delays, &terminals).await;
        if let Next::Ended(end) = next {
            return Next::Ended(end);
        }
        if !self.client.is_h2() {
            body.cuts.retain(|(_, (_, end))| !matches!(end, CutEnd::Broken(how) if !how.is_for_http1()));
        }
        let rewrites = std::mem::take(&mut body.rewrites);
        self.down = Flow::new(body);
        // HTTP/1 has no trailers here: the library has no writer for them.
        let trailers = if self.client.is_h2() { trailers } else { Asked::new() };
        if !(edits.is_empty() && trailers.is_empty() && rewrites.is_empty()) {
            self.course = Some(Box::new(Course { rewrites, edits, trailers, last: None }));
        }
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            self.talk = Talk::new(messages, head);
        }
        let talk = self.talk.as_ref().map(|talk| talk.sources().collect::<Vec<_>>()).unwrap_or_default();
        for source in self.down.sources().into_iter().chain(talk) {
            if !self.visit.plan.is_released(source.hit) {
                self.visit.note(source);
            }
        }
        Next::Proceed
    }

    /// Faults whose rules are released no longer act; hits that have nothing left to do are over now, however long the
    /// body takes.
    fn forget_released(&mut self) {
        let plan = &mut self.visit.plan;
        self.down.forget(|hit| plan.is_released(hit));
        let (down, up, course) = (&self.down, &self.up, &self.course);
        let asked = |hit| self.talk.as_ref().is_some_and(|talk| talk.sources().any(|source| source.hit == hit));
        let awaited = |hit| course.as_ref().is_some_and(|course| course.is_awaited_by(hit));
        plan.settle(|hit| down.is_shaped_by(hit) || up.is_shaped_by(hit) || awaited(hit) || asked(hit));
    }

    pub(super) async fn send_response_head(&mut self, mut head: Box<ResponseHeader>, end: bool) -> Step {
        headers::downstream_response(&mut head, self.audience, end);
        let breaks_promise = if self.visit.plan.is_empty() { false } else { self.alter_head(&mut head, end) };
        let until_close = self.audience.version == Version::HTTP_10 && !head.headers.contains_key(CONTENT_LENGTH);
        // Whether a client that waits to be told sends its body after all is its choice: no framing to rely on.
        let unasked = !self.request_done && !self.client.is_h2() && self.client.awaits_continue();
        if until_close || unasked || breaks_promise {
            self.client.forbid_reuse();
        }
        if unasked {
            self.forwarding = false;
        }
        self.upgraded = head.status == StatusCode::SWITCHING_PROTOCOLS;
        self.visit.status = Some(head.status.as_u16());
        self.head_sent = true;
        let told = self.client.send_head(head, end).await;
        if let Step::Done(exchanged) = self.told(told) {
            return Step::Done(exchanged);
        }
        if breaks_promise {
            self.client.break_promise();
        }
        if self.upgraded {
            self.client.control().bounds().stop_following();
            self.link.upgrade();
            self.request_done = false;
        }
        self.heard = clock::now();
        self.down.start(!end);
        let shaped = !self.down.is_idle();
        if end || shaped { self.let_go() } else { Step::GoOn }
    }

    /// What faults change in a head that is about to be sent; whether its length is not that of the body any more, so
    /// that HTTP/1 cannot frame it.
    fn alter_head(&mut self, head: &mut ResponseHeader, end: bool) -> bool {
        let length = head.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        if end {
            self.down = Flow::default();
        } else if let Some(shorter) = self.down.shorter(length) {
            let _ = head.insert_header(CONTENT_LENGTH, shorter);
        }
        let mut breaks_promise = false;
        let course = self.course.as_deref().map(|course| (course.edits.clone(), course.trailers.clone()));
        let (edits, trailers) = course.unwrap_or_default();
        for (source, edits) in
            edits.iter().filter(|(source, _)| !self.visit.plan.is_released(source.hit)).collect::<Vec<_>>()
        {
            self.visit.acts(*source);
            edit::response(head, edits);
            breaks_promise |= edits.touch_length() && !end;
        }
        for (source, fields) in &trailers {
            self.visit.note(*source);
            if end && !self.visit.plan.is_released(source.hit) {
                // Nothing follows that they could stand after: trailers-only.
                self.visit.plan.acted(*source);
                edit::response(head, &Edits { set: (**fields).clone(), ..Edits::default() });
            }
        }
        if breaks_promise && !self.client.is_h2() {
            head.remove_header(&TRANSFER_ENCODING);
        }
        if end && let Some(course) = &mut self.course {
            course.trailers.clear();
        }
        if self.gateway.marks() {
            self.visit.mark(head);
        }
        self.forget_released();
        breaks_promise && !self.client.is_h2()
    }

    /// Bytes of the response body: straight on, into the drip, or held back.
    pub(super) async fn on_bytes(&mut self, bytes: Bytes, end: bool) -> Step {
        if self.held.is_some() {
            return Box::pin(self.hold(bytes, end)).await;
        }
        if self.talk.is_some() {
            return self.hear_talk(Side::Response, &bytes);
        }
        if end && self.course.as_ref().is_some_and(|course| !course.trailers.is_empty()) {
            if let Step::Done(exchanged) = self.pass(bytes, false).await {
                return Step::Done(exchanged);
            }
            return self.end_with(HeaderMap::new()).await;
        }
        self.pass(bytes, end).await
    }

    pub(super) async fn pass(&mut self, bytes: Bytes, end: bool) -> Step {
        if !self.down.is_idle() {
            self.forget_released();
        }
        if self.down.is_idle() {
            let told = self.client.send_body(bytes, end).await;
            return match self.told(told) {
                Step::GoOn if end => self.let_go(),
                step => step,
            };
        }
        self.down.take(bytes, end);
        self.count_acts();
        Step::GoOn
    }

    async fn on_trailers(&mut self, trailers: HeaderMap) -> Step {
        if self.held.is_some()
            && let Step::Done(exchanged) = Box::pin(self.rewrite_held(false)).await
        {
            return Step::Done(exchanged);
        }
        self.end_with(trailers).await
    }

    /// Ends the response with these trailers and those that faults want; after the body, if some of it waits.
    async fn end_with(&mut self, mut trailers: HeaderMap) -> Step {
        if let Some(mut course) = self.course.take() {
            for (source, fields) in &course.trailers {
                if !self.visit.plan.is_released(source.hit) {
                    self.visit.plan.acted(*source);
                    self.visit.outcome = ExchangeOutcome::Injected;
                    for (name, value) in &**fields {
                        trailers.insert(name, value.clone());
                    }
                }
            }
            course.trailers.clear();
            self.course = Some(course);
        }
        if self.down.is_waiting() {
            let none = || Course { rewrites: Asked::new(), edits: Asked::new(), trailers: Asked::new(), last: None };
            self.course.get_or_insert_with(|| Box::new(none())).last = Some(trailers);
            return Step::GoOn;
        }
        let told = if trailers.is_empty() {
            self.client.send_body(Bytes::new(), true).await
        } else {
            self.client.send_trailers(trailers).await
        };
        self.told(told)
    }

    /// The next piece of a shaped body is due.
    pub(super) async fn on_due(&mut self) -> Step {
        let piece = self.down.next();
        self.count_acts();
        let complete = matches!(piece.cut, Some((_, CutEnd::Complete)));
        let told = self.client.send_body(piece.bytes, piece.is_last || complete).await;
        if let Step::Done(exchanged) = self.told(told) {
            return Step::Done(exchanged);
        }
        match piece.cut {
            Some((source, CutEnd::Broken(how))) => return self.cut(source, how).await,
            Some((_, CutEnd::Complete)) => {
                self.visit.outcome = ExchangeOutcome::Injected;
                self.abandon();
            }
            None => {}
        }
        self.heard = clock::now();
        if !self.down.is_waiting()
            && let Some(trailers) = self.course.as_mut().and_then(|course| course.last.take())
        {
            let told = self.client.send_trailers(trailers).await;
            return self.told(told);
        }
        self.let_go()
    }

    /// What the upstream has yet to say of its response is of no interest any more.
    fn abandon(&mut self) {
        self.abandon_keeping_shape();
        self.down = Flow::default();
    }

    /// The time of a response is over, whatever has been sent of it.
    pub(super) async fn on_deadline(&mut self) -> Step {
        self.forget_released();
        match self.down.deadline() {
            Some((at, source, CutEnd::Broken(how))) if at <= clock::now() => self.cut(source, how).await,
            _ => Step::GoOn,
        }
    }

    /// A rule that holds something back is gone: it opens at once.
    pub(super) async fn on_release(&mut self) -> Step {
        self.forget_released();
        self.up.forget(|hit| self.visit.plan.is_released(hit));
        self.release_talk();
        match &self.held {
            Some(held) if self.visit.plan.is_released(held.holder()) => Box::pin(self.let_held_go()).await,
            _ => Step::GoOn,
        }
    }

    fn count_acts(&mut self) {
        for source in self.down.take_acted() {
            self.visit.plan.acted(source);
        }
    }

    pub(super) fn on_client_moved(&mut self, moved: Result<(), Broken>) -> Step {
        self.heard = clock::now();
        self.told(moved.map_err(|Broken| Gone))
    }

    /// What the client was told leaves now, alone.
    pub(super) fn let_go(&mut self) -> Step {
        let told = self.client.nudge();
        self.told(told)
    }

    /// What cannot be said to the client means that it is gone.
    fn told(&mut self, told: Result<(), Gone>) -> Step {
        match told {
            Ok(()) => Step::GoOn,
            Err(Gone) => Step::Done(Exchanged::Ended(self.visit.departs())),
        }
    }
}
