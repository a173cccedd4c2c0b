//! A client's connection: its requests one after another (HTTP/2: beside one another), and its end.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp};
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::H2Options;
use pingora::server::ShutdownWatch;
use pingora::{ErrorType, Result};
use tokio::net::TcpStream;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::accept::{self, stopped_while_quiet};
use super::answer;
use super::client::Client;
use super::gateway::Gateway;
use super::visit::{End, Visit};
use super::wire::Control;
use crate::clock;
use crate::rules::Plan;
use crate::telemetry::events::{ExchangeEvent, ExchangeOutcome, TraceParent, Trouble};

/// How long the rest of a request body is read and dropped after an early answer, for the sake of keep-alive.
const SWALLOW: Duration = Duration::from_secs(5);
/// HTTP/2: streams at once, header bytes (as much as on HTTP/1), and what a client may send ahead of a slow upstream,
/// for a stream and for a connection.
const H2_STREAMS: u32 = 1024;
const H2_HEADERS: u32 = 1 << 20;
const H2_WINDOWS: (u32, u32) = (1 << 20, 8 << 20);

/// One client connection: what pingora calls for every request on it.
pub(super) struct Connection {
    gateway: Arc<Gateway>,
    control: Arc<Control>,
    options: HttpServerOptions,
    shutdown: ShutdownWatch,
    /// Whoever stops the proxy waits until it is dropped: HTTP/2's requests live in tasks of their own.
    _running: TaskTrackerToken,
}

impl Connection {
    /// Serves a connection to its end.
    pub(super) async fn serve(
        gateway: Arc<Gateway>,
        socket: TcpStream,
        running: TaskTrackerToken,
        mut shutdown: ShutdownWatch,
    ) {
        // Boxed: handshakes are large, seldom, and over when requests begin.
        let Some(control) = Box::pin(accept::open(&gateway, socket, &mut shutdown)).await else { return };
        let mut options = HttpServerOptions::default();
        options.h2c = true;
        options.h2_idle_timeout = Some(gateway.keepalive());
        let wire = control.wire();
        let connection = Arc::new(Self { gateway, control, options, shutdown: shutdown.clone(), _running: running });
        connection.process_new(wire, &shutdown).await;
    }

    /// Waits for the next request; false when the connection is over.
    async fn await_request(&self, client: &mut Client) -> bool {
        match self.read_request(client.session()).await {
            Some(Ok(true)) => {}
            Some(Err(error)) if !is_departure(error.etype()) => {
                self.reject().await;
                return false;
            }
            _ => return false,
        }
        self.gateway.observer().request_received(self.gateway.name());
        if let ServerSession::H1(session) = client.session() {
            session.set_pipelining_enabled(true);
            session.set_close_on_response_before_downstream_finish(false);
            // Interim answers are not for HTTP/1.0 (RFC 9110 section 15.2).
            session.set_ignore_info_resp(session.req_header().version == http::Version::HTTP_10);
            session.set_read_timeout(None); // the exchange has its own, which knows whose turn it is
        }
        true
    }

    /// Reads a head; `None` when the connection was idle for too long, or when the proxy stops: then it is not waited
    /// for unless a request has begun.
    async fn read_request(&self, session: &mut ServerSession) -> Option<Result<bool>> {
        session.set_keepalive(Some(0)); // without a limit of pingora's: this is ours
        let mut shutdown = self.shutdown.clone();
        let before = self.control.received();
        let (mut heard, mut stopping) = (before, false);
        let mut watchdog = self.control.borrow_watchdog();
        let mut read = std::pin::pin!(session.read_request());
        let read = loop {
            let has_said_more_than = |so_far| self.control.received() > so_far;
            tokio::select! {
                biased;
                read = &mut read => break Some(read),
                () = stopped_while_quiet(&mut shutdown, &self.control), if !stopping => {
                    stopping = true;
                    if !has_said_more_than(before) { break None }
                }
                () = watchdog.bark(clock::now() + self.gateway.keepalive()) => if !has_said_more_than(heard) { break None },
            }
            heard = self.control.received();
        };
        self.control.return_watchdog(watchdog);
        read
    }

    /// Answers what could not be read as a request.
    async fn reject(&self) {
        self.gateway.observer().request_received(self.gateway.name());
        let _ = self.control.put(answer::unreadable().as_bytes());
        let _ = self.control.nudge();
        self.control.close().await;
        self.gateway.observer().exchange(&ExchangeEvent {
            proxy: self.gateway.name(),
            route: "",
            method: "",
            target: "",
            status: Some(400),
            outcome: ExchangeOutcome::BadRequest,
            trouble: Some(Trouble::BadRequest),
            duration: Duration::ZERO,
            upstream: None,
            injected: Duration::ZERO,
            trace: None,
            marks: "",
            bytes: self.control.take_bytes(),
        });
    }
}

/// The client left before its request was complete, which is nothing to answer.
fn is_departure(error: &ErrorType) -> bool {
    matches!(error, ErrorType::ConnectionClosed | ErrorType::ReadError | ErrorType::ReadTimedout)
}

#[async_trait]
impl HttpServerApp for Connection {
    async fn process_new_http(self: &Arc<Self>, session: ServerSession, _: &ShutdownWatch) -> Option<ReusedHttpStream> {
        let half_open = self.gateway.waits_on_half_close();
        let mut client = Client::new(session, self.control.clone(), self.shutdown.clone(), half_open);
        if !self.await_request(&mut client).await {
            return None;
        }
        let started = clock::now();
        let visit = Visit::new(Plan::none(), None, started);
        let mut account = Account { connection: self, client: &mut client, visit, end: None };
        (account.visit.plan, account.visit.route) = self.gateway.plan(account.client).await;
        let end = self.gateway.serve(account.client, &mut account.visit).await;
        account.end = Some(end);
        drop(account);
        if end == End::Closed {
            return None;
        }
        client.finish(SWALLOW).await
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.options)
    }

    fn h2_options(&self) -> Option<H2Options> {
        let mut options = H2Options::default();
        options
            .max_concurrent_streams(H2_STREAMS)
            .max_header_list_size(H2_HEADERS)
            .initial_window_size(H2_WINDOWS.0)
            .initial_connection_window_size(H2_WINDOWS.1);
        Some(options)
    }
}

/// Where the request stands in a trace, if it says so, and only once (W3C Trace Context, section 3.2.1).
fn trace_parent(head: &RequestHeader) -> Option<TraceParent<'_>> {
    let mut fields = head.headers.get_all("traceparent").iter();
    let (first, second) = (fields.next()?, fields.next());
    TraceParent::parse(first.to_str().ok()?).filter(|_| second.is_none())
}

/// Tells everybody who listens how a request went, also if its connection is cut in the middle of it.
struct Account<'a> {
    connection: &'a Connection,
    client: &'a mut Client,
    visit: Visit,
    /// How it ended; `None` when it was cut.
    end: Option<End>,
}

impl Drop for Account<'_> {
    fn drop(&mut self) {
        if self.end.is_none() {
            self.visit.departs();
        }
        self.visit.plan = Plan::none(); // its hits are over before anybody hears of the end
        let Self { connection: Connection { gateway, control, .. }, client, visit, .. } = self;
        let head = client.request();
        gateway.observer().exchange(&ExchangeEvent {
            proxy: gateway.name(),
            route: visit.route.map_or("", |route| gateway.router().name(route)),
            method: head.method.as_str(),
            target: &String::from_utf8_lossy(head.raw_path()),
            status: visit.status,
            outcome: visit.outcome,
            trouble: visit.trouble,
            duration: clock::now() - visit.started,
            upstream: visit.upstream,
            injected: visit.injected,
            trace: trace_parent(head),
            marks: &visit.marks,
            bytes: control.take_bytes(),
        });
    }
}
