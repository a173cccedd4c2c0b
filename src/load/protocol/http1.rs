//! HTTP/1.1 on hyper's connection-level client.

use std::error::Error;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Body;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;

use super::{Answer, CallError, Connection, Dial, Protocol, Stream};
use crate::load::ending::{ConnectError, ErrorKind, is_success};
use crate::load::requests::LoadRequest;

/// HTTP/1.1 over whatever the dialler opens.
#[derive(Debug)]
pub(in crate::load) struct Http1<D> {
    dial: D,
}

impl<D: Dial> Http1<D> {
    pub(in crate::load) fn new(dial: D) -> Self {
        Self { dial }
    }
}

impl<D: Dial> Protocol for Http1<D> {
    type Connection = Http1Connection<D::Stream>;

    async fn connect(&self) -> Result<Self::Connection, ConnectError> {
        let stream = self.dial.dial().await.map_err(|error| ConnectError::of_io(&error))?;
        match http1::handshake(TokioIo::new(stream)).await {
            Ok((sender, engine)) => Ok(Http1Connection { sender, engine: Some(engine) }),
            Err(error) => Err(ConnectError::Target(kind_of(&error))),
        }
    }
}

type Engine<S> = http1::Connection<TokioIo<S>, Full<Bytes>>;

/// A connection and the half of hyper that moves its bytes. One task polls both: a task of its own for the engine
/// would cost two wakes from task to task per request.
pub(in crate::load) struct Http1Connection<S: Stream> {
    sender: SendRequest<Full<Bytes>>,
    /// Absent once the connection has ended.
    engine: Option<Engine<S>>,
}

impl<S: Stream> Http1Connection<S> {
    /// Lets the engine do what it can. When it has ended, `waiting` of a call finds out through its own future.
    fn poll_engine(engine: &mut Option<Engine<S>>, cx: &mut Context<'_>) {
        if let Some(running) = engine
            && Pin::new(running).poll(cx).is_ready()
        {
            *engine = None;
        }
    }

    /// Drives the engine until a future that depends on it is ready.
    async fn driving<F: Future>(engine: &mut Option<Engine<S>>, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(output);
            }
            Self::poll_engine(engine, cx);
            future.as_mut().poll(cx)
        })
        .await
    }
}

impl<S: Stream> Connection for Http1Connection<S> {
    async fn call(&mut self, request: LoadRequest, received: &mut u64) -> Result<Answer, CallError> {
        let Self { sender, engine } = self;
        if let Err(error) = Self::driving(engine, poll_fn(|cx| sender.poll_ready(cx))).await {
            return Err(CallError::Unsent(Box::new(request), kind_of(&error)));
        }
        let response = match Self::driving(engine, sender.try_send_request(request)).await {
            Ok(response) => response,
            Err(mut failed) => {
                let kind = kind_of(failed.error());
                return Err(match failed.take_message() {
                    Some(request) => CallError::Unsent(Box::new(request), kind),
                    None => CallError::Failed(kind),
                });
            }
        };
        let (head, mut body) = response.into_parts();
        let status = head.status.as_u16();
        let mut broken = None;
        while !body.is_end_stream() {
            match Self::driving(engine, poll_fn(|cx| Pin::new(&mut body).poll_frame(cx))).await {
                Some(Ok(frame)) => *received += frame.data_ref().map_or(0, |data| data.len() as u64),
                Some(Err(error)) => {
                    broken = Some(kind_within_body(&error));
                    break;
                }
                None => break,
            }
        }
        match broken {
            // A bad status is what went wrong first, whatever became of its body.
            Some(kind) if is_success(status) => Err(CallError::Failed(kind)),
            _ => Ok(Answer { status, headers: head.headers }),
        }
    }

    fn is_open(&self) -> bool {
        self.engine.is_some() && !self.sender.is_closed()
    }

    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        Self::poll_engine(&mut self.engine, cx);
        if self.is_open() { Poll::Pending } else { Poll::Ready(()) }
    }
}

/// What a client saw of an error before or within the head of an answer.
fn kind_of(error: &hyper::Error) -> ErrorKind {
    if error.is_parse() {
        return ErrorKind::Malformed;
    }
    match io_cause(error) {
        Some(io) => ErrorKind::of_io(io),
        None if error.is_incomplete_message() || error.is_canceled() || error.is_closed() => ErrorKind::Closed,
        None => ErrorKind::Io,
    }
}

/// What a client saw of an error within the body of an answer.
fn kind_within_body(error: &hyper::Error) -> ErrorKind {
    match kind_of(error) {
        ErrorKind::Closed => ErrorKind::Truncated,
        kind => kind,
    }
}

fn io_cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a io::Error> {
    error.downcast_ref().or_else(|| io_cause(error.source()?))
}
