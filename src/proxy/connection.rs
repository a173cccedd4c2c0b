//! A client's connection: its requests one after another (HTTP/2: beside one another), and its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use pingora::ErrorType;
use pingora::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp};
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::H2Options;
use pingora::server::ShutdownWatch;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::accept::{self, stopped_while_quiet};
use super::client::Client;
use super::flood::Meter;
use super::gateway::Gateway;
use super::refuse;
use super::vet;
use super::visit::{End, Visit};
use super::wire::Control;
use crate::clock;
use crate::rules::Plan;
use crate::telemetry::events::{ExchangeEvent, TraceParent, Trouble};

/// How long the rest of a request body is read and dropped after an early answer, for the sake of keep-alive.
const SWALLOW: Duration = Duration::from_secs(5);
/// HTTP/2: what a client may send ahead of a slow upstream, for a stream and for a connection.
const H2_WINDOWS: (u32, u32) = (1 << 20, 8 << 20);

/// One client connection: what pingora calls for every request on it.
pub(super) struct Connection {
    gateway: Arc<Gateway>,
    control: Arc<Control>,
    options: HttpServerOptions,
    shutdown: ShutdownWatch,
    /// Requests so far.
    requests: AtomicU64,
    /// HTTP/2: no further requests on this connection; those under way end.
    goodbye: watch::Sender<bool>,
    /// Whoever stops the proxy waits until it is dropped: HTTP/2's requests live in tasks of their own.
    _running: TaskTrackerToken,
}

/// Why there is no request.
enum NoRequest {
    /// The connection is over, and nobody is left to be told anything.
    Over,
    /// The client is told this.
    Wrong(Trouble),
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
        if control.is_framed() {
            let limits = gateway.limits();
            control.bounds().count_frames(Meter::new(limits.h2_resets, limits.h2_frames, clock::now()));
        } else {
            control.bounds().follow_messages();
        }
        let mut options = HttpServerOptions::default();
        options.h2c = true;
        options.h2_idle_timeout = Some(gateway.keepalive());
        let wire = control.wire();
        let (goodbye, told) = watch::channel(false);
        let connection = Arc::new(Self {
            gateway,
            control: control.clone(),
            options,
            shutdown: shutdown.clone(),
            requests: AtomicU64::new(0),
            goodbye,
            _running: running,
        });
        // HTTP/2 is said goodbye to when the proxy stops, and when a fault or a limit says so.
        let stopping = async {
            let _ = shutdown.wait_for(|stop| *stop).await;
            connection.goodbye.send_replace(true);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            _ = connection.process_new(wire, &told) => {}
            () = control.severed() => {}
            () = stopping => {}
        }
        if control.bounds().is_flooded() {
            let proxy = connection.gateway.name();
            tracing::warn!(proxy, "an HTTP/2 connection was cut: too many empty frames or resets");
            refuse::tell(&connection.gateway, Some(&control), Trouble::Flood, None);
        }
    }

    /// Waits for the next request; false when the connection is over.
    async fn await_request(&self, client: &mut Client) -> bool {
        match self.read_request(client).await {
            Ok(()) => {}
            Err(NoRequest::Over) => return false,
            Err(NoRequest::Wrong(trouble)) => {
                refuse::reject(&self.gateway, &self.control, trouble).await;
                return false;
            }
        }
        self.gateway.observer().request_received(self.gateway.name());
        if let ServerSession::H1(session) = client.session() {
            session.set_pipelining_enabled(true);
            session.set_close_on_response_before_downstream_finish(false);
            // Interim answers are not for HTTP/1.0 (RFC 9110 section 15.2).
            session.set_ignore_info_resp(session.req_header().version == http::Version::HTTP_10);
            session.set_read_timeout(None); // the exchange has its own, which knows whose turn it is
            self.control.bounds().understood(&session.get_headers_raw_bytes(), vet::framing(session.req_header()));
        }
        let requests = self.requests.fetch_add(1, Relaxed) + 1;
        if self.gateway.limits().requests.is_some_and(|most| requests >= most.get()) {
            client.forbid_reuse();
            self.goodbye.send_replace(true);
        }
        true
    }

    /// Reads a head. It is waited for as long as a connection may be idle, and from its first byte on as long as a
    /// head may take; when the proxy stops, only if it has begun.
    async fn read_request(&self, client: &mut Client) -> Result<(), NoRequest> {
        let limits = self.gateway.limits();
        let (bounds, before) = (self.control.bounds(), self.control.received());
        if !client.is_h2() {
            bounds.read_at_most(before.saturating_add(limits.head_size.into()));
        }
        let session = client.session();
        session.set_keepalive(Some(0)); // without a limit of pingora's: this is ours
        let mut shutdown = self.shutdown.clone();
        let mut deadline = clock::now() + self.gateway.keepalive();
        let (mut begun, mut stopping) = (false, false);
        let has_begun = || self.control.received() > before;
        let mut watchdog = self.control.borrow_watchdog();
        let mut read = std::pin::pin!(session.read_request());
        let read = loop {
            tokio::select! {
                biased;
                read = &mut read => break Some(read),
                () = at_last(has_begun), if !begun => {
                    begun = true;
                    deadline = clock::now() + limits.head_timeout;
                }
                () = stopped_while_quiet(&mut shutdown, &self.control), if !stopping => {
                    stopping = true;
                    if !begun { break None }
                }
                () = watchdog.bark(deadline) => break None,
            }
        };
        self.control.return_watchdog(watchdog);
        bounds.read_at_most(u64::MAX);
        // The last read may have gone beyond the bound, and met the library's own.
        let is_too_large = bounds.is_met() || self.control.received() - before >= limits.head_size.into();
        match read {
            Some(Ok(true)) => Ok(()),
            None if begun => Err(NoRequest::Wrong(Trouble::HeadTimeout)),
            Some(Err(_)) if is_too_large => Err(NoRequest::Wrong(Trouble::HeadTooLarge)),
            Some(Err(error)) if !is_departure(error.etype()) => Err(NoRequest::Wrong(Trouble::BadRequest)),
            _ => Err(NoRequest::Over),
        }
    }
}

/// Resolves when something is so; looked at whenever the task wakes, so put it behind what wakes it.
async fn at_last(so: impl Fn() -> bool) {
    std::future::poll_fn(|_| if so() { Poll::Ready(()) } else { Poll::Pending }).await
}

/// The client left before its request was complete, which is nothing to answer.
fn is_departure(error: &ErrorType) -> bool {
    matches!(error, ErrorType::ConnectionClosed | ErrorType::ReadError | ErrorType::ReadTimedout)
}

#[async_trait]
impl HttpServerApp for Connection {
    async fn process_new_http(self: &Arc<Self>, session: ServerSession, _: &ShutdownWatch) -> Option<ReusedHttpStream> {
        let half_open = self.gateway.waits_on_half_close();
        let mut client =
            Client::new(session, self.control.clone(), self.shutdown.clone(), self.goodbye.clone(), half_open);
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
        let limits = self.gateway.limits();
        options
            .max_concurrent_streams(limits.h2_streams)
            .max_header_list_size(limits.head_size)
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
