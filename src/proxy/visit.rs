//! What is known of one request while it is handled: its plan, its marks, its times.

use std::time::Duration;

use http::HeaderValue;
use pingora::http::ResponseHeader;

use super::upload::Upload;
use crate::clock::Instant;
use crate::faults::compose::Source;
use crate::names;
use crate::rules::Plan;
use crate::telemetry::events::{ExchangeOutcome, Trouble};

/// One request on its way.
pub(super) struct Visit {
    /// The faults chosen for it; empty for most.
    pub(super) plan: Plan,
    /// Index of its route in the gateway's list.
    pub(super) route: Option<usize>,
    /// When its head had been read.
    pub(super) started: Instant,
    /// Waits that faults have put in so far.
    pub(super) injected: Duration,
    /// From the request sent upstream to the head of its response.
    pub(super) upstream: Option<Duration>,
    /// The status that went to the client.
    pub(super) status: Option<u16>,
    /// How it ended.
    pub(super) outcome: ExchangeOutcome,
    /// The proxy's own trouble.
    pub(super) trouble: Option<Trouble>,
    /// What befalls the request on its way up, if anything.
    pub(super) upload: Option<Box<Upload>>,
    /// `rule/kind` of each fault that acted, in order, comma-separated.
    pub(super) marks: String,
}

/// What becomes of the client's connection after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The answer is complete; the connection may serve the next request.
    Complete,
    /// The connection is closed, or to be dropped as it is.
    Closed,
}

impl Visit {
    pub(super) fn new(plan: Plan, route: Option<usize>, started: Instant) -> Self {
        Self {
            plan,
            route,
            started,
            injected: Duration::ZERO,
            upstream: None,
            status: None,
            outcome: ExchangeOutcome::Forwarded,
            trouble: None,
            upload: None,
            marks: String::new(),
        }
    }

    /// A fault begins to act: counts it and adds its mark.
    pub(super) fn acts(&mut self, source: Source) {
        self.plan.acted(source);
        self.note(source);
    }

    /// Adds the mark of a fault that is about to act on a body.
    pub(super) fn note(&mut self, source: Source) {
        let mark = self.plan.mark(source);
        if self.marks.split(", ").any(|m| m == mark) {
            return;
        }
        if !self.marks.is_empty() {
            self.marks.push_str(", ");
        }
        self.marks.push_str(mark);
    }

    /// The client left.
    pub(super) fn departs(&mut self) -> End {
        self.plan.departed();
        self.outcome = ExchangeOutcome::ClientGone;
        End::Closed
    }

    /// Puts the marks on a head that goes to the client.
    pub(super) fn mark(&self, head: &mut ResponseHeader) {
        if self.marks.is_empty() {
            return;
        }
        if let Ok(value) = HeaderValue::from_str(&self.marks) {
            let _ = head.append_header(names::MARK_HEADER, value);
        }
        if !self.injected.is_zero() {
            let value = format!("brownout;dur={:.3}", self.injected.as_secs_f64() * 1e3);
            let _ = head.append_header("Server-Timing", value);
        }
    }
}
