//! A [`Wire`] as pingora takes it.

use std::io::{self, ErrorKind, IoSlice};
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest, UniqueID,
};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};

use super::{Control, H2_PREFACE, Wire};

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Control { socket, received, sent, bounds, .. } = &*self.0;
        bounds.allow(received.load(Relaxed))?;
        let before = buf.filled().len();
        if self.0.secure {
            ready!(self.0.poll_read_secure(cx, buf))?;
            return Poll::Ready(bounds.count(&buf.filled()[before..], sent.load(Relaxed)));
        }
        loop {
            ready!(socket.poll_read_ready(cx))?;
            let room = buf.remaining();
            match socket.try_read_buf(buf) {
                Ok(n) => {
                    received.fetch_add(n as u64, Relaxed);
                    bounds.count(&buf.filled()[before..], sent.load(Relaxed))?;
                    if 0 < n && n < room {
                        // A short read has emptied the socket: saying so spares the next read a system call.
                        let _ = socket.try_io(Interest::READABLE, || Err::<(), _>(ErrorKind::WouldBlock.into()));
                    }
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl Wire {
    fn is_framed(&self) -> bool {
        self.0.framed.load(Relaxed)
    }

    /// HTTP/2's way of writing: as much as the socket takes, as soon as it takes any.
    fn poll_send(&self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if self.0.secure {
            return self.0.poll_send_secure(cx, slices);
        }
        loop {
            ready!(self.0.socket.poll_write_ready(cx))?;
            match self.0.socket.try_write_vectored(slices) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                sent => return Poll::Ready(self.0.count_sent(sent)),
            }
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_framed() {
            return self.poll_send(cx, &[IoSlice::new(data)]);
        }
        Poll::Ready(self.0.put(data).map(|()| data.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.is_framed() {
            return self.poll_send(cx, slices);
        }
        let taken = slices.iter().try_fold(0, |sum, slice| self.0.put(slice).map(|()| sum + slice.len()));
        Poll::Ready(taken)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// On HTTP/1 nothing to do: the exchange decides when the buffer leaves. On HTTP/2 only a cipher holds anything.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_framed() && self.0.secure { self.0.poll_flush_secure(cx) } else { Poll::Ready(Ok(())) }
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let _ = self.0.nudge();
        self.0.farewell();
        Poll::Ready(SockRef::from(&self.0.socket).shutdown(std::net::Shutdown::Write))
    }
}

#[async_trait]
impl Shutdown for Wire {
    async fn shutdown(&mut self) {
        let _ = tokio::io::AsyncWriteExt::shutdown(self).await;
    }
}

#[async_trait]
impl Peek for Wire {
    /// Says what [`Control::detect_h2`] found out, which must have run before.
    async fn try_peek(&mut self, buf: &mut [u8]) -> io::Result<bool> {
        if self.is_framed() && buf.len() == H2_PREFACE.len() {
            buf.copy_from_slice(H2_PREFACE);
        }
        Ok(true)
    }
}

impl UniqueID for Wire {
    fn id(&self) -> i32 {
        self.0.socket.as_raw_fd()
    }
}

impl Ssl for Wire {}

impl GetTimingDigest for Wire {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for Wire {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl GetSocketDigest for Wire {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(self.0.digest.clone())
    }
}
