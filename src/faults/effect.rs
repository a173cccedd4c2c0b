//! What a fault asks the proxy to do, as data.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::units::ByteRate;

/// Which half of an exchange a fault acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// Before the upstream is contacted: it stays idle.
    Request,
    /// When the upstream has answered: its work is done, its connection is held.
    Response,
}

/// Asked of a request before the upstream is contacted.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RequestEffect {
    /// Wait this long first.
    pub delay: Duration,
    /// Then, instead of contacting the upstream, do this.
    pub terminal: Option<Terminal>,
}

/// Asked of a response before its head is sent to the client.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ResponseEffect {
    /// Wait this long first.
    pub delay: Duration,
    /// Then, instead of the upstream's response, do this.
    pub terminal: Option<Terminal>,
    /// Else send the upstream's response, with its body treated like this.
    pub body: BodyEffect,
}

/// The end of an exchange: at most one takes effect.
#[derive(Debug, Clone, PartialEq)]
pub enum Terminal {
    /// Send this answer; keep-alive survives.
    Answer(Answer),
    /// Say nothing for a time (`None`: until the client leaves or the rule is released), then end it so.
    Hang {
        /// How long.
        wait: Option<Duration>,
        /// What follows.
        then: HangEnd,
    },
    /// Close the connection (h2: reset the stream) without an answer.
    Close(CloseHow),
}

/// A complete answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// Headers besides the framing and the marks.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// How a hang ends when its time is over. A released hang proceeds as if there had been no fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HangEnd {
    /// Close as asked.
    Close(CloseHow),
    /// Answer 504.
    GatewayTimeout,
}

/// How a connection is closed. On h2 both reset the stream: `Close` with CANCEL, `Reset` with INTERNAL_ERROR.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseHow {
    /// A FIN.
    Close,
    /// A RST.
    Reset,
}

/// How a body is passed on.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct BodyEffect {
    /// An even drip at this rate.
    pub rate: Option<ByteRate>,
    /// The size of one piece of the drip; `None` leaves it to the proxy (10 ms worth of bytes).
    pub chunk: Option<u64>,
    /// The end of the body before its end.
    pub cut: Option<Cut>,
}

/// Ends a response after so many decoded body bytes; a body that is shorter ends as it would.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// Body bytes that are still sent.
    pub after: u64,
    /// How it ends then.
    pub how: CloseHow,
}
