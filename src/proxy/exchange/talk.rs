//! A WebSocket whose messages faults look at. Other tunnels pass unread.

use http::header::UPGRADE;
use pingora::http::ResponseHeader;

use super::{Deed, Exchange, Step};
use crate::clock;
use crate::faults::compose::{Asked, Source};
use crate::faults::{MessageEffect, MessageView, Side};
use crate::proxy::drip::Due;
use crate::proxy::messages::{Fate, Messages};
use crate::proxy::visit::Visit;
use crate::telemetry::events::ExchangeOutcome;

/// Both directions, and who is asked about their messages.
pub(super) struct Talk {
    asked: Asked<()>,
    up: Messages,
    down: Messages,
}

impl Talk {
    /// `None` if nobody asks, or if the response does not open a WebSocket.
    pub(super) fn new(asked: Asked<()>, head: &ResponseHeader) -> Option<Box<Self>> {
        let opens = head.headers.get(UPGRADE).is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket"));
        let (up, down) = (Messages::new(Side::Request), Messages::new(Side::Response));
        (opens && !asked.is_empty()).then(|| Box::new(Self { asked, up, down }))
    }

    /// Who is asked, for the marks on the head.
    pub(super) fn sources(&self) -> impl Iterator<Item = Source> + '_ {
        self.asked.iter().map(|(source, ())| *source)
    }

    /// Whether a direction has so much on its way that no more of it should be read.
    pub(super) fn is_full(&self, side: Side) -> bool {
        self.way(side).is_full()
    }

    /// When the next bytes of a direction are due.
    pub(super) fn due(&self, side: Side) -> Due {
        self.way(side).due().map_or(Due::Never, |(due, _)| Due::At(due))
    }

    /// Whose hit delays what is next in either direction.
    pub(super) fn holder(&self) -> Option<usize> {
        [&self.down, &self.up].into_iter().find_map(|way| way.due()?.1)
    }

    fn way(&self, side: Side) -> &Messages {
        if side == Side::Request { &self.up } else { &self.down }
    }

    fn hear(&mut self, side: Side, bytes: &[u8], visit: &mut Visit) {
        let Self { asked, up, down } = self;
        let (way, other) = if side == Side::Request { (up, down) } else { (down, up) };
        let now = clock::now();
        way.take(bytes, now, |message| fate(asked, message, visit));
        if let Some(goodbye) = way.ended() {
            other.end(goodbye, now);
        }
    }

    /// A goodbye has been said and has left.
    fn is_over(&self) -> bool {
        self.down.ended().is_some() && self.down.is_empty() && self.up.is_empty()
    }
}

/// What all those who are asked do to a message. Counts who does anything.
fn fate(asked: &Asked<()>, message: &MessageView, visit: &mut Visit) -> Fate {
    let mut fate = Fate::default();
    for (source, ()) in asked {
        if visit.plan.is_released(source.hit) {
            continue;
        }
        let effect = visit.plan.message_effect(*source, message);
        if effect == MessageEffect::default() {
            continue;
        }
        visit.plan.acted(*source);
        if !effect.delay.is_zero() {
            fate.delay += effect.delay;
            fate.holder.get_or_insert(source.hit);
        }
        fate.drop |= effect.drop;
        fate.corruptions.extend(effect.corrupt);
        fate.close = fate.close.or(effect.close);
    }
    fate
}

impl Exchange<'_> {
    /// Bytes of a WebSocket that is looked at; they leave when they are due.
    pub(super) fn hear_talk(&mut self, side: Side, bytes: &[u8]) -> Step {
        if let Some(talk) = &mut self.talk {
            talk.hear(side, bytes, self.visit);
        }
        Step::GoOn
    }

    /// The next bytes of a WebSocket are due.
    pub(super) async fn on_talk_due(&mut self, deed: Deed) -> Step {
        let Some(talk) = &mut self.talk else { return Step::GoOn };
        let way = if deed == Deed::TalkUp { &mut talk.up } else { &mut talk.down };
        let Some(bytes) = way.next() else { return Step::GoOn };
        let is_over = talk.is_over();
        let step = match deed {
            Deed::TalkUp => self.say_up(bytes).await,
            _ => match self.pass(bytes, false).await {
                Step::GoOn => self.let_go(),
                done => done,
            },
        };
        match step {
            Step::GoOn if is_over => {
                self.visit.outcome = ExchangeOutcome::Injected;
                Step::Done(self.end_tunnel().await)
            }
            step => step,
        }
    }

    /// Rules that look at messages may be gone: what they delay goes at once.
    pub(super) fn release_talk(&mut self) {
        let Some(talk) = &mut self.talk else { return };
        if talk.holder().is_some_and(|hit| self.visit.plan.is_released(hit)) {
            let now = clock::now();
            talk.up.release(now);
            talk.down.release(now);
        }
    }

    /// A side has ended: what is still on its way to the other goes at once.
    pub(super) async fn flush_talk(&mut self) {
        let Some(mut talk) = self.talk.take() else { return };
        while let Some(bytes) = talk.up.next().filter(|_| self.forwarding) {
            self.forwarding = self.link.send_body(bytes).await.is_ok();
        }
        while let Some(bytes) = talk.down.next() {
            if self.client.send_body(bytes, false).await.is_err() {
                return;
            }
        }
    }
}
