//! Where a chunked body ends, to the letter (RFC 9112 section 7.1). Pure, and told the bytes piece by piece.
//!
//! The library's parser forgives: an empty line is a chunk of no bytes to it, and anything is a trailer. What it
//! forgives another server may read in another way, so it is held against this.

/// What the next byte is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// The size, and how many digits of it were read.
    Size(u64, u8),
    /// Blanks between the size and an extension.
    Blank(u64),
    /// Extensions, up to the end of their line.
    Extension(u64),
    /// The line feed that ends the line of the size.
    SizeEnd(u64),
    Data(u64),
    DataCr,
    DataLf,
    /// The start of a trailer's line, or of the empty one that ends the body.
    Line,
    /// A trailer's name, and whether it has any letters yet.
    Name(bool),
    /// The rest of a trailer's line.
    Value,
    LineEnd,
    /// The last line feed of the body.
    LastLf,
    End,
}

/// What was read is no chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoChunk;

/// A chunked body that is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunks(At);

impl Default for Chunks {
    fn default() -> Self {
        Self(At::Size(0, 0))
    }
}

impl Chunks {
    /// Reads on; gives how many of the bytes belong to the body. Fewer than all: it has ended.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<usize, NoChunk> {
        let mut read = 0;
        while read < bytes.len() && self.0 != At::End {
            if let At::Data(left) = self.0 {
                let taken = left.min((bytes.len() - read) as u64);
                read += taken as usize;
                self.0 = if taken == left { At::DataCr } else { At::Data(left - taken) };
                continue;
            }
            self.0 = self.0.after(bytes[read]).ok_or(NoChunk)?;
            read += 1;
        }
        Ok(read)
    }

    /// The body is complete.
    pub(super) fn is_over(&self) -> bool {
        self.0 == At::End
    }
}

impl At {
    fn after(self, byte: u8) -> Option<Self> {
        Some(match (self, byte) {
            (Self::Size(size, digits @ 0..16), digit) if digit.is_ascii_hexdigit() => {
                let digit = (digit as char).to_digit(16)?;
                Self::Size(size << 4 | u64::from(digit), digits + 1)
            }
            (Self::Size(_, 0), _) => return None,
            (Self::Size(size, _) | Self::Blank(size), b' ' | b'\t') => Self::Blank(size),
            (Self::Size(size, _) | Self::Blank(size), b';') => Self::Extension(size),
            (Self::Size(size, _) | Self::Extension(size), b'\r') => Self::SizeEnd(size),
            (Self::Extension(size), byte) if is_text(byte) => Self::Extension(size),
            (Self::SizeEnd(0), b'\n') => Self::Line,
            (Self::SizeEnd(size), b'\n') => Self::Data(size),
            (Self::DataCr, b'\r') => Self::DataLf,
            (Self::DataLf, b'\n') => Self::Size(0, 0),
            (Self::Line, b'\r') => Self::LastLf,
            (Self::Line, byte) => Self::Name(false).after(byte)?,
            (Self::Name(true), b':') => Self::Value,
            (Self::Name(_), byte) if is_token(byte) => Self::Name(true),
            (Self::Value, b'\r') => Self::LineEnd,
            (Self::Value, byte) if is_text(byte) => Self::Value,
            (Self::LineEnd, b'\n') => Self::Line,
            (Self::LastLf, b'\n') => Self::End,
            _ => return None,
        })
    }
}

/// What a line may hold: no control byte but the tab.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// What a field's name is made of (RFC 9110 section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// How many bytes the body has; `None` if it goes on.
    fn length(bytes: &str) -> Result<Option<usize>, NoChunk> {
        let mut chunks = Chunks::default();
        let read = chunks.feed(bytes.as_bytes())?;
        Ok(chunks.is_over().then_some(read))
    }

    #[test]
    fn a_body_ends_with_its_last_chunk_and_its_trailers() {
        for (body, expected) in [
            ("0\r\n\r\nGET /", Some(5)),
            ("5\r\nhello\r\n0\r\n\r\n", Some(15)),
            ("00a;x=\"y;z\"\r\n0123456789\r\n0 ; last\r\n\r\n", Some(37)),
            ("A \t;x\r\n0123456789\r\n0\r\nA: b\r\nC:\r\n\r\n!", Some(34)),
            ("ffffffffffffffff\r\nhello", None),
            ("5\r\nhel", None),
            ("0\r\n", None),
            ("", None),
        ] {
            assert_eq!(length(body), Ok(expected), "{body:?}");
        }
    }

    #[test]
    fn what_could_be_read_in_another_way_is_no_chunk() {
        for body in [
            "\r\n5\r\nhello\r\n",
            "5\nhello",
            "5\rhello",
            "5\r\nhello5\r\n",
            "5\r\nhello\n",
            "5 \r\nhello",
            "5 5\r\nhello",
            "0x5\r\n",
            "-5\r\n",
            "g\r\n",
            ";x\r\n",
            "5;a\nb\r\n",
            "5;a\0b\r\n",
            "10000000000000005\r\n",
            "0\r\n\n",
            "0\r\nGET / HTTP/1.1\r\n",
            "0\r\n: x\r\n",
            "0\r\n x: y\r\n",
            "0\r\nx: y\n\r\n",
            "0\r\n\rX",
        ] {
            assert_eq!(length(body), Err(NoChunk), "{body:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_as_chunks_ends_where_it_was_written_to_end_however_it_comes(
            bodies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..30), 0..6),
            piece in 1usize..20,
        ) {
            let mut bytes = Vec::new();
            for body in &bodies {
                bytes.extend(format!("{:x};e\r\n", body.len()).into_bytes());
                bytes.extend(body);
                bytes.extend(b"\r\n");
            }
            bytes.extend(b"0\r\nT: v\r\n\r\n");
            let length = bytes.len();
            bytes.extend(b"GET /next");
            let (mut chunks, mut read) = (Chunks::default(), 0);
            for piece in bytes.chunks(piece) {
                read += chunks.feed(piece).unwrap();
            }
            prop_assert_eq!((read, chunks.is_over()), (length, true));
        }
    }
}
