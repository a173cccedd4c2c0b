//! The way up: from the client to the upstream.

use super::{Exchange, Exchanged, Said, Step};
use crate::clock;
use crate::faults::CloseHow;
use crate::proxy::frames::Broken;
use crate::proxy::headers;
use crate::proxy::visit::End;
use crate::telemetry::events::Trouble;

impl Exchange<'_> {
    /// Sends the request's head; without a body that is all of the request.
    pub(super) async fn send_request_head(&mut self) -> Step {
        let upstream = self.gateway.pool().upstream();
        let target = self.link.is_h2().then(|| upstream.h2_target(self.client.is_secure()));
        let Some(head) = headers::upstream_request(self.client.request(), target, !self.request_done) else {
            return Step::Done(Exchanged::Failed(Trouble::BadRequest));
        };
        match self.link.send_head(Box::new(head), self.request_done).await {
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
                if self.forwarding {
                    // An upstream that stops reading may still answer: only listening to it tells.
                    self.forwarding = self.link.send_body(bytes).await.is_ok();
                }
                Step::GoOn
            }
            Said::End => {
                self.request_done = true;
                if self.upgraded {
                    return Step::Done(self.end_tunnel().await);
                }
                if self.forwarding {
                    self.forwarding = self.link.end_body().await.is_ok();
                }
                Step::GoOn
            }
        }
    }

    pub(super) fn on_upstream_moved(&mut self, moved: Result<(), Broken>) -> Step {
        self.heard = clock::now();
        if moved.is_err() {
            // What it has answered may still be on its way.
            self.forwarding = false;
        }
        Step::GoOn
    }

    /// One side of a tunnel has ended: what was said last still gets through, then the other side ends too.
    pub(super) async fn end_tunnel(&mut self) -> Exchanged {
        let patience = self.gateway.patience();
        if self.forwarding {
            self.link.drain(patience).await;
        }
        self.client.close(CloseHow::Close, patience).await;
        Exchanged::Ended(End::Closed)
    }
}
