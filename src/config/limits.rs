//! How much a client may ask of a proxy.

use std::num::NonZeroU64;
use std::time::Duration;

use super::timeouts::above_zero;
use crate::diagnostics::Reader;
use crate::units::{ByteSize, Rate};

/// pingora's own ceiling for a head.
const MOST_BYTES: u64 = 1 << 20;
/// pingora's own ceiling for header fields on HTTP/1.
const MOST_FIELDS: u64 = 256;

/// `[proxy.limits]`: what one proxy takes from its clients before it refuses. All above zero.
///
/// The defaults are wider than nginx's and Envoy's, so that nobody meets them by accident; what they keep out is
/// memory without bound.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// `connections`: clients' connections at once, on all shards together. One more is answered with 503 (HTTP/2:
    /// a GOAWAY) and closed without being read. Default 20,000.
    pub connections: usize,
    /// `requests`: on one connection; with the last one it is closed (HTTP/2: a GOAWAY, and the streams under way
    /// end). Default none.
    pub requests: Option<NonZeroU64>,
    /// `head_timeout`: from the first byte of a request's head to its last, else 408. Default 10 s.
    pub head_timeout: Duration,
    /// `head_size`: bytes of a request's head, else 431; on HTTP/2 the size of the header list (RFC 9113 section
    /// 6.5.2). At most 1 MiB. Default 64 KiB.
    pub head_size: u32,
    /// `headers`: header fields of a request, else 431. At most 256. Default 256.
    pub headers: usize,
    /// `h2_streams`: requests at once on one HTTP/2 connection; more are refused (REFUSED_STREAM). Default 256.
    pub h2_streams: u32,
    /// `h2_resets`: streams a second that a client may reset on one connection, a second's worth at once; beyond that it is
    /// cut. Default 2,000/s, because clients that time out under a fault reset as often as they ask.
    pub h2_resets: f64,
    /// `h2_frames`: frames without a request or a byte of one (SETTINGS, PING, PRIORITY, empty DATA, CONTINUATION)
    /// a second on one connection, a second's worth at once; beyond that it is cut. Default 10,000/s.
    pub h2_frames: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 20_000,
            requests: None,
            head_timeout: Duration::from_secs(10),
            head_size: 64 << 10,
            headers: 256,
            h2_streams: 256,
            h2_resets: 2_000.0,
            h2_frames: 10_000.0,
        }
    }
}

impl Limits {
    /// Reads the `limits` table of a `[[proxy]]`; what is absent or wrong has its default.
    pub(super) fn read(proxy: &mut Reader<'_>) -> Self {
        let default = Self::default();
        let Some(mut reader) = proxy.table("limits") else { return default };
        let rate =
            |reader: &mut Reader<'_>, key, default| reader.optional::<Rate>(key).map_or(default, Rate::per_second);
        let limits = Self {
            connections: count(&mut reader, "connections", u32::MAX.into()).map_or(default.connections, |n| n as usize),
            requests: count(&mut reader, "requests", u64::MAX).and_then(NonZeroU64::new),
            head_timeout: above_zero(&mut reader, "head_timeout", default.head_timeout),
            head_size: size(&mut reader, "head_size").unwrap_or(default.head_size),
            headers: count(&mut reader, "headers", MOST_FIELDS).map_or(default.headers, |n| n as usize),
            h2_streams: count(&mut reader, "h2_streams", u32::MAX.into()).map_or(default.h2_streams, |n| n as u32),
            h2_resets: rate(&mut reader, "h2_resets", default.h2_resets),
            h2_frames: rate(&mut reader, "h2_frames", default.h2_frames),
        };
        reader.finish();
        limits
    }
}

/// A whole number from 1 to `most`.
fn count(reader: &mut Reader<'_>, key: &'static str, most: u64) -> Option<u64> {
    let written = reader.optional::<u64>(key)?;
    if (1..=most).contains(&written) {
        return Some(written);
    }
    let cure = match most {
        u64::MAX => "a number above 0, or leave it out for no limit".to_owned(),
        _ => format!("a number from 1 to {most}"),
    };
    reader.reject(key, format!("{written} is not a limit that can be kept"), Some(&cure));
    None
}

fn size(reader: &mut Reader<'_>, key: &'static str) -> Option<u32> {
    let ByteSize(written) = reader.optional(key)?;
    if (1..=MOST_BYTES).contains(&written) {
        return u32::try_from(written).ok();
    }
    let message = format!("{} is not a limit that can be kept", ByteSize(written));
    reader.reject(key, message, Some("a size from 1B to 1MiB, such as \"64KiB\""));
    None
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::diagnostics::{Node, Problems};

    fn read(text: &str) -> Result<Limits, Problems> {
        let node = Node::from_toml("c.toml", text).unwrap();
        let problems = RefCell::default();
        let mut reader = Reader::new("c.toml", &node, "", &problems);
        let limits = Limits::read(&mut reader);
        problems.into_inner().or(limits)
    }

    #[test]
    fn every_limit_is_read_and_has_a_default() {
        assert_eq!(read("").unwrap(), Limits::default());
        let limits = read(
            "[limits]\nconnections = 1\nrequests = 2\nhead_timeout = \"3s\"\nhead_size = \"4KiB\"\nheaders = 5\n\
             h2_streams = 6\nh2_resets = \"7/s\"\nh2_frames = \"60/m\"",
        );
        let expected = Limits {
            connections: 1,
            requests: NonZeroU64::new(2),
            head_timeout: Duration::from_secs(3),
            head_size: 4096,
            headers: 5,
            h2_streams: 6,
            h2_resets: 7.0,
            h2_frames: 1.0,
        };
        assert_eq!(limits.unwrap(), expected);
    }

    #[test]
    fn a_limit_that_would_refuse_everything_or_cannot_be_kept_is_a_mistake() {
        let problems = read(
            "[limits]\nconnections = 0\nrequests = 0\nhead_timeout = \"0s\"\nhead_size = \"2MiB\"\nheaders = 257\n\
             h2_streams = 0\nh2_resets = 0\nheader = 1",
        );
        let lines: Vec<_> = problems.unwrap_err().0.iter().map(|problem| problem.line).collect();
        assert_eq!(lines, (2..=9).map(Some).collect::<Vec<_>>());
    }
}
