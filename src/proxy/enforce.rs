//! Effects become acts: waits that can be released, hangs, answers, closes.

use std::time::Duration;

use super::answer;
use super::client::Client;
use super::gateway::Gateway;
use super::visit::{End, Visit};
use crate::clock;
use crate::faults::compose::Asked;
use crate::faults::{Answer, CloseHow, HangEnd, Terminal};
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
        if visit.plan.is_released(source.hit) || !means_anything(terminal, client) {
            continue;
        }
        visit.acts(*source);
        if let Next::Ended(end) = end(gateway, client, visit, source.hit, terminal).await {
            return Next::Ended(end);
        }
    }
    Next::Proceed
}

/// Whether there is such a thing in the client's protocol; else the fault is skipped.
fn means_anything(terminal: &Terminal, client: &Client) -> bool {
    match terminal {
        Terminal::Close(how) => client.is_h2() || how.is_for_http1(),
        Terminal::Raw { h2, .. } => !client.is_h2() || h2.is_some(),
        Terminal::Answer(_) | Terminal::Hang { .. } => true,
    }
}

/// Brings about the end that was asked for; a released hang is none.
async fn end(gateway: &Gateway, client: &mut Client, visit: &mut Visit, hit: usize, terminal: &Terminal) -> Next {
    Next::Ended(match terminal {
        Terminal::Answer(answer) => answer::send(gateway, client, visit, answer).await,
        Terminal::Close(how) => close(gateway, client, visit, hit, *how).await,
        Terminal::Hang { wait: time, then } => match wait(client, visit, hit, *time).await {
            Waited::ClientGone => visit.departs(),
            Waited::Released => return Next::Proceed,
            Waited::Elapsed => match then {
                HangEnd::Close(how) => close(gateway, client, visit, hit, *how).await,
                HangEnd::GatewayTimeout => answer::send(gateway, client, visit, &gateway_timeout()).await,
            },
        },
        Terminal::Raw { bytes, h2 } => match h2.filter(|_| client.is_h2()) {
            Some(code) => close(gateway, client, visit, hit, CloseHow::StreamReset(code)).await,
            None => {
                let _ = client.send_raw(bytes);
                close(gateway, client, visit, hit, CloseHow::Close).await
            }
        },
    })
}

/// Ends the exchange as a fault asked. Half a close lasts until the client leaves or the fault is released.
pub(super) async fn close(gateway: &Gateway, client: &mut Client, visit: &mut Visit, hit: usize, how: CloseHow) -> End {
    visit.outcome = ExchangeOutcome::Injected;
    client.close(how, gateway.patience()).await;
    if how == CloseHow::HalfClose && !client.is_h2() {
        tokio::select! {
            () = client.fall_silent() => {}
            () = visit.plan.released(hit) => {}
        }
    }
    End::Closed
}

fn gateway_timeout() -> Answer {
    Answer {
        status: http::StatusCode::GATEWAY_TIMEOUT,
        headers: http::HeaderMap::new(),
        body: bytes::Bytes::new(),
        template: None,
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
