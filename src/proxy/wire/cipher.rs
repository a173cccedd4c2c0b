//! TLS without a socket: plain bytes on one side, records on the other.

use std::io::{self, BufRead, ErrorKind, Write};

use bytes::{Buf, BufMut, BytesMut};
use rustls::Connection;
use tokio::io::ReadBuf;

/// What stands between a wire's plain bytes and its socket.
#[derive(Debug)]
pub(super) struct Cipher {
    session: Connection,
    /// Plain bytes that wait for company: each record costs some bytes and a round of encryption.
    clear: BytesMut,
    /// Records that came at once with others and are not opened yet, because nobody has taken what was in those.
    sealed: BytesMut,
    /// The peer has said anything at all.
    has_heard: bool,
}

impl Cipher {
    pub(super) fn new(mut session: Connection) -> Self {
        session.set_buffer_limit(None); // whoever feeds a wire asks how full it is
        Self { session, clear: BytesMut::new(), sealed: BytesMut::new(), has_heard: false }
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.session.is_handshaking()
    }

    pub(super) fn has_heard(&self) -> bool {
        self.has_heard
    }

    /// The protocol that was agreed on, if any was.
    pub(super) fn alpn(&self) -> Option<&[u8]> {
        self.session.alpn_protocol()
    }

    /// Plain bytes that wait to be sealed.
    pub(super) fn waiting(&self) -> usize {
        self.clear.len()
    }

    /// Takes bytes to be sealed later, together with what follows.
    pub(super) fn hold(&mut self, data: &[u8]) {
        self.clear.extend_from_slice(data);
    }

    /// Seals what waits, and then these bytes; with them goes whatever else the peer must be told.
    pub(super) fn seal(&mut self, data: &[u8], out: &mut BytesMut) -> io::Result<()> {
        if !self.clear.is_empty() {
            self.session.writer().write_all(&self.clear)?;
            self.clear.clear();
            if self.clear.capacity() > 2 * super::HOLD {
                self.clear = BytesMut::new();
            }
        }
        self.session.writer().write_all(data)?;
        while self.session.wants_write() {
            self.session.write_tls(&mut out.writer())?;
        }
        Ok(())
    }

    /// Says goodbye, so that the peer can tell an end from a cut. Nothing can be sealed afterwards.
    pub(super) fn farewell(&mut self, out: &mut BytesMut) -> io::Result<()> {
        self.session.send_close_notify();
        self.seal(&[], out)
    }

    /// Takes records as they came from the socket. With an error, [`seal`](Self::seal) tells the peer why.
    pub(super) fn feed(&mut self, records: &[u8]) -> Result<(), rustls::Error> {
        self.has_heard = true;
        if !self.sealed.is_empty() {
            self.sealed.extend_from_slice(records);
            return self.open();
        }
        let opened = self.open_from(records)?;
        self.sealed.extend_from_slice(&records[opened..]);
        Ok(())
    }

    /// The socket has ended.
    pub(super) fn end(&mut self) {
        let _ = self.session.read_tls(&mut io::empty());
    }

    /// Gives plain bytes; `WouldBlock` when more records are needed, and nothing at the end that the peer declared.
    /// An end that it did not declare is `UnexpectedEof`: somebody may have cut the connection.
    pub(super) fn read(&mut self, buf: &mut ReadBuf<'_>) -> io::Result<()> {
        loop {
            match self.session.reader().fill_buf() {
                Err(error) if error.kind() == ErrorKind::WouldBlock && !self.sealed.is_empty() => {
                    self.open().map_err(invalid)?;
                }
                Err(error) => return Err(error),
                Ok(bytes) => {
                    let taken = bytes.len().min(buf.remaining());
                    buf.put_slice(&bytes[..taken]);
                    self.session.reader().consume(taken);
                    return Ok(());
                }
            }
        }
    }

    /// Neither plain bytes nor an end are there to be read.
    pub(super) fn is_quiet(&mut self) -> bool {
        let nothing = matches!(self.session.reader().fill_buf(), Err(error) if error.kind() == ErrorKind::WouldBlock);
        nothing && self.sealed.is_empty()
    }

    /// Opens records until there are plain bytes to be taken.
    fn open(&mut self) -> Result<(), rustls::Error> {
        let mut sealed = std::mem::take(&mut self.sealed);
        let opened = self.open_from(&sealed);
        sealed.advance(*opened.as_ref().unwrap_or(&sealed.len()));
        if !sealed.is_empty() {
            self.sealed = sealed;
        }
        opened.map(drop)
    }

    /// As [`open`](Self::open), from these bytes: how many were used.
    fn open_from(&mut self, mut records: &[u8]) -> Result<usize, rustls::Error> {
        let all = records.len();
        while !records.is_empty() {
            match self.session.read_tls(&mut records) {
                Ok(0) => return Ok(all), // after the peer's goodbye nothing counts
                Ok(_) => {}
                Err(error) => return Err(rustls::Error::General(error.to_string())),
            }
            if self.session.process_new_packets()?.plaintext_bytes_to_read() > 0 {
                break;
            }
        }
        Ok(all - records.len())
    }
}

/// What is wrong with the peer's TLS, as an error of its connection; [`reason`] finds it again.
pub(super) fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error)
}

/// What was wrong with the peer's TLS, if that is what an error of its connection says.
pub(in crate::proxy) fn reason(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}
