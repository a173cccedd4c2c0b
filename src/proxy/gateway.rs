//! A request's life, top to bottom.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::apps::{HttpPersistentSettings, HttpServerApp, HttpServerOptions, ReusedHttpStream};
use pingora::protocols::http::ServerSession;
use pingora::server::ShutdownWatch;

use super::enforce::{self, Next};
use super::exchange::{self, Exchanged};
use super::router::Router;
use super::stream::Control;
use super::upstream::Pool;
use super::visit::{End, Visit};
use super::{answer, view};
use crate::clock;
use crate::config::{HalfClose, ProxyConfig};
use crate::rules::{Plan, Store};
use crate::telemetry::events::{ExchangeEvent, ExchangeOutcome, Observer, Trouble};

/// How long the rest of a request body is read and dropped after an early answer, for the sake of keep-alive.
const DRAIN: Duration = Duration::from_secs(5);

/// One proxy on one shard: everything that a request on it needs.
pub(super) struct Gateway {
    config: Arc<ProxyConfig>,
    router: Arc<Router>,
    rules: Arc<Store>,
    observer: Arc<dyn Observer>,
    pool: Pool,
    options: HttpServerOptions,
}

impl Gateway {
    pub(super) fn new(
        config: Arc<ProxyConfig>,
        router: Arc<Router>,
        rules: Arc<Store>,
        observer: Arc<dyn Observer>,
        pool: Pool,
    ) -> Self {
        let mut options = HttpServerOptions::default();
        options.h2c = true;
        options.h2_idle_timeout = Some(config.timeouts.keepalive);
        Self { config, router, rules, observer, pool, options }
    }

    pub(super) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Whether altered responses say so.
    pub(super) fn marks(&self) -> bool {
        self.config.marks
    }

    /// Whether a client's FIN only means that it has no more to say.
    pub(super) fn waits_on_half_close(&self) -> bool {
        self.config.half_close == HalfClose::Wait
    }

    pub(super) fn name(&self) -> &str {
        &self.config.name
    }

    pub(super) fn observer(&self) -> &dyn Observer {
        &*self.observer
    }

    fn keepalive_seconds(&self) -> u64 {
        self.config.timeouts.keepalive.as_secs().max(1)
    }
}

/// One client connection: what pingora calls for every request on it.
pub(super) struct Connection {
    gateway: Arc<Gateway>,
    control: Arc<Control>,
}

impl Connection {
    pub(super) fn new(gateway: Arc<Gateway>, control: Arc<Control>) -> Self {
        Self { gateway, control }
    }

    pub(super) fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    pub(super) fn control(&self) -> &Control {
        &self.control
    }

    /// Handles one request whose head has been read.
    async fn handle(&self, session: &mut ServerSession, visit: &mut Visit) -> End {
        // Faults of the request side come first: the upstream must not see a request that they stop.
        if !visit.plan.is_empty() {
            let course = visit.plan.request_course(&view::request(session.req_header()));
            let next = enforce::suffer(self, session, visit, &course.delays, &course.terminals).await;
            if let Next::Ended(end) = next {
                return end;
            }
        }
        // A pooled connection may have been closed by the upstream meanwhile: then once more, on a fresh one.
        let mut fresh = false;
        loop {
            let taken = tokio::select! {
                biased;
                taken = self.gateway.pool.take(fresh) => taken,
                () = enforce::client_gone(self, session) => return visit.departs(),
            };
            let taken = match taken {
                Ok(taken) => taken,
                Err(trouble) => return answer::trouble(session, visit, trouble).await,
            };
            match exchange::run(self, session, visit, taken).await {
                Exchanged::Stale if !fresh => fresh = true,
                Exchanged::Stale => return answer::trouble(session, visit, Trouble::UpstreamReset).await,
                Exchanged::Failed(trouble) => return answer::trouble(session, visit, trouble).await,
                Exchanged::Ended(end) => return end,
            }
        }
    }

    /// Waits for the next request; `None` when the connection is over.
    async fn await_request(&self, session: &mut ServerSession, shutdown: &ShutdownWatch) -> Option<Visit> {
        let mut drained = shutdown.clone();
        let read = tokio::select! {
            biased;
            read = session.read_request() => read,
            // An idle connection is not waited for when the proxy stops.
            _ = drained.wait_for(|stop| *stop) => return None,
        };
        let started = clock::now();
        match read {
            Ok(true) => {}
            Ok(false) => return None,
            Err(_) => {
                self.reject(session).await;
                return None;
            }
        }
        self.gateway.observer.request_received(self.gateway.name());
        self.settle_session(session, *shutdown.borrow());
        // One load of the rule set for the whole request: an edit never changes it half way.
        let view = view::request(session.req_header());
        let rules = self.gateway.rules.load();
        let plan = if rules.is_empty() { Plan::none() } else { rules.plan(self.gateway.name(), &view) };
        Some(Visit::new(plan, self.gateway.router.route(&view), started))
    }

    fn settle_session(&self, session: &mut ServerSession, stopping: bool) {
        if stopping {
            session.set_keepalive(None);
        } else if session.get_keepalive().is_some() {
            session.set_keepalive(Some(self.gateway.keepalive_seconds()));
        }
        if let ServerSession::H1(h1) = session {
            h1.set_pipelining_enabled(true);
            h1.set_close_on_response_before_downstream_finish(false);
            h1.set_abort_on_close(!self.gateway.waits_on_half_close());
            // Interim answers are not for HTTP/1.0 (RFC 9110 section 15.2).
            h1.set_ignore_info_resp(h1.req_header().version == http::Version::HTTP_10);
        }
        session.set_write_timeout(Some(self.gateway.config.timeouts.write));
        session.set_total_drain_timeout(Some(DRAIN));
    }

    /// Answers what could not be read as a request.
    async fn reject(&self, session: &mut ServerSession) {
        let mut head = match pingora::http::ResponseHeader::build(400, Some(3)) {
            Ok(head) => head,
            Err(_) => return,
        };
        let _ = head.insert_header(http::header::CONTENT_LENGTH, "0");
        let _ = head.insert_header(crate::names::ERROR_HEADER, Trouble::BadRequest.name());
        session.set_keepalive(None);
        if session.write_response_header(Box::new(head)).await.is_ok() {
            let _ = self.control.flush().await;
        }
        if let Some(stream) = answer::client_stream(session) {
            stream.close().await;
        }
        self.gateway.observer.exchange(&ExchangeEvent {
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
            marks: "",
            bytes: self.control.take_bytes(),
        });
    }

    /// Tells everybody who listens how it went.
    fn report(&self, session: &ServerSession, visit: &Visit) {
        let head = session.req_header();
        self.gateway.observer.exchange(&ExchangeEvent {
            proxy: self.gateway.name(),
            route: visit.route.map_or("", |route| self.gateway.router.name(route)),
            method: head.method.as_str(),
            target: &String::from_utf8_lossy(head.raw_path()),
            status: visit.status,
            outcome: visit.outcome,
            trouble: visit.trouble,
            duration: clock::now() - visit.started,
            upstream: visit.upstream,
            injected: visit.injected,
            marks: &visit.marks,
            bytes: self.control.take_bytes(),
        });
    }
}

#[async_trait]
impl HttpServerApp for Connection {
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        let mut visit = self.await_request(&mut session, shutdown).await?;
        let end = self.handle(&mut session, &mut visit).await;
        self.report(&session, &visit);
        drop(visit); // the hits of this request are over before the next one starts
        if end == End::Closed {
            return None;
        }
        self.control.set_through(false);
        if *shutdown.borrow() {
            session.set_keepalive(None);
        }
        let settings = HttpPersistentSettings::for_session(&session);
        let reusable = session.finish().await.ok()??;
        Some(ReusedHttpStream::from_reusable_stream(reusable, settings))
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.gateway.options)
    }
}
