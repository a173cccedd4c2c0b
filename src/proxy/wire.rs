//! One TCP connection as pingora's IO, with a write buffer that never makes its writer wait.
//!
//! A pingora session is read and written through one `&mut`, and its writes are awaited to their end: while one
//! direction is stuck the other stands still, and two peers that both write before they read would wait for each
//! other through us. So on HTTP/1 a write takes its bytes at once. What the socket does not take stays in the
//! buffer, [`Control::drain`] sends it while the exchange goes on reading, and whoever feeds a wire stops while it
//! is [full](Control::is_full). The frames of HTTP/2 belong to the task of their connection, and wait as usual.
//!
//! With TLS ([`secure`]) plain bytes wait in front of a cipher, and its records in front of the socket. What is counted
//! and compared is plain: a record that says nothing to HTTP is not heard.
//!
//! [`Wire`] is what pingora owns; [`Control`] is the same connection for whoever steers it: it drains, watches,
//! closes and resets, for which pingora has no calls.

mod cipher;
mod plumbing;
mod secure;

use std::io::{self, ErrorKind, IoSlice};
use std::net::IpAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use pingora::protocols::SocketDigest;
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use self::cipher::Cipher;
pub(super) use self::cipher::reason as tls_reason;
use super::bounds::Bounds;
use super::watchdog::Watchdog;
use crate::clock;

/// Bytes that wait for company: head and body of a small message leave in one system call, worth 8 to 10 % of
/// pass-through. With more than this a wire is full.
const HOLD: usize = 16 * 1024;
/// How long unread bytes of a peer are swallowed after our FIN, so that the kernel does not make it a RST.
const LINGER: Duration = Duration::from_millis(500);
/// How long a RST waits for bytes already written to arrive: it would overtake them.
const RESET_WAIT: Duration = Duration::from_millis(100);

/// The start of an HTTP/2 connection with prior knowledge (RFC 9113 section 3.4).
const H2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A TCP connection, as pingora's IO.
#[derive(Debug)]
pub(super) struct Wire(Arc<Control>);

/// The same connection, for whoever steers it. It closes when the wire and all its controls are dropped.
#[derive(Debug)]
pub(super) struct Control {
    socket: TcpStream,
    pile: Mutex<Pile>,
    secure: bool,
    /// The end is to be a RST: nothing may be said any more.
    doomed: AtomicBool,
    /// HTTP/2: writes go straight to the socket and wait for it.
    framed: AtomicBool,
    severed: Notify,
    received: AtomicU64,
    sent: AtomicU64,
    /// What of `received` and `sent` has been told.
    told: (AtomicU64, AtomicU64),
    /// How much is listened to.
    bounds: Bounds,
    digest: Arc<SocketDigest>,
    /// Whose address the other end has.
    peer: Option<IpAddr>,
    watchdog: Mutex<Watchdog>,
}

/// What is on its way out.
#[derive(Debug)]
struct Pile {
    /// Bytes that the socket has not taken yet.
    out: BytesMut,
    /// With TLS: where they come from.
    cipher: Option<Box<Cipher>>,
}

impl Pile {
    fn len(&self) -> usize {
        self.out.len() + self.cipher.as_ref().map_or(0, |cipher| cipher.waiting())
    }
}

impl Control {
    /// A connection that speaks as it is.
    pub(super) fn new(socket: TcpStream) -> Arc<Self> {
        Self::with(socket, None)
    }

    fn with(socket: TcpStream, cipher: Option<Box<Cipher>>) -> Arc<Self> {
        let _ = socket.set_nodelay(true);
        Arc::new(Self {
            digest: Arc::new(SocketDigest::from_raw_fd(socket.as_raw_fd())),
            peer: socket.peer_addr().ok().map(|address| address.ip().to_canonical()),
            socket,
            secure: cipher.is_some(),
            pile: Mutex::new(Pile { out: BytesMut::new(), cipher }),
            doomed: AtomicBool::new(false),
            framed: AtomicBool::new(false),
            severed: Notify::new(),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            told: Default::default(),
            bounds: Bounds::default(),
            watchdog: Mutex::default(),
        })
    }

    /// How much of what the peer sends is listened to.
    pub(super) fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// The connection as pingora's IO. One at a time: two would read each other's bytes.
    pub(super) fn wire(self: &Arc<Self>) -> Box<Wire> {
        Box::new(Wire(self.clone()))
    }

    /// The address of the other end, without its port.
    pub(super) fn peer(&self) -> Option<IpAddr> {
        self.peer
    }

    /// The connection's timer, which the requests of a connection hand on to each other; a new one while it is lent.
    pub(super) fn borrow_watchdog(&self) -> Watchdog {
        std::mem::take(&mut *self.watchdog.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Gives the timer back, for the next request.
    pub(super) fn return_watchdog(&self, watchdog: Watchdog) {
        *self.watchdog.lock().unwrap_or_else(PoisonError::into_inner) = watchdog;
    }

    fn pile(&self) -> MutexGuard<'_, Pile> {
        self.pile.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// HTTP/2 is spoken, as the first bytes or the handshake said.
    pub(super) fn is_framed(&self) -> bool {
        self.framed.load(Relaxed)
    }

    /// From here on HTTP/2 is spoken, whatever the first bytes or the handshake said.
    pub(super) fn frame(&self) {
        self.framed.store(true, Relaxed);
    }

    /// Takes all of the bytes. They leave with the next [`drain`](Self::drain) or when enough have come together.
    ///
    /// # Errors
    /// When the connection is broken; never because the peer does not read.
    pub(super) fn put(&self, data: &[u8]) -> io::Result<()> {
        let pile = &mut *self.pile();
        let fits = pile.len() + data.len() <= HOLD;
        match &mut pile.cipher {
            Some(cipher) => {
                self.sent.fetch_add(data.len() as u64, Relaxed);
                if fits {
                    cipher.hold(data);
                    return Ok(());
                }
                cipher.seal(data, &mut pile.out)?;
                self.send(&mut pile.out).map(drop)
            }
            None if fits => {
                pile.out.extend_from_slice(data);
                Ok(())
            }
            None => self.send_with(&mut pile.out, data),
        }
    }

    /// Sends what the socket takes now of these two, and keeps the rest in the first.
    fn send_with(&self, out: &mut BytesMut, data: &[u8]) -> io::Result<()> {
        let slices = [IoSlice::new(out), IoSlice::new(data)];
        let sent = self.count_sent(self.socket.try_write_vectored(&slices))?;
        match sent.checked_sub(out.len()) {
            Some(of_data) => {
                out.clear();
                out.extend_from_slice(&data[of_data..]);
            }
            None => {
                out.advance(sent);
                out.extend_from_slice(data);
            }
        }
        Ok(())
    }

    /// Sends what the socket takes now: how many bytes.
    fn send(&self, out: &mut BytesMut) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        let sent = self.count_sent(self.socket.try_write(out))?;
        out.advance(sent);
        if out.is_empty() && out.capacity() > 2 * HOLD {
            *out = BytesMut::new(); // a connection that once was slow need not keep its pile
        }
        Ok(sent)
    }

    /// Counts what was sent, with TLS when it was sealed; a socket that would block has sent nothing.
    fn count_sent(&self, sent: io::Result<usize>) -> io::Result<usize> {
        match sent {
            Ok(sent) => {
                if !self.secure {
                    self.sent.fetch_add(sent as u64, Relaxed);
                }
                Ok(sent)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Bytes wait in the buffer.
    pub(super) fn is_holding(&self) -> bool {
        self.pile().len() > 0
    }

    /// So many bytes wait that nothing should be added.
    pub(super) fn is_full(&self) -> bool {
        self.pile().len() > HOLD
    }

    /// Sends what the socket takes now.
    ///
    /// # Errors
    /// When the connection is broken.
    pub(super) fn nudge(&self) -> io::Result<()> {
        self.push().map(drop)
    }

    /// Seals and sends what waits, as far as the socket takes it: whether it took any, and whether it took all.
    fn push(&self) -> io::Result<(bool, bool)> {
        let Pile { out, cipher } = &mut *self.pile();
        if let Some(cipher) = cipher {
            cipher.seal(&[], out)?;
        }
        let sent = self.send(out)?;
        Ok((sent > 0, out.is_empty()))
    }

    /// Sends what waits, and resolves with every bit of progress, so that whoever waits knows that the peer reads.
    /// Can be cancelled.
    ///
    /// # Errors
    /// When the connection is broken.
    pub(super) async fn drain(&self) -> io::Result<()> {
        loop {
            let (moved, all) = self.push()?;
            if moved || all {
                return Ok(());
            }
            self.socket.writable().await?;
        }
    }

    /// Resolves when the peer has left, without reading anything: on a FIN or RST, or with `half_open` (its FIN only
    /// means that it has no more to say) on a RST alone.
    ///
    /// Readiness says both by itself, also while unread bytes wait: no clock, no system call.
    pub(super) async fn gone(&self, half_open: bool) {
        let interest = if half_open { Interest::ERROR } else { Interest::PRIORITY };
        let _ = self.socket.ready(interest).await;
    }

    /// Whether an idle connection still stands as it was left: nothing has come, not even an end.
    ///
    /// What the runtime has been told costs nothing; `certainly` asks the kernel.
    pub(super) fn is_quiet(&self, certainly: bool) -> bool {
        if self.secure {
            return self.is_quiet_secure(certainly);
        }
        let peek = || peek(self.socket.as_raw_fd());
        // Through the runtime, which answers by itself as long as it has not been told of anything to read.
        let peeked = if certainly { peek() } else { self.socket.try_io(Interest::READABLE, peek) };
        matches!(peeked, Err(error) if error.kind() == ErrorKind::WouldBlock)
    }

    /// Bytes read from the socket so far.
    pub(super) fn received(&self) -> u64 {
        self.received.load(Relaxed)
    }

    /// Bytes read from and written to the socket since the last call.
    pub(super) fn take_bytes(&self) -> (u64, u64) {
        let taken = |total: &AtomicU64, told: &AtomicU64| {
            let total = total.load(Relaxed);
            total - told.swap(total, Relaxed)
        };
        (taken(&self.received, &self.told.0), taken(&self.sent, &self.told.1))
    }

    /// Waits for the first bytes and says whether they are HTTP/2's; nothing is read. Stops at the first byte that
    /// differs, so that an HTTP/1 request shorter than the preface is not waited for; one that begins like it has
    /// this long to go on.
    ///
    /// # Errors
    /// When the peer leaves without a word, or stops in the middle of its first.
    pub(super) async fn detect_h2(&self, limit: Duration) -> io::Result<bool> {
        let mut start = [0; H2_PREFACE.len()];
        let mut begun = None;
        loop {
            let n = self.socket.peek(&mut start).await?;
            if n == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            if begun.get_or_insert_with(clock::now).elapsed() > limit {
                return Err(ErrorKind::TimedOut.into());
            }
            let framed = start[..n] == H2_PREFACE[..n];
            if !framed || n == H2_PREFACE.len() {
                self.framed.store(framed, Relaxed);
                return Ok(framed);
            }
            // The preface has begun: the socket stays readable, so the rest is waited for by the clock.
            clock::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Closes with a FIN that stays one: says goodbye, then swallows what the peer still sends, for a while. What
    /// waits in the buffer is lost.
    pub(super) async fn close(&self) {
        self.half_close();
        tokio::select! {
            () = self.swallow() => {}
            () = clock::sleep(LINGER) => {}
        }
    }

    /// Says goodbye; the peer may go on.
    pub(super) fn half_close(&self) {
        self.farewell();
        let _ = SockRef::from(&self.socket).shutdown(std::net::Shutdown::Write);
    }

    /// Reads and drops what the peer says, until it leaves.
    pub(super) async fn swallow(&self) {
        let mut sink = vec![0; 8192]; // on the heap: it would make every request's future as large
        while self.socket.readable().await.is_ok() {
            match self.socket.try_read(&mut sink) {
                Ok(0) => break,
                Err(error) if error.kind() != ErrorKind::WouldBlock => break,
                _ => {}
            }
        }
    }

    /// Ends the connection with everything on it, as soon as whoever serves it hears of it.
    pub(super) fn sever(&self) {
        self.severed.notify_one();
    }

    /// Resolves when the connection is to end at once.
    pub(super) async fn severed(&self) {
        self.severed.notified().await;
    }

    /// Makes the close that follows a RST: once what was written has arrived, the socket is set to drop instead of
    /// saying goodbye.
    pub(super) async fn reset(&self) {
        self.doomed.store(true, Relaxed);
        let deadline = clock::now() + RESET_WAIT;
        while unacknowledged(self.socket.as_raw_fd()) > 0 && clock::now() < deadline {
            clock::sleep(Duration::from_millis(1)).await;
        }
        let _ = SockRef::from(&self.socket).set_linger(Some(Duration::ZERO));
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        if !self.doomed.load(Relaxed) {
            self.farewell();
        }
    }
}

/// Bytes that the peer's kernel has not acknowledged yet.
fn unacknowledged(fd: RawFd) -> usize {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the pointer is valid for the call; a stale descriptor only makes it fail.
    let answer = unsafe { libc::ioctl(fd, libc::TIOCOUTQ, &raw mut bytes) };
    if answer == 0 { bytes.try_into().unwrap_or(0) } else { 0 }
}

fn peek(fd: RawFd) -> io::Result<usize> {
    receive(fd, &mut [0; 1], libc::MSG_PEEK)
}

/// Receives what is there now, asking the kernel itself.
fn receive(fd: RawFd, into: &mut [u8], flags: libc::c_int) -> io::Result<usize> {
    // SAFETY: the buffer is as long as said; the descriptor is open as long as the control that asks.
    let n = unsafe { libc::recv(fd, into.as_mut_ptr().cast(), into.len(), flags | libc::MSG_DONTWAIT) };
    if n < 0 { Err(io::Error::last_os_error()) } else { Ok(n.unsigned_abs()) }
}
