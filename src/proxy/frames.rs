//! The sending half of an HTTP/2 stream, fed without waiting.
//!
//! pingora's sessions await flow control inside their writes. Here a piece is taken at once, and what the window
//! does not allow yet waits, so that the exchange can go on with the other direction.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http::HeaderMap;

/// The stream was reset, or its connection is gone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Broken;

impl From<h2::Error> for Broken {
    fn from(_: h2::Error) -> Self {
        Self
    }
}

/// The sending half of an HTTP/2 stream. It holds at most one piece that waits for the window.
pub(super) struct Frames {
    stream: SendStream<Bytes>,
    waiting: Bytes,
    /// `waiting` are the last bytes.
    is_last: bool,
}

impl Frames {
    pub(super) fn new(stream: SendStream<Bytes>) -> Self {
        Self { stream, waiting: Bytes::new(), is_last: false }
    }

    /// A piece waits for the window: nothing must be pushed.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Takes a piece; with `end` it is the last. An empty one that is not the last does nothing.
    pub(super) fn push(&mut self, bytes: Bytes, end: bool) -> Result<(), Broken> {
        debug_assert!(!self.is_waiting(), "a piece is still waiting");
        if bytes.is_empty() {
            return if end { Ok(self.stream.send_data(bytes, true)?) } else { Ok(()) };
        }
        self.stream.reserve_capacity(bytes.len());
        (self.waiting, self.is_last) = (bytes, end);
        match self.stream.capacity() {
            0 => Ok(()),
            window => self.send(window),
        }
    }

    fn send(&mut self, window: usize) -> Result<(), Broken> {
        let piece = self.waiting.split_to(window.min(self.waiting.len()));
        Ok(self.stream.send_data(piece, self.is_last && self.waiting.is_empty())?)
    }

    /// Ends the stream with trailers.
    pub(super) fn trailers(&mut self, trailers: HeaderMap) -> Result<(), Broken> {
        Ok(self.stream.send_trailers(trailers)?)
    }

    /// Sends what the window allows and resolves with every bit of progress; with nothing to send it waits for the
    /// peer to reset the stream. Can be cancelled.
    pub(super) async fn drain(&mut self) -> Result<(), Broken> {
        std::future::poll_fn(|cx| self.poll_drain(cx)).await
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        if self.stream.poll_reset(cx).is_ready() {
            return Poll::Ready(Err(Broken));
        }
        if !self.is_waiting() {
            return Poll::Pending;
        }
        match ready!(self.stream.poll_capacity(cx)) {
            Some(Ok(window)) => Poll::Ready(self.send(window)),
            Some(Err(_)) | None => Poll::Ready(Err(Broken)),
        }
    }

    /// Gives the stream up.
    pub(super) fn reset(&mut self, reason: Reason) {
        self.stream.send_reset(reason);
    }
}
