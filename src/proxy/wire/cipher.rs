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

    /// Seals what waits and says goodbye, so that the peer can tell an end from a cut. Nothing can be sealed afterwards.
    pub(super) fn farewell(&mut self, out: &mut BytesMut) -> io::Result<()> {
        self.seal(&[], out)?;
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
    use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

    use super::*;

    /// Two ends that have shaken hands; what they said to each other after that is still to be passed on.
    fn pair() -> (Cipher, Cipher) {
        let rcgen::CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap();
        let key = PrivateKeyDer::from_pem_slice(signing_key.serialize_pem().as_bytes()).unwrap();
        let chain = vec![CertificateDer::from(cert.der().to_vec())];
        let mut roots = RootCertStore::empty();
        roots.add(chain[0].clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let server =
            ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
        let server = server.with_no_client_auth().with_single_cert(chain, key).unwrap();
        let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let client = client.with_root_certificates(roots).with_no_client_auth();
        let name = ServerName::try_from("a").unwrap();
        let mut client = Cipher::new(ClientConnection::new(client.into(), name).unwrap().into());
        let mut server = Cipher::new(ServerConnection::new(server.into()).unwrap().into());
        while client.is_handshaking() || server.is_handshaking() {
            pass(&mut client, &mut server);
            pass(&mut server, &mut client);
        }
        (client, server)
    }

    /// Passes on what waits to be sent.
    fn pass(from: &mut Cipher, to: &mut Cipher) {
        let mut records = BytesMut::new();
        from.seal(&[], &mut records).unwrap();
        if !records.is_empty() {
            to.feed(&records).unwrap();
        }
    }

    /// Reads at most so many bytes.
    fn read(cipher: &mut Cipher, most: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; most];
        let mut buf = ReadBuf::new(&mut bytes);
        cipher.read(&mut buf)?;
        Ok(buf.filled().to_vec())
    }

    #[test]
    fn more_than_is_taken_at_once_waits_and_nothing_is_lost() {
        let (mut client, mut server) = pair();
        let sent: Vec<u8> = (0..200_000u32).map(|n| n as u8).collect();
        client.hold(&sent[..5]);
        let mut records = BytesMut::new();
        client.seal(&sent[5..], &mut records).unwrap();
        let mut got = Vec::new();
        for records in records.chunks(70_000) {
            server.feed(records).unwrap();
            got.extend(read(&mut server, 100).unwrap());
        }
        assert!(!server.is_quiet());
        while got.len() < sent.len() {
            got.extend(read(&mut server, 1000).unwrap());
        }
        assert!(got == sent);
        assert!(server.is_quiet());
        assert_eq!(read(&mut server, 1).unwrap_err().kind(), ErrorKind::WouldBlock);
    }

    #[test]
    fn a_ticket_for_the_next_handshake_is_nothing_to_be_read() {
        let (mut client, mut server) = pair();
        pass(&mut server, &mut client);
        assert!(client.is_quiet());
        server.hold(b"word");
        pass(&mut server, &mut client);
        assert!(!client.is_quiet());
        assert_eq!(read(&mut client, 10).unwrap(), b"word");
    }

    #[test]
    fn an_end_with_a_goodbye_is_told_from_a_cut() {
        let (mut client, mut server) = pair();
        client.hold(b"last words");
        let mut records = BytesMut::new();
        client.farewell(&mut records).unwrap();
        server.feed(&records).unwrap();
        assert_eq!(read(&mut server, 100).unwrap(), b"last words");
        assert_eq!(read(&mut server, 100).unwrap(), b"");
        let (_, mut server) = pair();
        server.end();
        assert_eq!(read(&mut server, 100).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    }

    #[test]
    fn what_is_no_tls_is_an_error_whose_reason_is_found_again() {
        let (_, mut server) = pair();
        let error = invalid(server.feed(b"GET / HTTP/1.1\r\n\r\n").unwrap_err());
        assert!(reason(&error).is_some());
        assert!(reason(&ErrorKind::UnexpectedEof.into()).is_none());
    }
}
