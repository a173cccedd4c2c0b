//! The client's side of a connection: pingora reads and writes it, the exchange steers it.
//!
//! [`ClientStream`] is what pingora owns. [`Control`] is shared with whoever handles the requests on the
//! connection: it flushes, cuts and resets without asking pingora, which has no call for any of that.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Buf, BytesMut};
use pingora::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest, UniqueID,
    raw_connect::ProxyDigest,
};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::clock;

/// Head and body of a small response leave in one system call: worth 8 to 10 % of pass-through.
const WRITE_BUFFER: usize = 16 * 1024;
/// How long unread bytes of the client are swallowed before a FIN, so that the kernel does not make it a RST.
const LINGER: Duration = Duration::from_millis(500);
/// How long a RST waits for bytes already written to leave the machine.
const RESET_WAIT: Duration = Duration::from_millis(100);
/// How often a client whose bytes wait unread is looked at; a client that leaves is to be noticed within 50 ms.
const GONE_TICK: Duration = Duration::from_millis(20);

/// What the request handler may do to its connection's socket.
#[derive(Debug)]
pub(super) struct Control {
    fd: RawFd,
    side: Mutex<WriteSide>,
    through: AtomicBool,
    received: AtomicU64,
    sent: AtomicU64,
}

#[derive(Debug)]
struct WriteSide {
    half: Option<OwnedWriteHalf>,
    buffer: BytesMut,
}

impl Control {
    fn side(&self) -> MutexGuard<'_, WriteSide> {
        self.side.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on every write goes straight to the socket, or again through the buffer.
    pub(super) fn set_through(&self, through: bool) {
        self.through.store(through, Relaxed);
    }

    /// Bytes wait in the buffer.
    pub(super) fn is_holding(&self) -> bool {
        !self.side().buffer.is_empty()
    }

    /// Sends what waits in the buffer.
    pub(super) async fn flush(&self) -> io::Result<()> {
        std::future::poll_fn(|cx| self.poll_flush(cx)).await
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let side = &mut *self.side();
        let Some(half) = &mut side.half else { return Poll::Ready(Err(closed())) };
        while !side.buffer.is_empty() {
            let n = ready!(Pin::new(&mut *half).poll_write(cx, &side.buffer))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent.fetch_add(n as u64, Relaxed);
            side.buffer.advance(n);
        }
        Poll::Ready(Ok(()))
    }

    /// Bytes read from and written to the socket since the last call.
    pub(super) fn take_bytes(&self) -> (u64, u64) {
        (self.received.swap(0, Relaxed), self.sent.swap(0, Relaxed))
    }

    /// Makes the close that follows a RST: once what was written has left, the socket is set to drop instead of
    /// saying goodbye. The connection is gone when its [`ClientStream`] is dropped.
    pub(super) async fn reset(&self) {
        let _ = self.flush().await;
        let deadline = clock::now() + RESET_WAIT;
        while unsent(self.fd) > 0 && clock::now() < deadline {
            clock::sleep(Duration::from_millis(1)).await;
        }
        let side = &mut *self.side();
        side.buffer.clear();
        if let Some(half) = side.half.take() {
            let _ = socket2::SockRef::from(half.as_ref()).set_linger(Some(Duration::ZERO));
            half.forget(); // a dropped half would send a FIN first
        }
    }

    /// The handler is done with the connection: only the stream keeps it open from here.
    fn release(&self) {
        self.side().half = None;
    }
}

fn closed() -> io::Error {
    io::ErrorKind::NotConnected.into()
}

/// Bytes that the kernel has not had acknowledged yet.
fn unsent(fd: RawFd) -> usize {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the pointer is valid for the call; a stale descriptor only makes it fail.
    let answer = unsafe { libc::ioctl(fd, libc::TIOCOUTQ, &raw mut bytes) };
    if answer == 0 { bytes.try_into().unwrap_or(0) } else { 0 }
}

/// A client's TCP connection as pingora's IO, with a write buffer in front of the socket.
#[derive(Debug)]
pub(super) struct ClientStream {
    read: OwnedReadHalf,
    control: Arc<Control>,
    digest: Arc<SocketDigest>,
}

impl ClientStream {
    pub(super) fn new(tcp: TcpStream) -> (Self, Arc<Control>) {
        let fd = tcp.as_raw_fd();
        let (read, write) = tcp.into_split();
        let control = Arc::new(Control {
            fd,
            side: Mutex::new(WriteSide { half: Some(write), buffer: BytesMut::new() }),
            through: AtomicBool::new(false),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
        });
        let digest = Arc::new(SocketDigest::from_raw_fd(fd));
        (Self { read, control: control.clone(), digest }, control)
    }

    /// Resolves when the client has left, without reading anything: on a FIN or RST, or with `half_open` (its FIN
    /// only means that it has no more to say) on a RST alone.
    pub(super) async fn gone(&self, half_open: bool) {
        let socket: &TcpStream = self.read.as_ref();
        loop {
            let interest = if half_open { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
            let Ok(state) = socket.ready(interest).await else { return };
            if state.is_write_closed() || (state.is_read_closed() && !half_open) {
                return;
            }
            let mut byte = [0u8; 1];
            // A look at the socket clears a stale "readable"; bytes of a next request stay where they are.
            match socket.try_io(Interest::READABLE, || peek(self.control.fd, &mut byte)) {
                Ok(0) if !half_open => return,
                Ok(_) => clock::sleep(GONE_TICK).await,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock && half_open => clock::sleep(GONE_TICK).await,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    }

    /// Closes with a FIN that stays one: says goodbye, then swallows what the client still sends, for a while.
    pub(super) async fn close(&self) {
        let _ = self.control.flush().await;
        let _ = socket2::SockRef::from(self.read.as_ref()).shutdown(std::net::Shutdown::Write);
        let swallow = async {
            let socket: &TcpStream = self.read.as_ref();
            let mut sink = [0u8; 8192];
            while socket.readable().await.is_ok() {
                match socket.try_read(&mut sink) {
                    Ok(0) => break,
                    Err(e) if e.kind() != io::ErrorKind::WouldBlock => break,
                    _ => {}
                }
            }
        };
        tokio::select! {
            () = swallow => {}
            () = clock::sleep(LINGER) => {}
        }
    }
}

impl Drop for ClientStream {
    fn drop(&mut self) {
        self.control.release();
    }
}

fn peek(fd: RawFd, byte: &mut [u8; 1]) -> io::Result<usize> {
    // SAFETY: the buffer is one byte long, as said; the descriptor is open as long as the stream that asks.
    let n = unsafe { libc::recv(fd, byte.as_mut_ptr().cast(), 1, libc::MSG_PEEK | libc::MSG_DONTWAIT) };
    if n < 0 { Err(io::Error::last_os_error()) } else { Ok(n.unsigned_abs()) }
}

impl AsyncRead for ClientStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.read).poll_read(cx, buf))?;
        self.control.received.fetch_add((buf.filled().len() - before) as u64, Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let control = &self.control;
        {
            let side = &mut *control.side();
            if !control.through.load(Relaxed) && side.buffer.len() + data.len() <= WRITE_BUFFER {
                side.buffer.extend_from_slice(data);
                return Poll::Ready(Ok(data.len()));
            }
        }
        ready!(control.poll_flush(cx))?;
        let side = &mut *control.side();
        let Some(half) = &mut side.half else { return Poll::Ready(Err(closed())) };
        let n = ready!(Pin::new(half).poll_write(cx, data))?;
        control.sent.fetch_add(n as u64, Relaxed);
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.control.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.control.poll_flush(cx))?;
        match &mut self.control.side().half {
            Some(half) => Pin::new(half).poll_shutdown(cx),
            None => Poll::Ready(Ok(())),
        }
    }
}

#[async_trait]
impl Shutdown for ClientStream {
    async fn shutdown(&mut self) {
        let _ = tokio::io::AsyncWriteExt::shutdown(self).await;
    }
}

impl UniqueID for ClientStream {
    fn id(&self) -> i32 {
        self.control.fd
    }
}

impl Ssl for ClientStream {}

impl GetTimingDigest for ClientStream {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for ClientStream {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl GetSocketDigest for ClientStream {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(self.digest.clone())
    }
}

/// The start of an HTTP/2 connection with prior knowledge (RFC 9113 section 3.4).
const H2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[async_trait]
impl Peek for ClientStream {
    /// Looks for the HTTP/2 preface and stops at the first byte that differs, so that an HTTP/1 request shorter
    /// than the preface is not waited for.
    async fn try_peek(&mut self, buf: &mut [u8]) -> io::Result<bool> {
        let wanted = buf.len().min(H2_PREFACE.len());
        loop {
            let n = self.read.peek(&mut buf[..wanted]).await?;
            if n == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if n == wanted || buf[..n] != H2_PREFACE[..n] {
                return Ok(n == wanted);
            }
            // The preface has begun: the socket stays readable, so wait for the rest by the clock.
            clock::sleep(Duration::from_millis(1)).await;
        }
    }
}
