//! What is said to a client before there is a request, or instead of one.

use std::time::Duration;

use super::answer;
use super::gateway::Gateway;
use super::wire::Control;
use crate::clock;
use crate::telemetry::events::{ExchangeEvent, Trouble};

/// How long a client that is one too many may take to show what protocol it would be told so in.
const PATIENCE: Duration = Duration::from_secs(1);

/// An empty SETTINGS frame, and a GOAWAY that no stream was looked at: ENHANCE_YOUR_CALM (RFC 9113 section 6.8).
const GO_AWAY: &[u8] = b"\0\0\0\x04\0\0\0\0\0\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0b";

/// Answers what is no request on HTTP/1, and closes the connection.
pub(super) async fn reject(gateway: &Gateway, control: &Control, trouble: Trouble) {
    let _ = control.put(answer::unreadable(trouble).as_bytes());
    let _ = control.nudge();
    control.close().await;
    tell(gateway, Some(control), trouble, Some(trouble.status().as_u16()));
}

/// Tells a client that is one too many so, in its own protocol, and closes its connection. One that says nothing is
/// closed without a word.
pub(super) async fn turn_away(gateway: &Gateway, control: &Control) {
    const FULL: Trouble = Trouble::TooManyConnections;
    let h2 = tokio::select! {
        h2 = control.detect_h2(PATIENCE) => h2.ok(),
        () = clock::sleep(PATIENCE) => None,
    };
    match h2 {
        Some(false) => return reject(gateway, control, FULL).await,
        Some(true) => {
            let _ = control.put(GO_AWAY);
            let _ = control.nudge();
            control.close().await;
        }
        None => {}
    }
    tell(gateway, Some(control), FULL, None);
}

/// Tells everybody who listens that a client was refused; `status` if it was told.
pub(super) fn tell(gateway: &Gateway, control: Option<&Control>, trouble: Trouble, status: Option<u16>) {
    gateway.observer().request_received(gateway.name());
    gateway.observer().exchange(&ExchangeEvent {
        proxy: gateway.name(),
        route: "",
        method: "",
        target: "",
        status,
        outcome: trouble.outcome(),
        trouble: Some(trouble),
        duration: Duration::ZERO,
        upstream: None,
        injected: Duration::ZERO,
        trace: None,
        marks: "",
        bytes: control.map(Control::take_bytes).unwrap_or_default(),
    });
}
