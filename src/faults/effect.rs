//! What a fault asks the proxy to do, as data.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::body::Rewrite;
use super::corrupt::Corruption;
use super::header::Edits;
use super::template::Template;
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
    /// Else change the head that goes upstream.
    pub edits: Option<Arc<Edits>>,
    /// As `edits`, for the sake of what is to be done to the response: it counts for nothing by itself.
    pub prepare: Option<Arc<Edits>>,
    /// Send the body like this.
    pub body: BodyEffect,
    /// Send the whole request so many times more, and drop those answers.
    pub copies: u32,
    /// Tell the client that its connection takes no further requests (HTTP/2 only).
    pub goaway: bool,
}

/// Asked of a response before its head is sent to the client.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ResponseEffect {
    /// Wait this long first.
    pub delay: Duration,
    /// Then, instead of the upstream's response, do this.
    pub terminal: Option<Terminal>,
    /// Else change the head.
    pub edits: Option<Arc<Edits>>,
    /// Send the body like this.
    pub body: BodyEffect,
    /// Put these fields into the trailers, in place of those of the same name (HTTP/2 only).
    pub trailers: Option<Arc<HeaderMap>>,
    /// If the response opens a WebSocket, ask about each of its messages.
    pub messages: bool,
}

/// Asked of one WebSocket message when its first frame has begun.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MessageEffect {
    /// Pass it on so much later. The order of messages stays as it was.
    pub delay: Duration,
    /// Do not pass it on.
    pub drop: bool,
    /// Change its payload.
    pub corrupt: Option<Corruption>,
    /// In its place, say goodbye to both sides with this code and reason, and end the connection.
    pub close: Option<Arc<Goodbye>>,
}

/// A WebSocket close frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Goodbye {
    /// The code.
    pub code: u16,
    /// The reason, at most 123 bytes.
    pub reason: String,
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
    /// End the exchange without an answer.
    Close(CloseHow),
    /// HTTP/1: these very bytes, then a FIN. HTTP/2: a reset of the stream with this code, or nothing without one.
    Raw {
        /// What is written to the connection.
        bytes: Bytes,
        /// HTTP/2's code.
        h2: Option<u32>,
    },
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
    /// What the body is instead, with fields of the request.
    pub template: Option<Arc<Template>>,
}

/// How a hang ends when its time is over. A released hang proceeds as if there had been no fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HangEnd {
    /// Close as asked.
    Close(CloseHow),
    /// Answer 504.
    GatewayTimeout,
}

/// How an exchange is ended before its end. HTTP/1 knows connections only; on HTTP/2 a stream is ended unless the
/// connection is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseHow {
    /// A FIN; HTTP/2: RST_STREAM with CANCEL.
    Close,
    /// A RST; HTTP/2: RST_STREAM with INTERNAL_ERROR.
    Reset,
    /// A FIN, and the connection stays open to be read from until the client leaves. HTTP/2: END_STREAM if the head is
    /// out, else RST_STREAM with NO_ERROR.
    HalfClose,
    /// HTTP/2: RST_STREAM with this code. Nothing on HTTP/1.
    StreamReset(u32),
    /// A FIN of the whole connection, also on HTTP/2.
    ConnectionClose,
    /// A RST of the whole connection, also on HTTP/2.
    ConnectionReset,
}

impl CloseHow {
    /// Whether it means anything on HTTP/1.
    pub fn is_for_http1(self) -> bool {
        !matches!(self, Self::StreamReset(_))
    }
}

/// How a body is passed on: rewritten, then corrupted, then paced, then cut.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BodyEffect {
    /// Another body, or a changed one.
    pub rewrite: Option<Arc<Rewrite>>,
    /// Changed bytes.
    pub corrupt: Option<Corruption>,
    /// An even drip at this rate.
    pub rate: Option<ByteRate>,
    /// The size of one piece of the drip; `None` leaves it to the proxy (10 ms worth of bytes).
    pub chunk: Option<u64>,
    /// A pause in the middle.
    pub stall: Option<Stall>,
    /// The end of the body before its end.
    pub cut: Option<Cut>,
}

/// A pause after so many body bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stall {
    /// Body bytes that are sent before.
    pub after: u64,
    /// How long; `None`: until the client leaves or the rule is released.
    pub time: Option<Duration>,
}

/// Ends a body early; one that ends before ends as it would.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// Where.
    pub at: CutAt,
    /// How.
    pub end: CutEnd,
}

/// Where a body is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CutAt {
    /// When so many decoded body bytes have been sent and there are more.
    Bytes(u64),
    /// This long after the head was sent, whether or not data flows.
    Time(Duration),
}

/// How a body that is cut ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CutEnd {
    /// The connection or the stream ends: the client can tell that something is missing.
    Broken(CloseHow),
    /// As if it were all: the length that the head announces is the shorter one.
    Complete,
}
