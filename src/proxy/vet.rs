//! What of a request is refused that the library lets through: heads beyond the limits, and framings that the next
//! server might read in another way than we do (RFC 9112 section 11.2).

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Version};
use pingora::http::RequestHeader;

use super::tape::Framing;
use crate::config::Limits;
use crate::telemetry::events::Trouble;

/// Codings that may stand before `chunked` (RFC 9112 section 7).
const CODINGS: [&str; 5] = ["gzip", "x-gzip", "deflate", "compress", "x-compress"];

/// Whether a request may go on. One look at each field: every request comes by here.
///
/// # Errors
/// What it is refused with.
pub(super) fn check(head: &RequestHeader, limits: &Limits) -> Result<(), Trouble> {
    // As many bytes as the head has on HTTP/1 with one space after each colon.
    let mut size = head.method.as_str().len() + head.raw_path().len() + "  HTTP/1.1\r\n\r\n".len();
    let (mut lengths, mut is_coded, mut is_plain) = (0, false, true);
    for (name, value) in &head.headers {
        size += name.as_str().len() + value.len() + ": \r\n".len();
        if name == CONTENT_LENGTH {
            lengths += 1 + value.as_bytes().iter().filter(|byte| **byte == b',').count();
        } else if name == TRANSFER_ENCODING {
            is_coded = true;
        } else if name == CONNECTION {
            is_plain &= !nominates_framing(value);
        } else if name == HOST {
            is_plain &= is_host(value);
        }
    }
    if head.headers.len() > limits.headers || size > limits.head_size as usize {
        return Err(Trouble::HeadTooLarge);
    }
    is_plain &= matches!(head.version, Version::HTTP_10 | Version::HTTP_11 | Version::HTTP_2);
    // Several lengths that say the same, too: the next server may not see that.
    is_plain &= lengths <= 1 && (!is_coded || has_plain_coding(&head.headers));
    if is_plain { Ok(()) } else { Err(Trouble::BadRequest) }
}

/// Nothing but what a host and a port are made of (RFC 3986 section 3.2): no path, no user, no list.
fn is_host(value: &HeaderValue) -> bool {
    value.as_bytes().iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=:[]".contains(byte))
}

/// How the library frames the body, once it has let the request pass.
pub(super) fn framing(head: &RequestHeader) -> Framing {
    if head.headers.contains_key(TRANSFER_ENCODING) {
        return Framing::Chunked;
    }
    let length = head.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    Framing::Length(length.and_then(|length| length.split(',').next()?.trim().parse().ok()).unwrap_or(0))
}

/// `chunked` once and last; nothing in front of it but codings that everybody knows.
fn has_plain_coding(headers: &HeaderMap) -> bool {
    let mut codings: Vec<&[u8]> = tokens(headers.get_all(TRANSFER_ENCODING).iter()).collect();
    let Some(last) = codings.pop() else { return true };
    last.eq_ignore_ascii_case(b"chunked")
        && codings.iter().all(|coding| CODINGS.iter().any(|known| coding.eq_ignore_ascii_case(known.as_bytes())))
}

/// `Connection` asks the next server to drop a field that says whose the request is or where it ends.
fn nominates_framing(value: &HeaderValue) -> bool {
    let framing = [HOST, CONTENT_LENGTH, TRANSFER_ENCODING];
    tokens(std::iter::once(value))
        .any(|token| framing.iter().any(|name| token.eq_ignore_ascii_case(name.as_str().as_bytes())))
}

fn tokens<'a>(values: impl Iterator<Item = &'a HeaderValue>) -> impl Iterator<Item = &'a [u8]> {
    values.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(headers: &[(&'static str, &'static str)]) -> Result<(), Trouble> {
        let mut head = RequestHeader::build("POST", b"/a?b", None).unwrap();
        for (name, value) in headers {
            head.append_header(*name, *value).unwrap();
        }
        check(&head, &Limits { headers: 4, head_size: 200, ..Limits::default() })
    }

    #[test]
    fn a_request_that_can_be_read_in_one_way_only_goes_on() {
        for headers in [
            &[][..],
            &[("Content-Length", "0")],
            &[("Transfer-Encoding", "Chunked")],
            &[("Transfer-Encoding", "gzip, chunked")],
            &[("Transfer-Encoding", "gzip"), ("Transfer-Encoding", " chunked")],
            &[("Connection", "close, X-Host")],
            &[("Host", "")],
            &[("Host", "shop.example:81")],
            &[("Host", "[::1%25eth0]:81")],
        ] {
            assert_eq!(checked(headers), Ok(()), "{headers:?}");
        }
    }

    #[test]
    fn a_request_that_can_be_read_in_two_ways_does_not() {
        for headers in [
            &[("Content-Length", "1"), ("Content-Length", "1")][..],
            &[("Content-Length", "1, 1")],
            &[("Content-Length", "1"), ("Transfer-Encoding", "identity")],
            &[("Transfer-Encoding", "chunked, chunked")],
            &[("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "chunked")],
            &[("Transfer-Encoding", "identity, chunked")],
            &[("Transfer-Encoding", "x\"chunked")],
            &[("Transfer-Encoding", "chunked;q=1")],
            &[("Transfer-Encoding", "chunked,")],
            &[("Transfer-Encoding", "")],
            &[("Connection", "keep-alive, Content-Length")],
            &[("Connection", "x"), ("Connection", "TRANSFER-ENCODING")],
            &[("Connection", "host")],
            &[("Host", "a/b")],
            &[("Host", "a, b")],
            &[("Host", "me@a")],
        ] {
            assert_eq!(checked(headers), Err(Trouble::BadRequest), "{headers:?}");
        }
    }

    #[test]
    fn a_head_beyond_the_limits_is_too_large() {
        let many = [("a", "1"), ("b", "2"), ("c", "3"), ("d", "4"), ("e", "5")];
        assert_eq!(checked(&many[..4]), Ok(()));
        assert_eq!(checked(&many), Err(Trouble::HeadTooLarge));
        let value: &'static str = "x".repeat(170).leak();
        assert_eq!(checked(&[("a", value)]), Ok(()), "15 + 8 + 170 bytes and a few");
        assert_eq!(checked(&[("a", value), ("b", "1234567")]), Err(Trouble::HeadTooLarge));
    }
}
