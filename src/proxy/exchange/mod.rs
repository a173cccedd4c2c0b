//! The duplex loop: a request goes up, a response comes down, and body faults are lines in between.
//!
//! One biased `select!` an event. Its branches only listen: everything that is said, to either side, is taken at
//! once and leaves by itself ([`Outlet`](super::outlet::Outlet)), so no direction ever waits for the other. What
//! holds a fast sender back is that nobody listens to it while the other side is full.

mod request;
mod response;

use pingora::Error as PingoraError;
use pingora::protocols::http::HttpTask;

use super::client::{Client, Inlet, Said, Want};
use super::drip::Drip;
use super::frames::Broken;
use super::gateway::Gateway;
use super::headers::Audience;
use super::link::{self, Link, Source};
use super::visit::{End, Visit};
use super::watchdog::Watchdog;
use crate::clock::{self, Instant};
use crate::faults::CloseHow;
use crate::telemetry::events::{ExchangeOutcome, Trouble};

/// What came of an attempt on one upstream connection.
pub(super) enum Exchanged {
    /// The upstream has certainly not processed the request, or it may be repeated: try a fresh connection.
    Stale,
    /// It failed, and nothing has been sent to the client yet.
    Failed(Trouble),
    /// The exchange is over.
    Ended(End),
}

/// What a step of the loop leads to.
enum Step {
    GoOn,
    Done(Exchanged),
}

impl Step {
    fn ended(end: End) -> Self {
        Self::Done(Exchanged::Ended(end))
    }
}

/// One event of the loop.
enum Event {
    Upstream(pingora::Result<HttpTask>),
    /// The next piece of a shaped body is due.
    Due,
    /// The rule that shapes the body is released.
    Released,
    Client(Said),
    /// The client takes what it is sent, or no longer does.
    ClientMoved(Result<(), Broken>),
    /// The upstream takes what it is sent, or no longer does.
    UpstreamMoved(Result<(), Broken>),
    /// Nobody said anything for too long.
    Silence,
}

/// One attempt.
struct Exchange<'a> {
    gateway: &'a Gateway,
    client: &'a mut Client,
    visit: &'a mut Visit,
    link: &'a mut Link,
    audience: Audience,
    drip: Drip,
    /// When the piece that waits in the drip is due; `None`: at once.
    due: Option<Instant>,
    /// All of the client's body has been read.
    request_done: bool,
    /// The upstream takes what it is sent.
    forwarding: bool,
    /// Something of the client's body has been taken from it: it cannot be sent again.
    body_taken: bool,
    head_sent: bool,
    response_done: bool,
    /// Both sides have become plain bytes.
    upgraded: bool,
    /// The last time anybody said or took anything.
    heard: Instant,
    sent_at: Instant,
    watchdog: Watchdog,
}

/// Sends the request up and the response down, on this link.
pub(super) async fn run(gateway: &Gateway, client: &mut Client, visit: &mut Visit, mut link: Link) -> Exchanged {
    let now = clock::now();
    let audience = Audience::of(client.request());
    let request_done = client.is_request_done();
    let watchdog = client.control().borrow_watchdog();
    let mut exchange = Exchange {
        gateway,
        client,
        visit,
        link: &mut link,
        audience,
        drip: Drip::default(),
        due: None,
        request_done,
        forwarding: true,
        body_taken: false,
        head_sent: false,
        response_done: false,
        upgraded: false,
        heard: now,
        sent_at: now,
        watchdog,
    };
    let exchanged = exchange.run().await;
    exchange.client.control().return_watchdog(exchange.watchdog);
    let complete = exchange.response_done && exchange.request_done;
    let clean = complete && exchange.forwarding && !exchange.upgraded;
    gateway.pool().put_back(link, clean).await;
    exchanged
}

impl Exchange<'_> {
    async fn run(&mut self) -> Exchanged {
        if let Step::Done(exchanged) = self.send_request_head().await {
            return exchanged;
        }
        loop {
            let step = match self.next_event().await {
                Event::Upstream(Ok(task)) => self.on_task(task).await,
                Event::Upstream(Err(error)) => self.on_upstream_error(&error).await,
                Event::Due => self.on_due().await,
                Event::Released => self.on_release(),
                Event::Client(said) => self.on_client(said).await,
                Event::ClientMoved(moved) => self.on_client_moved(moved),
                Event::UpstreamMoved(moved) => self.on_upstream_moved(moved),
                Event::Silence => self.on_silence().await,
            };
            match step {
                Step::Done(exchanged) => return exchanged,
                Step::GoOn if !self.is_over() => {}
                Step::GoOn if self.upgraded => return self.end_tunnel().await,
                Step::GoOn => return Exchanged::Ended(End::Complete),
            }
        }
    }

    /// The response is out, and the upstream has all that it will get of the request; of a tunnel, that the upstream
    /// has ended it.
    fn is_over(&self) -> bool {
        let request_out = self.upgraded || !self.forwarding || (self.request_done && !self.link.is_holding());
        self.response_done && !self.drip.is_waiting() && !self.client.is_holding() && request_out
    }

    /// The upstream has not taken all it was sent.
    fn upstream_is_stuck(&self) -> bool {
        self.forwarding && self.link.is_holding()
    }

    async fn next_event(&mut self) -> Event {
        let (deadline, timed) = (self.deadline(), self.is_timed());
        let waiting = self.drip.is_waiting();
        let client_full = self.client.is_full();
        let want = match self.request_done || (self.forwarding && self.link.is_full()) {
            true => Want::Presence,
            false => Want::Body,
        };
        let throttle = self.drip.rate().filter(|_| waiting).map(|source| self.visit.plan.released(source.hit));
        let throttled = throttle.is_some();
        let (client_in, client_out) = self.client.ears(want);
        let (upstream_in, upstream_out) = self.link.ears();
        let listening = !self.response_done && !waiting && !client_full;
        tokio::select! {
            biased;
            () = pause_until(self.due), if waiting && !client_full => Event::Due,
            () = async move { if let Some(released) = throttle { released.await } }, if throttled => Event::Released,
            event = voices(upstream_in, listening, client_in) => event,
            // Polled last, so that what comes together leaves together.
            moved = client_out.moved() => Event::ClientMoved(moved),
            moved = upstream_out.moved(), if self.forwarding => Event::UpstreamMoved(moved),
            () = self.watchdog.bark(deadline), if timed => Event::Silence,
        }
    }

    /// Until when somebody must have said or taken something.
    fn deadline(&self) -> Instant {
        let timeouts = self.gateway.pool().upstream().timeouts();
        let is_stuck = self.client.is_holding() || self.upstream_is_stuck();
        self.heard + if is_stuck { timeouts.write } else { timeouts.read }
    }

    /// Whether silence is somebody's fault: not while a fault holds the body back, nor in a tunnel.
    fn is_timed(&self) -> bool {
        let is_stuck = self.client.is_holding() || self.upstream_is_stuck();
        is_stuck || !(self.drip.is_waiting() || self.upgraded)
    }

    /// Nobody said or took anything for too long: whose turn was it?
    async fn on_silence(&mut self) -> Step {
        let client_owes = self.client.is_holding() || (self.response_done && !self.upstream_is_stuck());
        if client_owes || self.awaits_client_body() {
            return Step::ended(self.visit.departs());
        }
        self.fail(Trouble::UpstreamTimeout).await
    }

    /// The upstream can say nothing yet, because the client has not said all.
    fn awaits_client_body(&mut self) -> bool {
        let upstream_waits = self.forwarding && !self.link.is_holding();
        !self.head_sent && !self.request_done && upstream_waits && !self.client.awaits_continue()
    }

    async fn on_upstream_error(&mut self, error: &PingoraError) -> Step {
        if self.upgraded {
            return Step::Done(self.end_tunnel().await);
        }
        if !self.head_sent && !self.body_taken && self.may_try_again(error) {
            return Step::Done(Exchanged::Stale);
        }
        self.fail(link::trouble(error)).await
    }

    /// Sending the request again is safe: the upstream says that it did not process it, or a connection that had
    /// been idle was lost without a word and the method may be repeated (RFC 9110 section 9.2.2).
    fn may_try_again(&self, error: &PingoraError) -> bool {
        let lost = self.link.may_be_stale() && link::is_lost(error);
        link::is_unprocessed(error) || (lost && self.client.request().method.is_idempotent())
    }

    /// The upstream failed: an answer that says so, or the end of the one that has begun.
    async fn fail(&mut self, trouble: Trouble) -> Step {
        if !self.head_sent {
            return Step::Done(Exchanged::Failed(trouble));
        }
        self.visit.outcome = ExchangeOutcome::UpstreamError;
        self.visit.trouble = Some(trouble);
        self.close(CloseHow::Close).await
    }

    /// Ends the exchange in the middle.
    async fn close(&mut self, how: CloseHow) -> Step {
        self.client.close(how, self.gateway.patience()).await;
        Step::ended(End::Closed)
    }
}

/// Whichever side speaks first; by turns when both do, so that a bulk in one direction leaves room for the other.
async fn voices(upstream: Source<'_>, listening: bool, client: Inlet<'_>) -> Event {
    tokio::select! {
        task = upstream.heard(), if listening => Event::Upstream(task),
        said = client.heard() => Event::Client(said),
    }
}

async fn pause_until(due: Option<Instant>) {
    if let Some(due) = due {
        clock::sleep_until(due).await;
    }
}
