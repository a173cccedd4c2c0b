//! A new connection to an upstream: TCP, TLS if it is to be, and what both sides agreed to speak.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{AlertDescription, ClientConnection};
use tokio::net::TcpStream;

use super::upstream::{Target, Upstream};
use super::wire::{Control, tls_reason};
use crate::config::Scheme;
use crate::telemetry::events::Trouble;
use crate::tls::{ClientTls, Offer, Spoken};

/// Why a dial failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Undialled {
    /// Whatever it is called.
    Trouble(Trouble),
    /// It speaks nothing of what was offered, and may speak the other.
    OtherProtocol,
}

/// Dials; with TLS, offers this to be spoken.
pub(super) async fn dial(
    upstream: &Upstream,
    target: &Target,
    offer: Offer,
) -> Result<(Arc<Control>, Spoken), Undialled> {
    let socket = TcpStream::connect(target.address).await.map_err(|_| Undialled::Trouble(Trouble::UpstreamRefused))?;
    match (upstream.scheme(), upstream.tls()) {
        // The configuration gives no HTTP proxy a TCP upstream.
        (Scheme::Http | Scheme::Tcp, _) => Ok((Control::new(socket), Spoken::Http1)),
        (Scheme::H2c, _) => {
            let control = Control::new(socket);
            control.frame();
            Ok((control, Spoken::Http2))
        }
        (Scheme::Https, Some(tls)) => secure(upstream, &tls, target, socket, offer).await,
        (Scheme::Https, None) => Err(Undialled::Trouble(Trouble::UpstreamTls)),
    }
}

async fn secure(
    upstream: &Upstream,
    tls: &ClientTls,
    target: &Target,
    socket: TcpStream,
    offer: Offer,
) -> Result<(Arc<Control>, Spoken), Undialled> {
    let failed = |error: String| {
        upstream.complain(target.address, Some(error));
        Undialled::Trouble(Trouble::UpstreamTls)
    };
    let name = asked_for(tls, target);
    let session = ClientConnection::new(tls.config(offer), name).map_err(|error| failed(error.to_string()))?;
    let control = Control::secure(socket, session);
    match control.shake_hands().await {
        Ok(Spoken::Http1) if offer == Offer::Http2 => Err(Undialled::OtherProtocol),
        Ok(spoken) => {
            upstream.complain(target.address, None);
            Ok((control, spoken))
        }
        Err(error) if is_refused_protocol(&error) && offer != Offer::Either => Err(Undialled::OtherProtocol),
        Err(error) => Err(failed(error.to_string())),
    }
}

/// The name that the upstream is asked for, and that its certificate must be for.
fn asked_for(tls: &ClientTls, target: &Target) -> ServerName<'static> {
    let host = tls.server_name().or(target.host.as_ref()).cloned();
    host.unwrap_or_else(|| ServerName::from(SocketAddr::ip(&target.address)))
}

fn is_refused_protocol(error: &io::Error) -> bool {
    matches!(tls_reason(error), Some(rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol)))
}
