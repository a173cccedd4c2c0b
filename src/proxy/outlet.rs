//! Where bytes leave, whatever the protocol.

use super::frames::{Broken, Frames};
use super::wire::Control;

/// One direction's way out. Feeding it is the business of its side; here is what both sides wait for.
pub(super) enum Outlet<'a> {
    /// HTTP/1: the buffer in front of the socket.
    Wire(&'a Control),
    /// HTTP/2: the stream's window.
    Frames(&'a mut Frames),
    /// HTTP/2, while there is nothing to send yet or any more.
    None,
}

impl Outlet<'_> {
    /// Resolves with every bit of progress, and when the other end stops listening. With nothing to send it waits
    /// for the latter, as far as the protocol says it. Can be cancelled.
    pub(super) async fn moved(self) -> Result<(), Broken> {
        match self {
            Self::Wire(control) if control.is_holding() => control.drain().await.map_err(|_| Broken),
            Self::Frames(frames) => frames.drain().await,
            Self::Wire(_) | Self::None => std::future::pending().await,
        }
    }
}
