//! How a client's connection begins: with a TLS handshake, or with bytes that say what they are.

use std::sync::Arc;

use pingora::server::ShutdownWatch;
use rustls::ServerConnection;
use tokio::net::TcpStream;

use super::gateway::Gateway;
use super::wire::{Control, tls_reason};
use crate::clock;
use crate::telemetry::events::HandshakeFailure;
use crate::tls::ServerTls;

/// Makes a socket a connection on which the first request may be read; `None` if it came to nothing.
pub(super) async fn open(gateway: &Gateway, socket: TcpStream, shutdown: &mut ShutdownWatch) -> Option<Arc<Control>> {
    // Loaded once a connection: a swap of certificates is for those that come later.
    let Some(tls) = gateway.tls() else {
        let control = Control::new(socket);
        return begins(gateway, &control, shutdown).await.then_some(control);
    };
    // A fault of handshakes would be chosen here: nothing has been said on the connection yet.
    let control = Control::secure(socket, ServerConnection::new(tls.config()).ok()?);
    if let Err(failure) = shake_hands(&control, &tls, shutdown).await {
        gateway.observer().handshake_failed(gateway.name(), failure);
        return None;
    }
    begins(gateway, &control, shutdown).await.then_some(control)
}

/// Shakes hands within the time for it. When the proxy stops, only a handshake that has begun is gone on with.
async fn shake_hands(control: &Control, tls: &ServerTls, shutdown: &mut ShutdownWatch) -> Result<(), HandshakeFailure> {
    let shaken = tokio::select! {
        shaken = control.shake_hands() => shaken,
        () = stopped_while_untouched(shutdown, control) => return Err(HandshakeFailure::Closed),
        () = clock::sleep(tls.handshake_timeout()) => return Err(HandshakeFailure::Timeout),
    };
    let Err(error) = shaken else { return Ok(()) };
    if tls_reason(&error).is_none() {
        return Err(HandshakeFailure::Closed);
    }
    tracing::debug!(%error, "a client's handshake failed");
    control.close().await; // with a FIN, so that the client reads what it was told
    Err(HandshakeFailure::Refused)
}

/// Waits until the first bytes of HTTP are there and it is known what they are; false if none come.
async fn begins(gateway: &Gateway, control: &Control, shutdown: &mut ShutdownWatch) -> bool {
    let first_bytes = async {
        if control.is_secure() {
            control.heard().await
        } else {
            control.detect_h2(gateway.limits().head_timeout).await.map(drop)
        }
    };
    tokio::select! {
        biased;
        first_bytes = first_bytes => first_bytes.is_ok(),
        () = stopped_while_quiet(shutdown, control) => false,
        () = clock::sleep(gateway.keepalive()) => false,
    }
}

/// Resolves when the proxy stops and nothing of a request has come so far.
pub(super) async fn stopped_while_quiet(shutdown: &mut ShutdownWatch, control: &Control) {
    let _ = shutdown.wait_for(|stop| *stop).await;
    if !control.is_quiet(true) {
        std::future::pending().await
    }
}

/// Resolves when the proxy stops and nothing of a handshake has come so far.
async fn stopped_while_untouched(shutdown: &mut ShutdownWatch, control: &Control) {
    let _ = shutdown.wait_for(|stop| *stop).await;
    if !control.is_untouched() {
        std::future::pending().await
    }
}
