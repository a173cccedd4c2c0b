//! Effects become acts: waits that can be released, hangs, answers, closes.

use std::time::Duration;

use super::answer;
use super::client::Client;
use super::gateway::Gateway;
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
    gateway: &Gateway,
    client: &mut Client,
    visit: &mut Visit,
    delays: &Asked<Duration>,
    terminals: &Asked<Terminal>,
) -> Next {
    for (source, delay) in delays {
        if visit.plan.is_released(source.hit) {
            continue;
        }
        visit.acts(*source);
        if wait(client, visit, source.hit, Some(*delay)).await == Waited::ClientGone {
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
                return Next::Ended(answer::send(gateway, client, visit, answer).await);
            }
            Terminal::Close(how) => {
                visit.outcome = ExchangeOutcome::Injected;
                client.close(*how, gateway.patience()).await;
                return Next::Ended(End::Closed);
            }
            Terminal::Hang { wait: time, then } => match wait(client, visit, source.hit, *time).await {
                Waited::ClientGone => return Next::Ended(visit.departs()),
                Waited::Elapsed => return Next::Ended(end_hang(gateway, client, visit, *then).await),
                Waited::Released => {}
            },
        }
    }
    Next::Proceed
}

async fn end_hang(gateway: &Gateway, client: &mut Client, visit: &mut Visit, then: HangEnd) -> End {
    visit.outcome = ExchangeOutcome::Injected;
    match then {
        HangEnd::Close(how) => {
            client.close(how, gateway.patience()).await;
            End::Closed
        }
        HangEnd::GatewayTimeout => {
            let answer = Answer {
                status: http::StatusCode::GATEWAY_TIMEOUT,
                headers: http::HeaderMap::new(),
                body: bytes::Bytes::new(),
            };
            answer::send(gateway, client, visit, &answer).await
        }
    }
}

/// The one wait of all faults: until the time is over (`None`: never), the hit's rule is released or the client leaves.
async fn wait(client: &mut Client, visit: &mut Visit, hit: usize, time: Option<Duration>) -> Waited {
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
        () = client.gone() => Waited::ClientGone,
    };
    visit.injected += clock::now() - started;
    waited
}
