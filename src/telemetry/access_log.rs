//! Access lines: one for each exchange, beside the counting.

use std::sync::Arc;

use super::events::{ConnectionEvent, ExchangeEvent, HandshakeFailure, Observer};
use super::metrics::Metrics;

/// Counts like [`Metrics`], and logs every exchange at level info under the target `access`.
pub struct AccessLog(Arc<Metrics>);

impl AccessLog {
    /// Counts into these metrics.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self(metrics)
    }
}

impl Observer for AccessLog {
    fn exchange(&self, event: &ExchangeEvent<'_>) {
        self.0.exchange(event);
        tracing::info!(
            target: "access",
            proxy = event.proxy,
            route = event.route,
            method = event.method,
            path = event.target,
            status = event.status,
            outcome = event.outcome.name(),
            error = event.trouble.map(|trouble| trouble.name()),
            duration_ms = event.duration.as_secs_f64() * 1e3,
            upstream_ms = event.upstream.map(|upstream| upstream.as_secs_f64() * 1e3),
            injected_ms = event.injected.as_secs_f64() * 1e3,
            faults = event.marks,
            trace_id = event.trace.map(|trace| trace.trace_id),
            parent_id = event.trace.map(|trace| trace.parent_id),
        );
    }

    fn request_received(&self, proxy: &str) {
        self.0.request_received(proxy);
    }

    fn connections(&self, proxy: &str, change: i64) {
        self.0.connections(proxy, change);
    }

    fn moved(&self, proxy: &str, received: u64, sent: u64) {
        self.0.moved(proxy, received, sent);
    }

    fn connection_ended(&self, event: &ConnectionEvent<'_>) {
        self.0.connection_ended(event);
        tracing::info!(
            target: "access",
            proxy = event.proxy,
            outcome = event.outcome.name(),
            error = event.trouble.map(|trouble| trouble.name()),
            duration_ms = event.duration.as_secs_f64() * 1e3,
            received = event.bytes.0,
            sent = event.bytes.1,
        );
    }

    fn handshake_failed(&self, proxy: &str, failure: HandshakeFailure) {
        self.0.handshake_failed(proxy, failure);
    }
}
