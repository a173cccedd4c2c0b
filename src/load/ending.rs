//! How a request can end.

use std::fmt;
use std::io;

/// A final answer with this status is a success. Redirects are, and are not followed.
pub(super) fn is_success(status: u16) -> bool {
    (200..400).contains(&status)
}

/// Why a request failed, as the client saw it. Counted by these names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ErrorKind {
    /// A final answer whose status is not 200-399.
    Status(u16),
    /// Sent, but not answered to its end before the timeout.
    Timeout,
    /// No connection was established before the timeout.
    ConnectTimeout,
    /// All connections were in use until the timeout. Rare: who waits gets the connection of an older request that
    /// timed out, with little time left, and then ends as [`Self::Timeout`].
    NoConnection,
    /// The target refused the connection.
    Refused,
    /// No route to the target.
    Unreachable,
    /// The connection was reset.
    Reset,
    /// The connection was closed before the answer began.
    Closed,
    /// The connection was closed within the answer.
    Truncated,
    /// The answer was not HTTP.
    Malformed,
    /// Anything else that the connection can suffer.
    Io,
}

impl ErrorKind {
    /// It ended by the client's timeout: it counts as that long.
    pub fn is_timeout(self) -> bool {
        matches!(self, Self::Timeout | Self::ConnectTimeout | Self::NoConnection)
    }

    /// It never had a connection: nothing of the target was reached.
    pub fn is_connect(self) -> bool {
        matches!(self, Self::ConnectTimeout | Self::Refused | Self::Unreachable)
    }

    /// The kind of an error on an open connection.
    pub(super) fn of_io(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => Self::Reset,
            io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof | io::ErrorKind::NotConnected => Self::Closed,
            // hyper's way to say that chunked framing is broken.
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => Self::Malformed,
            _ => Self::Io,
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Status(status) => return write!(f, "status_{status}"),
            Self::Timeout => "timeout",
            Self::ConnectTimeout => "connect_timeout",
            Self::NoConnection => "no_connection",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Reset => "reset",
            Self::Closed => "closed",
            Self::Truncated => "truncated",
            Self::Malformed => "malformed",
            Self::Io => "io",
        })
    }
}

/// Why no connection came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ConnectError {
    /// The target or the way to it: a result.
    Target(ErrorKind),
    /// The driver itself: the arrival was missed, and the target is not to blame.
    Driver(OwnFault),
}

/// What the driver's own side ran out of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnFault {
    /// File descriptors.
    OpenFiles,
    /// Local ports.
    Ports,
    /// Kernel memory for sockets.
    Memory,
    /// It came to the arrival later than the timeout.
    Late,
}

impl OwnFault {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 4] = [Self::OpenFiles, Self::Ports, Self::Memory, Self::Late];

    /// In words, for a remark after "missed".
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::OpenFiles => "the driver ran out of file descriptors (raise `ulimit -n`, or lower the connections)",
            Self::Ports => "the driver ran out of local ports (fewer new connections a second, or more addresses)",
            Self::Memory => "the kernel had no memory for more sockets",
            Self::Late => "the driver came to them later than the timeout (it was short of CPU)",
        }
    }
}

impl ConnectError {
    /// Tells whose fault a failed connect is.
    pub(super) fn of_io(error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::EMFILE | libc::ENFILE) => Self::Driver(OwnFault::OpenFiles),
            Some(libc::EADDRNOTAVAIL | libc::EADDRINUSE | libc::EAGAIN) => Self::Driver(OwnFault::Ports),
            Some(libc::ENOBUFS | libc::ENOMEM) => Self::Driver(OwnFault::Memory),
            Some(libc::EHOSTUNREACH | libc::ENETUNREACH | libc::ETIMEDOUT | libc::EHOSTDOWN | libc::ENETDOWN) => {
                Self::Target(ErrorKind::Unreachable)
            }
            _ if error.kind() == io::ErrorKind::ConnectionRefused => Self::Target(ErrorKind::Refused),
            _ => Self::Target(ErrorKind::of_io(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_fault_a_failed_connect_is_follows_from_its_error_code() {
        for (code, expected) in [
            (libc::ECONNREFUSED, ConnectError::Target(ErrorKind::Refused)),
            (libc::EHOSTUNREACH, ConnectError::Target(ErrorKind::Unreachable)),
            (libc::ECONNRESET, ConnectError::Target(ErrorKind::Reset)),
            (libc::EMFILE, ConnectError::Driver(OwnFault::OpenFiles)),
            (libc::EADDRNOTAVAIL, ConnectError::Driver(OwnFault::Ports)),
            (libc::ENOBUFS, ConnectError::Driver(OwnFault::Memory)),
        ] {
            assert_eq!(ConnectError::of_io(&io::Error::from_raw_os_error(code)), expected);
        }
    }

    #[test]
    fn every_kind_is_named_for_the_counts() {
        assert_eq!(ErrorKind::Status(503).to_string(), "status_503");
        assert_eq!(ErrorKind::NoConnection.to_string(), "no_connection");
        assert!(ErrorKind::NoConnection.is_timeout() && !ErrorKind::Refused.is_timeout());
    }
}
