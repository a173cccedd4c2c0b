//! Follows the messages of an HTTP/1 client beside the library that parses them, and says when the two disagree.
//!
//! The library hands out what it understood, not what it read. This is told every byte as it comes from the socket
//! and, once a head was understood, how its body is framed: so it knows where each message begins and ends, whether
//! the head is what was sent, and whether chunks are chunks to the letter. Pure.

use bytes::{Buf, BytesMut};

use super::chunks::{Chunks, NoChunk};

/// How a body is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// It has so many bytes; a request without a body has none.
    Length(u64),
    Chunked,
}

/// A request that was not what the library took it for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Misread;

/// The bytes of one connection.
#[derive(Debug, Default)]
pub(super) struct Tape(At);

#[derive(Debug)]
enum At {
    /// A head, and what has come of it: no longer than what is read of a head at all.
    Head(BytesMut),
    Length(u64),
    Chunks(Chunks),
    /// Nothing is followed any more: a tunnel, or the end.
    Blind,
}

impl Default for At {
    fn default() -> Self {
        Self::Head(BytesMut::new())
    }
}

impl Tape {
    /// Bytes that came.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> Result<(), Misread> {
        while !bytes.is_empty() {
            let read = match &mut self.0 {
                At::Head(head) => {
                    head.extend_from_slice(bytes);
                    return Ok(());
                }
                At::Blind => return Ok(()),
                At::Length(left) => {
                    let read = (*left).min(bytes.len() as u64);
                    *left -= read;
                    read as usize
                }
                At::Chunks(chunks) => match chunks.feed(bytes) {
                    Ok(read) => read,
                    Err(NoChunk) => {
                        self.0 = At::Blind;
                        return Err(Misread);
                    }
                },
            };
            bytes = &bytes[read..];
            self.turn_over();
        }
        Ok(())
    }

    /// After a body comes the next head.
    fn turn_over(&mut self) {
        let is_over = match &self.0 {
            At::Length(left) => *left == 0,
            At::Chunks(chunks) => chunks.is_over(),
            At::Head(_) | At::Blind => false,
        };
        if is_over {
            self.0 = At::default();
        }
    }

    /// The library has understood a head: these bytes, with a body framed so.
    ///
    /// # Errors
    /// They are not what came, or the part of the body that is there already is none.
    pub(super) fn understood(&mut self, head: &[u8], framing: Framing) -> Result<(), Misread> {
        let At::Head(came) = &mut self.0 else { return Err(Misread) };
        if !came.starts_with(head) {
            self.0 = At::Blind;
            return Err(Misread);
        }
        came.advance(head.len());
        let rest = std::mem::take(came);
        self.0 = match framing {
            Framing::Length(0) => {
                self.0 = At::Head(rest); // the same buffer goes on
                return Ok(());
            }
            Framing::Length(length) => At::Length(length),
            Framing::Chunked => At::Chunks(Chunks::default()),
        };
        self.feed(&rest)
    }

    /// From here the bytes are nobody's messages.
    pub(super) fn stop(&mut self) {
        self.0 = At::Blind;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: &[u8] = b"GET / HTTP/1.1\r\n\r\n";
    const POST: &[u8] = b"POST / HTTP/1.1\r\n\r\n";

    #[test]
    fn messages_are_followed_from_one_to_the_next() {
        let mut tape = Tape::default();
        tape.feed(&[GET, POST, b"hel"].concat()).unwrap();
        tape.understood(GET, Framing::Length(0)).unwrap();
        tape.understood(POST, Framing::Length(5)).unwrap();
        tape.feed(&[b"lo", POST, b"3\r\nab"].concat()).unwrap();
        tape.understood(POST, Framing::Chunked).unwrap();
        tape.feed(&[b"c\r\n0\r\n\r\n", &GET[..4]].concat()).unwrap();
        tape.feed(&GET[4..]).unwrap();
        tape.understood(GET, Framing::Length(0)).unwrap();
    }

    #[test]
    fn a_head_that_did_not_come_so_is_misread() {
        let mut tape = Tape::default();
        tape.feed(b"GET /a b HTTP/1.1\r\n\r\n").unwrap();
        assert_eq!(tape.understood(b"GET /a%20b HTTP/1.1\r\n\r\n", Framing::Length(0)), Err(Misread));
        assert_eq!(tape.understood(GET, Framing::Length(0)), Err(Misread), "and nothing is believed afterwards");
    }

    #[test]
    fn a_body_that_is_none_is_misread_wherever_it_comes() {
        for split in 0..3 {
            let mut tape = Tape::default();
            let (now, later) = b"\r\n5\r\nhello".split_at(split);
            tape.feed(&[POST, now].concat()).unwrap();
            let told = tape.understood(POST, Framing::Chunked);
            assert_eq!(told.and_then(|()| tape.feed(later)), Err(Misread));
        }
    }

    #[test]
    fn a_tunnel_is_not_followed() {
        let mut tape = Tape::default();
        tape.feed(GET).unwrap();
        tape.understood(GET, Framing::Length(0)).unwrap();
        tape.stop();
        tape.feed(&[0; 100]).unwrap();
        assert!(matches!(tape.0, At::Blind));
    }
}
