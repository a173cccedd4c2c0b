//! The way up: from the client to the upstream.

use bytes::Bytes;

use super::flow::Flow;
use super::{Exchange, Exchanged, Said, Step};
use crate::clock;
use crate::config::Forwarded;
use crate::faults::{CloseHow, Side};
use crate::proxy::frames::Broken;
use crate::proxy::visit::{End, Visit};
use crate::proxy::{forwarded, headers};
use crate::telemetry::events::Trouble;

/// The request's body on its way up; what has been read of it ahead is the beginning.
pub(super) fn flow(visit: &Visit, request_done: bool) -> Flow {
    let Some(upload) = &visit.upload else { return Flow::default() };
    match &upload.begun {
        Some(begun) if begun.is_whole && begun.bytes.is_empty() => Flow::default(),
        Some(begun) => Flow::after(upload.body.clone(), begun.bytes.clone(), begun.is_whole),
        None if request_done => Flow::default(),
        None => {
            let mut flow = Flow::new(upload.body.clone());
            flow.start(true);
            flow
        }
    }
}

impl Exchange<'_> {
    /// Sends the request's head; without a body that is all of the request.
    pub(super) async fn send_request_head(&mut self) -> Step {
        let bodiless = self.request_done && !self.up.is_waiting();
        let target = {
            let upstream = self.gateway.pool().upstream();
            self.link.is_h2().then(|| upstream.h2_target(self.client.is_secure()))
        };
        let head = match self.visit.upload.take() {
            Some(upload) => {
                let head = upload.shape(self.visit).head(self.client.request(), target, !bodiless);
                self.visit.upload = Some(upload); // another attempt may need it
                head
            }
            None => headers::upstream_request(self.client.request(), target, !bodiless),
        };
        let Some(mut head) = head else { return Step::Done(Exchanged::Failed(Trouble::BadRequest)) };
        if self.gateway.forwarded() != Forwarded::Off {
            forwarded::tell(&mut head, self.gateway.forwarded(), &self.client.asker());
        }
        match self.link.send_head(Box::new(head), bodiless).await {
            Ok(()) => Step::GoOn,
            Err(error) => self.on_upstream_error(&error).await,
        }
    }

    pub(super) async fn on_client(&mut self, said: Said) -> Step {
        self.heard = clock::now();
        match said {
            Said::Left if self.upgraded => Step::Done(self.end_tunnel().await),
            Said::Left => Step::ended(self.visit.departs()),
            Said::Nonsense if self.head_sent => Step::ended(self.visit.departs()),
            Said::Nonsense => Step::Done(Exchanged::Failed(Trouble::BadRequest)),
            Said::Piece(bytes) => {
                self.body_taken = true;
                if self.talk.is_some() { self.hear_talk(Side::Request, &bytes) } else { self.say_up(bytes).await }
            }
            Said::End => {
                self.request_done = true;
                if self.upgraded {
                    return Step::Done(self.end_tunnel().await);
                }
                if self.forwarding && !self.up.is_idle() {
                    self.up.take(Bytes::new(), true);
                } else if self.forwarding {
                    self.forwarding = self.link.end_body().await.is_ok();
                }
                Step::GoOn
            }
        }
    }

    /// Bytes on their way up: straight on, or into their flow.
    pub(super) async fn say_up(&mut self, bytes: Bytes) -> Step {
        if !self.forwarding {
            return Step::GoOn;
        }
        if !self.up.is_idle() {
            self.up.forget(|hit| self.visit.plan.is_released(hit));
        }
        if self.up.is_idle() {
            // An upstream that stops reading may still answer: only listening to it tells.
            self.forwarding = self.link.send_body(bytes).await.is_ok();
        } else {
            self.up.take(bytes, false);
        }
        Step::GoOn
    }

    /// The next piece of a shaped request body is due.
    pub(super) async fn on_upload_due(&mut self) -> Step {
        let piece = self.up.next();
        for source in self.up.take_acted() {
            self.visit.acts(source);
        }
        self.heard = clock::now();
        let sent = match (self.forwarding, piece.is_last) {
            (false, _) => Ok(()),
            (true, true) => self.link.send_last(piece.bytes).await,
            (true, false) => self.link.send_body(piece.bytes).await,
        };
        self.forwarding &= sent.is_ok();
        if !self.forwarding {
            self.up = Flow::default(); // an upstream that stops reading may still answer
        }
        Step::GoOn
    }

    pub(super) fn on_upstream_moved(&mut self, moved: Result<(), Broken>) -> Step {
        self.heard = clock::now();
        if moved.is_err() {
            // What it has answered may still be on its way.
            self.forwarding = false;
            self.up = Flow::default();
        }
        Step::GoOn
    }

    /// One side of a tunnel has ended: what was said last still gets through, then the other side ends too.
    pub(super) async fn end_tunnel(&mut self) -> Exchanged {
        let patience = self.gateway.patience();
        self.flush_talk().await;
        if self.forwarding {
            self.link.drain(patience).await;
        }
        self.client.close(CloseHow::Close, patience).await;
        Exchanged::Ended(End::Closed)
    }
}
