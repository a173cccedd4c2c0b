//! The way down: from the upstream to the client, through the faults of the response side.

use bytes::Bytes;
use http::{StatusCode, Version};
use pingora::http::ResponseHeader;
use pingora::protocols::http::HttpTask;

use super::{Exchange, Exchanged, Step};
use crate::clock;
use crate::proxy::client::Gone;
use crate::proxy::drip::Drip;
use crate::proxy::enforce::{self, Next};
use crate::proxy::frames::Broken;
use crate::proxy::{headers, view};
use crate::telemetry::events::{ExchangeOutcome, Trouble};

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
                let told = self.client.send_trailers(*trailers).await;
                self.told(told)
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
        if !self.visit.plan.is_empty()
            && let Next::Ended(ended) = Box::pin(self.suffer(&mut head)).await
        {
            return Step::ended(ended);
        }
        self.send_response_head(head, end).await
    }

    /// The waits and ends that the plan has for this response, and the shape of its body.
    async fn suffer(&mut self, head: &mut ResponseHeader) -> Next {
        let course = self.visit.plan.response_course(&view::response(head));
        let next = enforce::suffer(self.gateway, self.client, self.visit, &course.delays, &course.terminals).await;
        if let Next::Ended(end) = next {
            return Next::Ended(end);
        }
        self.drip = Drip::new(course.rates, course.cuts);
        self.forget_released();
        for source in self.drip.sources().collect::<Vec<_>>() {
            self.visit.note(source);
        }
        if self.gateway.marks() {
            self.visit.mark(head);
        }
        Next::Proceed
    }

    /// Faults whose rules are released no longer shape the body; hits that have nothing left to do are over now,
    /// however long the body takes.
    fn forget_released(&mut self) {
        let plan = &mut self.visit.plan;
        self.drip.forget(|hit| plan.is_released(hit));
        let drip = &self.drip;
        plan.settle(|hit| drip.hits().any(|busy| busy == hit));
    }

    async fn send_response_head(&mut self, mut head: Box<ResponseHeader>, end: bool) -> Step {
        headers::downstream_response(&mut head, self.audience, end);
        let until_close =
            self.audience.version == Version::HTTP_10 && !head.headers.contains_key(http::header::CONTENT_LENGTH);
        // Whether a client that waits to be told sends its body after all is its choice: no framing to rely on.
        let unasked = !self.request_done && !self.client.is_h2() && self.client.awaits_continue();
        if until_close || unasked {
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
        if self.upgraded {
            self.link.upgrade();
            self.request_done = false;
        }
        self.heard = clock::now();
        self.drip.start(self.heard, !end);
        let shaped = !self.drip.is_idle();
        if end || shaped { self.let_go() } else { Step::GoOn }
    }

    /// Bytes of the response body: straight on, or into the drip.
    async fn on_bytes(&mut self, bytes: Bytes, end: bool) -> Step {
        if !self.drip.is_idle() {
            self.forget_released();
        }
        if self.drip.is_idle() {
            let told = self.client.send_body(bytes, end).await;
            return match self.told(told) {
                Step::GoOn if end => self.let_go(),
                step => step,
            };
        }
        self.drip.take(bytes, end);
        self.due = self.drip.due(clock::now());
        Step::GoOn
    }

    /// The next piece of a shaped body is due.
    pub(super) async fn on_due(&mut self) -> Step {
        if let Some(source) = self.drip.rate() {
            self.visit.plan.acted(source);
        }
        let piece = self.drip.next();
        let told = self.client.send_body(piece.bytes, piece.is_last).await;
        if let Step::Done(exchanged) = self.told(told) {
            return Step::Done(exchanged);
        }
        if let Some((source, how)) = piece.cut {
            self.visit.plan.acted(source);
            self.visit.outcome = ExchangeOutcome::Injected;
            return self.close(how).await;
        }
        let now = clock::now();
        self.heard = now;
        self.due = if self.drip.is_waiting() { self.drip.due(now) } else { None };
        self.let_go()
    }

    /// A rule that shapes this body is gone: its throttle opens at once.
    pub(super) fn on_release(&mut self) -> Step {
        self.forget_released();
        self.due = self.drip.due(clock::now());
        Step::GoOn
    }

    pub(super) fn on_client_moved(&mut self, moved: Result<(), Broken>) -> Step {
        self.heard = clock::now();
        self.told(moved.map_err(|Broken| Gone))
    }

    /// What the client was told leaves now, alone.
    fn let_go(&mut self) -> Step {
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
