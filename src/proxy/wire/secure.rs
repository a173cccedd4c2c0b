//! The TLS of a [`Control`]: how it begins, reads, and says goodbye.

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};

use rustls::Connection;
use tokio::io::{Interest, ReadBuf};
use tokio::net::TcpStream;

use super::cipher::{Cipher, invalid};
use super::{Control, HOLD, Pile, receive};
use crate::tls::Spoken;

thread_local! {
    /// Where records are read to: they seldom stay there, so that an idle connection keeps no buffer.
    static LANDING: RefCell<Vec<u8>> = RefCell::new(vec![0; 2 * HOLD]);
}

impl Control {
    /// A connection that will speak TLS, once it has [shaken hands](Self::shake_hands).
    pub(in crate::proxy) fn secure(socket: TcpStream, session: impl Into<Connection>) -> Arc<Self> {
        Self::with(socket, Some(Box::new(Cipher::new(session.into()))))
    }

    /// Whether it speaks TLS.
    pub(in crate::proxy) fn is_secure(&self) -> bool {
        self.secure
    }

    /// Shakes hands, and gives what is spoken from here on. Can be cancelled, and begun again.
    ///
    /// # Errors
    /// When the connection breaks or the two do not come together; the peer has then been told why.
    pub(in crate::proxy) async fn shake_hands(&self) -> io::Result<Spoken> {
        loop {
            self.nudge()?;
            if self.is_holding() {
                self.drain().await?;
                continue;
            }
            if !self.on_cipher(|cipher| cipher.is_handshaking()) {
                break;
            }
            self.socket.readable().await?;
            match self.fetch() {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error),
                _ => {}
            }
        }
        let spoken = self.on_cipher(|cipher| Spoken::agreed(cipher.alpn()));
        self.framed.store(spoken == Spoken::Http2, Relaxed);
        Ok(spoken)
    }

    /// Waits for the first plain bytes after the handshake; nothing is taken.
    ///
    /// # Errors
    /// When the peer leaves without a word.
    pub(in crate::proxy) async fn heard(&self) -> io::Result<()> {
        while self.on_cipher(Cipher::is_quiet) {
            self.socket.readable().await?;
            match self.fetch() {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// The peer has not even begun to shake hands.
    pub(in crate::proxy) fn is_untouched(&self) -> bool {
        !self.on_cipher(|cipher| cipher.has_heard()) && self.is_quiet(true)
    }

    /// Asks the cipher, which must be there.
    fn on_cipher<T: Default>(&self, ask: impl FnOnce(&mut Cipher) -> T) -> T {
        self.pile().cipher.as_deref_mut().map(ask).unwrap_or_default()
    }

    pub(super) fn poll_read_secure(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let before = buf.filled().len();
            let read = match self.pile().cipher.as_deref_mut() {
                Some(cipher) => cipher.read(buf),
                None => Ok(()),
            };
            match read {
                Ok(()) => {
                    self.received.fetch_add((buf.filled().len() - before) as u64, Relaxed);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
            ready!(self.socket.poll_read_ready(cx))?;
            match self.fetch() {
                Err(error) if error.kind() != ErrorKind::WouldBlock => return Poll::Ready(Err(error)),
                _ => {}
            }
        }
    }

    /// Moves what the socket has into the cipher: how many bytes, 0 at the end.
    pub(super) fn fetch(&self) -> io::Result<usize> {
        LANDING.with_borrow_mut(|landing| {
            let n = self.socket.try_read(landing)?;
            if 0 < n && n < landing.len() {
                // A short read has emptied the socket: saying so spares the next read a system call.
                let _ = self.socket.try_io(Interest::READABLE, || Err::<(), _>(ErrorKind::WouldBlock.into()));
            }
            self.feed(&landing[..n])?;
            Ok(n)
        })
    }

    fn feed(&self, records: &[u8]) -> io::Result<()> {
        let pile = &mut *self.pile();
        let Pile { out, cipher: Some(cipher) } = pile else { return Ok(()) };
        if records.is_empty() {
            cipher.end();
            return Ok(());
        }
        let fed = cipher.feed(records);
        // Answers to the peer's TLS, and what is wrong with it, do not wait for us to have something to say.
        let before = out.len();
        let _ = cipher.seal(&[], out);
        if out.len() > before {
            let _ = self.send(out);
        }
        fed.map_err(invalid)
    }

    /// As [`fetch`](Self::fetch), whatever the runtime has been told.
    fn fetch_certainly(&self) -> io::Result<usize> {
        LANDING.with_borrow_mut(|landing| {
            let n = receive(self.socket.as_raw_fd(), landing, 0)?;
            self.feed(&landing[..n])?;
            Ok(n)
        })
    }

    /// Whether an idle connection still stands as it was left. What only concerns TLS, such as a ticket for the next
    /// handshake, is taken note of and does not count.
    pub(super) fn is_quiet_secure(&self, certainly: bool) -> bool {
        loop {
            if !self.on_cipher(Cipher::is_quiet) {
                return false;
            }
            match if certainly { self.fetch_certainly() } else { self.fetch() } {
                Ok(0) => return false,
                Ok(_) => {}
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
        }
    }

    /// Says goodbye, unless bytes wait that it would have to overtake.
    pub(super) fn farewell(&self) {
        let pile = &mut *self.pile();
        let Pile { out, cipher: Some(cipher) } = pile else { return };
        if out.is_empty() && cipher.waiting() == 0 && !cipher.is_handshaking() && cipher.farewell(out).is_ok() {
            let _ = self.send(out);
        }
    }

    /// HTTP/2's way of writing, sealed: as much as is asked, once there is room.
    pub(super) fn poll_send_secure(&self, cx: &mut Context<'_>, slices: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        while self.is_full() {
            self.nudge()?;
            if self.is_full() {
                ready!(self.socket.poll_write_ready(cx))?;
            }
        }
        let taken = slices.iter().try_fold(0, |sum, slice| self.put(slice).map(|()| sum + slice.len()));
        Poll::Ready(taken)
    }

    /// Sends all that waits.
    pub(super) fn poll_flush_secure(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            self.nudge()?;
            if !self.is_holding() {
                return Poll::Ready(Ok(()));
            }
            ready!(self.socket.poll_write_ready(cx))?;
        }
    }
}
