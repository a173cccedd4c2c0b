//! Connections to the target: one file per protocol.

pub(super) mod http1;
pub(super) mod tcp;

use std::future::Future;
use std::io;
use std::task::{Context, Poll};

use http::HeaderMap;
use tokio::io::{AsyncRead, AsyncWrite};

use super::ending::{ConnectError, ErrorKind};
use super::requests::LoadRequest;

/// Opens connections of one kind.
pub(super) trait Protocol: 'static {
    type Connection: Connection;

    /// Opens a connection. Dropping the future gives up.
    fn connect(&self) -> impl Future<Output = Result<Self::Connection, ConnectError>>;
}

/// A connection for one call at a time.
pub(super) trait Connection: 'static {
    /// Sends a request and reads its answer to the end. `received` is counted up as body bytes arrive. Dropping
    /// the future leaves the connection unusable.
    fn call(&mut self, request: LoadRequest, received: &mut u64) -> impl Future<Output = Result<Answer, CallError>>;

    /// Another call may be made.
    fn is_open(&self) -> bool;

    /// To be polled between calls: ready when the target has closed the connection.
    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

/// An answer, read to its end.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Whose memory the next request can use again.
    pub(super) headers: HeaderMap,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum CallError {
    /// The connection was gone before anything was written: the request may be sent on another one.
    Unsent(Box<LoadRequest>, ErrorKind),
    /// Sent, at least in part.
    Failed(ErrorKind),
}

/// A byte stream.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + 'static {}
impl<S: AsyncRead + AsyncWrite + Unpin + 'static> Stream for S {}

/// Opens byte streams to the target.
pub(super) trait Dial: 'static {
    type Stream: Stream;

    fn dial(&self) -> impl Future<Output = io::Result<Self::Stream>>;
}
