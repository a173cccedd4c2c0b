//! The duplex loop: a request goes up, a response comes down, and body faults are lines in between.
//!
//! One biased `select!` an event. Its branches only listen: everything that is said, to either side, is taken at
//! once and leaves by itself ([`Outlet`](super::outlet::Outlet)), so no direction ever waits for the other. What
//! holds a fast sender back is that nobody listens to it while the other side is full.

mod flow;
mod request;
mod response;
mod rewrite;
mod talk;

use std::pin::Pin;
use std::task::Poll;

use pingora::Error as PingoraError;
use pingora::protocols::http::HttpTask;

use super::client::{Client, Inlet, Said, Want};
use super::drip::Due;
use super::enforce;
use super::frames::Broken;
use super::gateway::Gateway;
use super::headers::Audience;
use super::link::{self, Link, Source};
use super::visit::{End, Visit};
use super::watchdog::Watchdog;
use crate::clock::{self, Instant};
use crate::faults::compose::Source as Who;
use crate::faults::{CloseHow, Side};
use crate::telemetry::events::{ExchangeOutcome, Trouble};
use flow::{Flow, reached};
use response::Course;
use rewrite::Held;
use talk::Talk;

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
    /// Something that faults ask for is due.
    Due(Deed),
    /// A rule that holds something back is released.
    Released,
    Client(Said),
    /// The client takes what it is sent, or no longer does.
    ClientMoved(Result<(), Broken>),
    /// The upstream takes what it is sent, or no longer does.
    UpstreamMoved(Result<(), Broken>),
    /// Nobody said anything for too long.
    Silence,
}

/// What is due at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    /// The next piece of the response's body.
    Down,
    /// The next piece of the request's body.
    Up,
    /// The end of the response, whatever has been sent of it.
    End,
    /// The next message of a WebSocket, in either direction.
    TalkDown,
    TalkUp,
}

const NO_DEED: (Due, Deed) = (Due::Never, Deed::End);

/// One attempt.
struct Exchange<'a> {
    gateway: &'a Gateway,
    client: &'a mut Client,
    visit: &'a mut Visit,
    link: &'a mut Link,
    audience: Audience,
    /// The response's body on its way through its faults.
    down: Flow,
    /// The request's.
    up: Flow,
    /// What else befalls the response, once its head has come.
    course: Option<Box<Course>>,
    /// A response that is held back until all of it is known.
    held: Option<Box<Held>>,
    /// A WebSocket whose messages faults look at.
    talk: Option<Box<Talk>>,
    /// The rest of the upstream's response is of no interest: its connection cannot be used again.
    abandoned: bool,
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
    let up = request::flow(visit, request_done);
    let watchdog = client.control().borrow_watchdog();
    let mut exchange = Exchange {
        gateway,
        client,
        visit,
        link: &mut link,
        audience,
        down: Flow::default(),
        up,
        course: None,
        held: None,
        talk: None,
        abandoned: false,
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
    let clean = complete && exchange.forwarding && !exchange.upgraded && !exchange.abandoned;
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
                Event::Due(Deed::Down) => self.on_due().await,
                Event::Due(Deed::Up) => self.on_upload_due().await,
                Event::Due(Deed::End) => self.on_deadline().await,
                Event::Due(deed @ (Deed::TalkDown | Deed::TalkUp)) => self.on_talk_due(deed).await,
                Event::Released => self.on_release().await,
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
        let up_out = self.request_done && !self.up.is_waiting() && !self.link.is_holding();
        let request_out = self.upgraded || !self.forwarding || up_out;
        let down_out = !self.down.is_waiting() && self.held.is_none() && !self.client.is_holding();
        self.response_done && down_out && request_out
    }

    /// The upstream has not taken all it was sent.
    fn upstream_is_stuck(&self) -> bool {
        self.forwarding && self.link.is_holding()
    }

    async fn next_event(&mut self) -> Event {
        let (deadline, timed) = (self.deadline(), self.is_timed());
        let waiting = self.down.is_waiting();
        let client_full = self.client.is_full();
        let is_full = |side| self.talk.as_ref().is_some_and(|talk| talk.is_full(side));
        let (talk_up_full, talk_down_full) = (is_full(Side::Request), is_full(Side::Response));
        let up_full = talk_up_full || (self.forwarding && (self.link.is_full() || self.up.is_waiting()));
        let want = if self.request_done || up_full { Want::Presence } else { Want::Body };
        let (due, deed) = self.next_deed(client_full);
        let holders = self.holders().map(|hit| hit.map(|hit| Box::pin(self.visit.plan.released(hit))));
        let holds = holders.iter().any(Option::is_some);
        let (client_in, client_out) = self.client.ears(want);
        let (upstream_in, upstream_out) = self.link.ears();
        let listening = !self.response_done && !waiting && !client_full && !talk_down_full;
        tokio::select! {
            biased;
            () = reached(due), if due != Due::Never => Event::Due(deed),
            () = any(holders), if holds => Event::Released,
            event = voices(upstream_in, listening, client_in) => event,
            // Polled last, so that what comes together leaves together.
            moved = client_out.moved() => Event::ClientMoved(moved),
            moved = upstream_out.moved(), if self.forwarding => Event::UpstreamMoved(moved),
            () = self.watchdog.bark(deadline), if timed => Event::Silence,
        }
    }

    /// What is due first of what there is room for.
    fn next_deed(&self, client_full: bool) -> (Due, Deed) {
        let end = self.down.deadline().map_or(Due::Never, |(at, ..)| Due::At(at));
        let down = if self.down.is_waiting() && !client_full { self.down.due() } else { Due::Never };
        let up = if self.up.is_waiting() && !self.link.is_full() { self.up.due() } else { Due::Never };
        let mut deeds = [(end, Deed::End), (down, Deed::Down), (up, Deed::Up), NO_DEED, NO_DEED];
        if let Some(talk) = &self.talk {
            if !self.down.is_waiting() && !client_full {
                deeds[3] = (talk.due(Side::Response), Deed::TalkDown);
            }
            if !self.up.is_waiting() && !self.link.is_full() {
                deeds[4] = (talk.due(Side::Request), Deed::TalkUp);
            }
        }
        let sooner = |a: (Due, Deed), b: (Due, Deed)| if b.0 < a.0 { b } else { a };
        deeds.into_iter().reduce(sooner).unwrap_or(NO_DEED)
    }

    /// Whose hits hold something back, in each direction and in a WebSocket.
    fn holders(&self) -> [Option<usize>; 3] {
        let held = self.held.as_ref().map(|held| held.holder());
        let talk = self.talk.as_ref().and_then(|talk| talk.holder());
        [self.down.holder().or(held), self.up.holder(), talk]
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
        is_stuck || !(self.down.is_waiting() || self.up.is_waiting() || self.upgraded)
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

    /// Ends the exchange in the middle because a fault says so.
    async fn cut(&mut self, source: Who, how: CloseHow) -> Step {
        self.visit.plan.acted(source);
        Step::ended(enforce::close(self.gateway, self.client, self.visit, source.hit, how).await)
    }
}

/// Whichever side speaks first; by turns when both do, so that a bulk in one direction leaves room for the other.
async fn voices(upstream: Source<'_>, listening: bool, client: Inlet<'_>) -> Event {
    tokio::select! {
        task = upstream.heard(), if listening => Event::Upstream(task),
        said = client.heard() => Event::Client(said),
    }
}

/// Whichever comes first of those that there are.
async fn any<F: Future<Output = ()> + Unpin>(mut futures: [Option<F>; 3]) {
    std::future::poll_fn(|cx| {
        let is_over = futures.iter_mut().flatten().any(|future| Pin::new(future).poll(cx).is_ready());
        if is_over { Poll::Ready(()) } else { Poll::Pending }
    })
    .await
}
