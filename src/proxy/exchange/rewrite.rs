//! Responses whose body becomes another: held back until all of it is known, where that must be.

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use pingora::http::ResponseHeader;

use super::{Exchange, Step};
use crate::faults::body::Rewrite;
use crate::telemetry::events::ExchangeOutcome;

/// A response of which nothing has been sent.
pub(super) struct Held {
    head: Box<ResponseHeader>,
    body: BytesMut,
    /// With more than this it goes on as it is.
    limit: u64,
    /// The hit that holds it back.
    hit: usize,
}

impl Held {
    pub(super) fn holder(&self) -> usize {
        self.hit
    }
}

impl Exchange<'_> {
    /// Rewrites a response whose head has come: at once if what the upstream's body says does not matter, else when all
    /// of it has come. One that has no body, or is not fit, passes.
    pub(super) async fn rewrite_from_head(&mut self, head: Box<ResponseHeader>, end: bool) -> Step {
        self.forget_released_rewrites();
        let bodiless = self.audience.is_head
            || head.status.is_informational()
            || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let rewrites = self.course.as_ref().map(|course| &course.rewrites[..]).unwrap_or_default();
        let fit = || rewrites.iter().filter(|(_, rewrite)| rewrite.fits(&head.headers));
        let replaces = rewrites.iter().any(|(_, rewrite)| rewrite.holds_back().is_none());
        let limit = fit().filter_map(|(_, rewrite)| rewrite.holds_back()).max();
        let hit = fit().map(|(source, _)| source.hit).next();
        match (limit, hit) {
            _ if bodiless => self.send_response_head(head, end).await,
            _ if replaces => {
                self.abandon_keeping_shape();
                self.rewrite(head, Bytes::new(), true).await
            }
            (Some(limit), Some(hit)) if !end => {
                self.held = Some(Box::new(Held { head, body: BytesMut::new(), limit, hit }));
                Step::GoOn
            }
            _ => self.send_response_head(head, end).await,
        }
    }

    /// More of a body that is held back.
    pub(super) async fn hold(&mut self, bytes: Bytes, end: bool) -> Step {
        let Some(held) = &mut self.held else { return Step::GoOn };
        held.body.extend_from_slice(&bytes);
        if held.body.len() as u64 > held.limit {
            return self.pass_held(end).await;
        }
        if end { self.rewrite_held(true).await } else { Step::GoOn }
    }

    /// All of the body has come; with `end` no trailers follow.
    pub(super) async fn rewrite_held(&mut self, end: bool) -> Step {
        let Some(held) = self.held.take() else { return Step::GoOn };
        self.forget_released_rewrites();
        self.rewrite(held.head, held.body.freeze(), end).await
    }

    /// Nobody wants it held back any more.
    pub(super) async fn let_held_go(&mut self) -> Step {
        self.pass_held(false).await
    }

    async fn pass_held(&mut self, end: bool) -> Step {
        let Some(held) = self.held.take() else { return Step::GoOn };
        let Held { head, body, .. } = *held;
        match self.send_response_head(head, false).await {
            Step::GoOn => self.on_bytes(body.freeze(), end).await,
            done => done,
        }
    }

    async fn rewrite(&mut self, mut head: Box<ResponseHeader>, mut body: Bytes, end: bool) -> Step {
        let rewrites = self.course.as_mut().map(|course| std::mem::take(&mut course.rewrites)).unwrap_or_default();
        let mut rewritten = false;
        for (source, rewrite) in &rewrites {
            let within = rewrite.holds_back().is_none_or(|limit| body.len() as u64 <= limit);
            let fits = rewritten || rewrite.fits(&head.headers);
            let Some(new) = rewrite.apply(&body).filter(|_| within && fits) else { continue };
            (body, rewritten) = (new, true);
            if let Rewrite::Replace { content_type, .. } = &**rewrite {
                head.remove_header(&CONTENT_ENCODING);
                if let Some(kind) = content_type {
                    let _ = head.insert_header(CONTENT_TYPE, kind.clone());
                }
            }
            self.visit.acts(*source);
        }
        if rewritten {
            self.visit.outcome = ExchangeOutcome::Injected;
            head.remove_header(&TRANSFER_ENCODING);
            let _ = head.insert_header(CONTENT_LENGTH, body.len());
        }
        let nothing_follows = end && body.is_empty();
        match self.send_response_head(head, nothing_follows).await {
            Step::GoOn if nothing_follows => Step::GoOn,
            Step::GoOn => self.on_bytes(body, end).await,
            done => done,
        }
    }

    fn forget_released_rewrites(&mut self) {
        if let Some(course) = &mut self.course {
            let plan = &self.visit.plan;
            course.rewrites.retain(|(source, _)| !plan.is_released(source.hit));
        }
    }

    /// The upstream's body is not asked for any more; what befalls the one in its place stays.
    pub(super) fn abandon_keeping_shape(&mut self) {
        self.abandoned |= !self.response_done;
        self.response_done = true;
    }
}
