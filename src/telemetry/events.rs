//! What the data path tells the outside about: one event an exchange, for metrics, access log and live page.

use std::fmt;
use std::time::Duration;

/// How an exchange ended, from the client's point of view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExchangeOutcome {
    /// The upstream's response was passed on to its end, delayed or slowed perhaps.
    Forwarded,
    /// A fault answered, put another body or status in place of the upstream's, cut or closed.
    Injected,
    /// The upstream failed: refused, reset, malformed, timed out.
    UpstreamError,
    /// The client left first.
    ClientGone,
    /// The request could not be read.
    BadRequest,
    /// The client wanted more than `[proxy.limits]` allow, before there was a request.
    Refused,
}

impl ExchangeOutcome {
    /// All outcomes.
    pub const ALL: [Self; 6] =
        [Self::Forwarded, Self::Injected, Self::UpstreamError, Self::ClientGone, Self::BadRequest, Self::Refused];

    /// The label's value.
    pub fn name(self) -> &'static str {
        match self {
            Self::Forwarded => "forwarded",
            Self::Injected => "injected",
            Self::UpstreamError => "upstream_error",
            Self::ClientGone => "client_gone",
            Self::BadRequest => "bad_request",
            Self::Refused => "refused",
        }
    }
}

/// The proxy's own troubles: the value of `x-brownout-error`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trouble {
    /// No address for the upstream's name.
    UpstreamUnresolved,
    /// The upstream refused the connection, or there is no way to it.
    UpstreamRefused,
    /// The upstream did not accept the connection in time.
    UpstreamConnectTimeout,
    /// The upstream closed or reset the connection without an answer.
    UpstreamReset,
    /// The upstream's answer is not HTTP.
    UpstreamMalformed,
    /// The upstream fell silent.
    UpstreamTimeout,
    /// The upstream and the proxy did not come together over TLS: its certificate was not accepted, or the proxy's.
    UpstreamTls,
    /// The client's request is not HTTP that can be forwarded.
    BadRequest,
    /// The head of the client's request is longer than allowed, or has more fields.
    HeadTooLarge,
    /// The client did not finish the head of its request in time.
    HeadTimeout,
    /// The client's connection is one more than allowed.
    TooManyConnections,
    /// The client resets streams, or sends frames that carry nothing, faster than allowed. Its connection is cut.
    Flood,
}

impl Trouble {
    /// All troubles.
    pub const ALL: [Self; 12] = [
        Self::UpstreamUnresolved,
        Self::UpstreamRefused,
        Self::UpstreamConnectTimeout,
        Self::UpstreamReset,
        Self::UpstreamMalformed,
        Self::UpstreamTimeout,
        Self::UpstreamTls,
        Self::BadRequest,
        Self::HeadTooLarge,
        Self::HeadTimeout,
        Self::TooManyConnections,
        Self::Flood,
    ];

    /// The header's value.
    pub fn name(self) -> &'static str {
        match self {
            Self::UpstreamUnresolved => "upstream-unresolved",
            Self::UpstreamRefused => "upstream-refused",
            Self::UpstreamConnectTimeout => "upstream-connect-timeout",
            Self::UpstreamReset => "upstream-reset",
            Self::UpstreamMalformed => "upstream-malformed",
            Self::UpstreamTimeout => "upstream-timeout",
            Self::UpstreamTls => "upstream-tls",
            Self::BadRequest => "bad-request",
            Self::HeadTooLarge => "head-too-large",
            Self::HeadTimeout => "head-timeout",
            Self::TooManyConnections => "too-many-connections",
            Self::Flood => "flood",
        }
    }

    /// How an exchange ends that ends with it.
    pub fn outcome(self) -> ExchangeOutcome {
        match self {
            Self::BadRequest | Self::HeadTooLarge | Self::HeadTimeout => ExchangeOutcome::BadRequest,
            Self::TooManyConnections | Self::Flood => ExchangeOutcome::Refused,
            _ => ExchangeOutcome::UpstreamError,
        }
    }

    /// The status it is answered with, where it is answered at all.
    pub fn status(self) -> http::StatusCode {
        match self {
            Self::UpstreamConnectTimeout | Self::UpstreamTimeout => http::StatusCode::GATEWAY_TIMEOUT,
            Self::BadRequest => http::StatusCode::BAD_REQUEST,
            Self::HeadTooLarge => http::StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::HeadTimeout => http::StatusCode::REQUEST_TIMEOUT,
            Self::TooManyConnections | Self::Flood => http::StatusCode::SERVICE_UNAVAILABLE,
            _ => http::StatusCode::BAD_GATEWAY,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The ids of a `traceparent` (W3C Trace Context, section 3.2), by which a line of the log is found from a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent<'a> {
    /// 32 lower-case hexadecimal digits.
    pub trace_id: &'a str,
    /// The caller's span: 16 of them.
    pub parent_id: &'a str,
}

impl<'a> TraceParent<'a> {
    /// Reads a field's value; `None` if it is not one that the standard allows, by which a receiver ignores it. Later
    /// versions may say more after the fields of this one.
    pub fn parse(value: &'a str) -> Option<Self> {
        let mut parts = value.split('-');
        let (version, trace_id, parent_id, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let is_hex = |text: &str, digits: usize| {
            text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        let is_zero = |text: &str| text.bytes().all(|b| b == b'0');
        let known = is_hex(version, 2) && version != "ff" && is_hex(flags, 2);
        let ids = is_hex(trace_id, 32) && !is_zero(trace_id) && is_hex(parent_id, 16) && !is_zero(parent_id);
        (known && ids && (version != "00" || parts.next().is_none())).then_some(Self { trace_id, parent_id })
    }
}

/// Why a client's TLS handshake came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HandshakeFailure {
    /// The client left, or the proxy stopped, before it was complete.
    Closed,
    /// One side did not accept what the other said: a version, a certificate, a protocol, or no TLS at all.
    Refused,
    /// The client took too long.
    Timeout,
}

impl HandshakeFailure {
    /// All failures.
    pub const ALL: [Self; 3] = [Self::Closed, Self::Refused, Self::Timeout];

    /// The label's value.
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Refused => "refused",
            Self::Timeout => "timeout",
        }
    }
}

/// One exchange that has ended.
#[derive(Debug, Clone, Copy)]
pub struct ExchangeEvent<'a> {
    /// The proxy's name.
    pub proxy: &'a str,
    /// The route's name; empty if none matched.
    pub route: &'a str,
    /// The method.
    pub method: &'a str,
    /// The target as sent; for logs only, never a label.
    pub target: &'a str,
    /// The status sent to the client; absent if it got none.
    pub status: Option<u16>,
    /// How it ended.
    pub outcome: ExchangeOutcome,
    /// The proxy's own trouble, if it had any.
    pub trouble: Option<Trouble>,
    /// From the request's head read to the end of the response.
    pub duration: Duration,
    /// From the request sent upstream to the head of its response; absent if it was not asked or did not answer.
    pub upstream: Option<Duration>,
    /// Waits that faults put in.
    pub injected: Duration,
    /// The request's W3C trace context, `traceparent` as sent; absent if there is none that is valid.
    pub trace: Option<TraceParent<'a>>,
    /// Marks of the faults that acted (`rule/kind`), comma-separated; empty if none did.
    pub marks: &'a str,
    /// Bytes read from and sent to the client on this connection since the last event of it.
    pub bytes: (u64, u64),
}

/// Whoever listens to the data path. Called on the data path: must not block.
pub trait Observer: Send + Sync {
    /// An exchange has ended.
    fn exchange(&self, event: &ExchangeEvent<'_>);
    /// A request's head has been read: the exchange starts.
    fn request_received(&self, proxy: &str);
    /// A client connection was opened (+1) or closed (-1).
    fn connections(&self, proxy: &str, change: i64);
    /// A client's TLS handshake failed: no exchange will follow on its connection.
    fn handshake_failed(&self, _proxy: &str, _failure: HandshakeFailure) {}
}

/// Nobody listens.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoObserver;

impl Observer for NoObserver {
    fn exchange(&self, _: &ExchangeEvent<'_>) {}
    fn request_received(&self, _: &str) {}
    fn connections(&self, _: &str, _: i64) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_parent_is_taken_only_if_it_is_one() {
        const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
        const SPAN: &str = "00f067aa0ba902b7";
        let parsed =
            TraceParent::parse(&format!("00-{TRACE}-{SPAN}-01")).map(|t| (t.trace_id.len(), t.parent_id.len()));
        assert_eq!(parsed, Some((32, 16)));
        assert!(TraceParent::parse(&format!("01-{TRACE}-{SPAN}-01-more")).is_some(), "a version to come");
        for wrong in [
            format!("00-{TRACE}-{SPAN}-01-more"),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("00-{}-{SPAN}-01", "0".repeat(32)),
            format!("00-{TRACE}-{}-01", "0".repeat(16)),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-{TRACE}-{SPAN}"),
            String::new(),
        ] {
            assert!(TraceParent::parse(&wrong).is_none(), "{wrong}");
        }
    }
}
