//! Effects become acts: waits that can be released, hangs, answers, closes.

use std::time::Duration;

use pingora::protocols::http::ServerSession;

use super::answer::{self, client_stream};
use super::gateway::Connection;
use super::visit::{End, Visit};
use crate::clock;
use crate::faults::compose::Asked;
use crate::faults::{Answer, HangEnd, Terminal};
use crate::telemetry::events::ExchangeOutcome;

/// How a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waited {
    Elapsed,
    Released,
    ClientGone,
}

/// Whether the exchange goes on after its faults.
pub(super) enum Next {
    /// As if there had been no fault.
    Proceed,
    /// A fault, or the client, ended it.
    Ended(End),
}

/// Suffers the delays one after another, then the first terminal effect whose rule is not released.
pub(super) async fn suffer(
    connection: &Connection,
    session: &mut ServerSession,
    visit: &mut Visit,
    delays: &Asked<Duration>,
    terminals: &Asked<Terminal>,
) -> Next {
    for (source, delay) in delays {
        if visit.plan.is_released(source.hit) {
            continue;
        }
        visit.acts(*source);
        if wait(connection, session, visit, source.hit, Some(*delay)).await == Waited::ClientGone {
            return Next::Ended(visit.departs());
        }
    }
    for (source, terminal) in terminals {
        if visit.plan.is_released(source.hit) {
            continue;
        }
        visit.acts(*source);
        match terminal {
            Terminal::Answer(answer) => {
                let marked = connection.gateway().marks();
                return Next::Ended(answer::send(session, visit, answer, marked).await);
            }
            Terminal::Close(how) => {
                visit.outcome = ExchangeOutcome::Injected;
                return Next::Ended(answer::close(session, connection.control(), *how).await);
            }
            Terminal::Hang { wait: time, then } => match wait(connection, session, visit, source.hit, *time).await {
                Waited::ClientGone => return Next::Ended(visit.departs()),
                Waited::Elapsed => return Next::Ended(end_hang(connection, session, visit, *then).await),
                Waited::Released => {}
            },
        }
    }
    Next::Proceed
}

async fn end_hang(connection: &Connection, session: &mut ServerSession, visit: &mut Visit, then: HangEnd) -> End {
    visit.outcome = ExchangeOutcome::Injected;
    match then {
        HangEnd::Close(how) => answer::close(session, connection.control(), how).await,
        HangEnd::GatewayTimeout => {
            let answer = Answer {
                status: http::StatusCode::GATEWAY_TIMEOUT,
                headers: http::HeaderMap::new(),
                body: bytes::Bytes::new(),
            };
            answer::send(session, visit, &answer, connection.gateway().marks()).await
        }
    }
}

/// The one wait of all faults: until the time is over (`None`: never), the hit's rule is released or the client leaves.
async fn wait(
    connection: &Connection,
    session: &mut ServerSession,
    visit: &mut Visit,
    hit: usize,
    time: Option<Duration>,
) -> Waited {
    let started = clock::now();
    let elapsed = async {
        match time {
            Some(time) => clock::sleep_until(started + time).await,
            None => std::future::pending().await,
        }
    };
    let waited = tokio::select! {
        biased;
        () = elapsed => Waited::Elapsed,
        () = visit.plan.released(hit) => Waited::Released,
        () = client_gone(connection, session) => Waited::ClientGone,
    };
    visit.injected += clock::now() - started;
    waited
}

/// Resolves when the client has left; nothing of what it sent is read.
pub(super) async fn client_gone(connection: &Connection, session: &mut ServerSession) {
    if let Some(idle) = session.watch_h2_stream_close() {
        let _ = idle.await;
        return;
    }
    match client_stream(session) {
        Some(stream) => stream.gone(connection.gateway().waits_on_half_close()).await,
        None => std::future::pending().await,
    }
}
