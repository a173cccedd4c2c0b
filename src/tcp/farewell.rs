//! Ends of connections that look to the peer as they should.

use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;

use crate::clock;
use crate::faults::CloseHow;

/// How long unread bytes of a peer are swallowed after our FIN, so that the kernel does not make it a RST.
const LINGER: Duration = Duration::from_millis(500);
/// How long a RST waits for bytes already written to arrive: it would overtake them.
const RESET_WAIT: Duration = Duration::from_millis(100);

/// Ends a connection as asked.
pub(super) async fn end(socket: TcpStream, how: CloseHow) {
    match how {
        CloseHow::Close | CloseHow::HalfClose | CloseHow::ConnectionClose => close(&socket).await,
        CloseHow::Reset | CloseHow::StreamReset(_) | CloseHow::ConnectionReset => reset(&socket).await,
    }
}

/// A FIN that stays one: says goodbye, then swallows what the peer still sends, for a while.
async fn close(socket: &TcpStream) {
    let _ = SockRef::from(socket).shutdown(std::net::Shutdown::Write);
    let swallow = async {
        let mut sink = vec![0; 8192];
        while socket.readable().await.is_ok() {
            match socket.try_read(&mut sink) {
                Ok(0) => break,
                Err(error) if error.kind() != ErrorKind::WouldBlock => break,
                _ => {}
            }
        }
    };
    tokio::select! {
        () = swallow => {}
        () = clock::sleep(LINGER) => {}
    }
}

/// Makes the close that follows a RST, once what was written has arrived.
async fn reset(socket: &TcpStream) {
    let deadline = clock::now() + RESET_WAIT;
    while unacknowledged(socket).is_ok_and(|bytes| bytes > 0) && clock::now() < deadline {
        clock::sleep(Duration::from_millis(1)).await;
    }
    let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
}

/// Bytes that the peer's kernel has not acknowledged yet.
fn unacknowledged(socket: &TcpStream) -> io::Result<usize> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the pointer is valid for the call, and the descriptor is open.
    let answer = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if answer == 0 { Ok(usize::try_from(bytes).unwrap_or(0)) } else { Err(io::Error::last_os_error()) }
}
