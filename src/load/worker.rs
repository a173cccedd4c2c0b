//! One connection and the requests that it carries, one after another.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use http::HeaderMap;

use super::deadline::Deadline;
use super::ending::{ConnectError, ErrorKind, OwnFault, is_success};
use super::hub::{Hub, Job};
use super::protocol::{CallError, Connection, Protocol};
use super::recorder::Ended;

/// How long a user of a closed loop waits after a failed connect: a target that refuses is not to be hammered.
const AFTER_FAILED_CONNECT: Duration = Duration::from_millis(10);

/// A task of its own for each connection.
pub(super) struct Worker<P: Protocol> {
    hub: Rc<Hub<P>>,
    /// Opened when first needed, and again after it broke.
    connection: Option<P::Connection>,
    deadline: Deadline,
    /// The last answer's headers: the memory of the next request's.
    headers: HeaderMap,
}

/// Why a request has no answer.
enum Failure {
    Target(ErrorKind),
    Driver(OwnFault),
}

impl<P: Protocol> Worker<P> {
    pub(super) fn new(hub: Rc<Hub<P>>) -> Self {
        Self { hub, connection: None, deadline: Deadline::default(), headers: HeaderMap::new() }
    }

    /// Serves arrivals as worker `id`, for ever.
    pub(super) async fn serve_arrivals(mut self, id: usize, first: Job) {
        let mut handed = Some(first);
        loop {
            if let Some(job) = handed.take() {
                self.serve_due(job).await;
            }
            match self.hub.next_waiting(id) {
                Some(job) => self.serve_waited(job).await,
                None => handed = Some(self.idle(id).await),
            }
        }
    }

    /// Serves one user of a closed loop: sends as long as `next` gives sequence numbers.
    pub(super) async fn serve_user(mut self, next: impl Fn(Duration) -> Option<u64>) {
        loop {
            let now = self.hub.now();
            let Some(sequence) = next(now) else { return };
            let opened_before = self.hub.connections_opened.get();
            {
                let mut recorder = self.hub.recorder();
                recorder.planned(now);
                recorder.issued(now, now, None);
            }
            self.perform(Job { sequence, intended: now }, now).await;
            if self.connection.is_none() && self.hub.connections_opened.get() == opened_before {
                crate::clock::sleep(AFTER_FAILED_CONNECT).await;
            }
        }
    }

    /// An arrival that was handed over when it was due.
    async fn serve_due(&mut self, job: Job) {
        self.hub.started();
        let now = self.hub.now();
        // Measured here and not where it was handed over: between the two lies the driver's own backlog.
        let lag = now.saturating_sub(job.intended);
        if lag >= self.hub.timeout {
            self.hub.recorder().missed(job.intended, now, OwnFault::Late, false);
            return self.hub.one_less();
        }
        self.hub.recorder().issued(job.intended, now, Some(lag));
        self.perform(job, now).await;
    }

    /// An arrival that waited for a connection to become free.
    async fn serve_waited(&mut self, job: Job) {
        let now = self.hub.now();
        if now >= job.intended + self.hub.timeout {
            self.end(job, now, None, Err(ErrorKind::NoConnection), 0, 0);
        } else {
            self.perform(job, now).await;
        }
    }

    /// Sends a request that has been booked as issued, and books what becomes of it.
    async fn perform(&mut self, job: Job, now: Duration) {
        let (sent, body, mut received) = (Cell::new(None), Cell::new(0), 0);
        let deadline = self.hub.moment(job.intended + self.hub.timeout);
        let call = call(
            &self.hub,
            &mut self.connection,
            &mut self.headers,
            Sending { sequence: job.sequence, now, sent: &sent, body: &body },
            &mut received,
        );
        let outcome = self.deadline.within(deadline, call).await;
        let at = self.hub.now();
        let result = match outcome {
            Some(Ok(status)) if is_success(status) => Ok(()),
            Some(Ok(status)) => Err(ErrorKind::Status(status)),
            Some(Err(Failure::Target(kind))) => Err(kind),
            Some(Err(Failure::Driver(fault))) => {
                self.connection = None;
                self.hub.recorder().missed(job.intended, at, fault, true);
                return self.hub.one_less();
            }
            None if sent.get().is_some() => Err(ErrorKind::Timeout),
            None => Err(ErrorKind::ConnectTimeout),
        };
        // An HTTP/1.1 request cannot be given up without its connection.
        if !matches!(result, Ok(()) | Err(ErrorKind::Status(_))) {
            self.connection = None;
        }
        self.end(job, at, sent.get(), result, received, body.get());
    }

    fn end(
        &self,
        job: Job,
        at: Duration,
        sent: Option<Duration>,
        result: Result<(), ErrorKind>,
        received: u64,
        body: u64,
    ) {
        self.hub.recorder().ended(Ended { intended: job.intended, sent, at, result, received, body });
        self.hub.one_less();
    }

    /// Waits for the next job, and lets go of the connection if the target closes it meanwhile.
    async fn idle(&mut self, id: usize) -> Job {
        poll_fn(|cx| {
            if let Poll::Ready(job) = self.hub.poll_job(id, cx) {
                return Poll::Ready(job);
            }
            if let Some(connection) = &mut self.connection
                && connection.poll_closed(cx).is_ready()
            {
                self.connection = None;
            }
            Poll::Pending
        })
        .await
    }
}

/// What a call starts from, and what it tells although it may be given up at any moment.
struct Sending<'a> {
    sequence: u64,
    now: Duration,
    /// When the request was given to an open connection.
    sent: &'a Cell<Option<Duration>>,
    /// Length of its body, once sent.
    body: &'a Cell<u64>,
}

/// Connects if needed, sends, reads the answer to its end: the status.
async fn call<P: Protocol>(
    hub: &Hub<P>,
    connection: &mut Option<P::Connection>,
    headers: &mut HeaderMap,
    sending: Sending<'_>,
    received: &mut u64,
) -> Result<u16, Failure> {
    let mut request = hub.requests.make(sending.sequence, std::mem::take(headers));
    let body = hyper::body::Body::size_hint(request.body()).exact().unwrap_or(0);
    loop {
        let reused = connection.is_some();
        let open = match connection {
            Some(open) => {
                sending.sent.set(Some(sending.now));
                open
            }
            None => {
                let fresh = hub.protocol.connect().await.map_err(|error| match error {
                    ConnectError::Target(kind) => Failure::Target(kind),
                    ConnectError::Driver(fault) => Failure::Driver(fault),
                })?;
                hub.connections_opened.set(hub.connections_opened.get() + 1);
                sending.sent.set(Some(hub.now()));
                connection.insert(fresh)
            }
        };
        sending.body.set(body);
        match open.call(request, received).await {
            Ok(answer) => {
                *headers = answer.headers;
                if !open.is_open() {
                    *connection = None;
                }
                return Ok(answer.status);
            }
            // Closed by the target while it was idle, and nothing was sent: no client would call that a failure.
            Err(CallError::Unsent(unsent, _)) if reused => {
                *connection = None;
                sending.sent.set(None);
                request = *unsent;
            }
            Err(CallError::Unsent(_, kind) | CallError::Failed(kind)) => return Err(Failure::Target(kind)),
        }
    }
}
