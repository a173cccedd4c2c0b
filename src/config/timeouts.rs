//! How long a proxy waits before it gives up.

use std::time::Duration;

use crate::diagnostics::Reader;

/// The time limits of one proxy, each above zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// `connect_timeout`: until a connection to the upstream stands; else 504. Default 5 s.
    pub connect: Duration,
    /// `read_timeout`: the longest silence of the upstream while its answer is awaited or under way; else 504, or
    /// the end of the answer that has begun. Not applied after an upgrade. Default 60 s.
    pub read: Duration,
    /// `write_timeout`: the longest time that one write to either side may be stuck. Default 60 s.
    pub write: Duration,
    /// `idle_timeout`: how long an unused connection to the upstream is kept for the next request. Default 60 s.
    pub idle: Duration,
    /// `keepalive_timeout`: how long a client's connection may stand between two requests. Default 75 s.
    pub keepalive: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            read: Duration::from_secs(60),
            write: Duration::from_secs(60),
            idle: Duration::from_secs(60),
            keepalive: Duration::from_secs(75),
        }
    }
}

impl Timeouts {
    /// Reads the keys of a `[[proxy]]` table; what is absent or wrong has its default.
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let default = Self::default();
        Self {
            connect: above_zero(reader, "connect_timeout", default.connect),
            read: above_zero(reader, "read_timeout", default.read),
            write: above_zero(reader, "write_timeout", default.write),
            idle: above_zero(reader, "idle_timeout", default.idle),
            keepalive: above_zero(reader, "keepalive_timeout", default.keepalive),
        }
    }
}

/// Zero means "never" to some and "at once" to others, so it is neither.
pub(super) fn above_zero(reader: &mut Reader<'_>, key: &'static str, default: Duration) -> Duration {
    match reader.optional::<Duration>(key) {
        Some(Duration::ZERO) => {
            reader.reject(key, "0 is not a time to wait", Some("write a long time, such as \"24h\", for no limit"));
            default
        }
        Some(duration) => duration,
        None => default,
    }
}
