//! The signals that steer `serve`.

use std::io;

use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Signal {
    /// SIGHUP: read the files again.
    Reload,
    /// SIGUSR1: turn every fault off.
    Off,
    /// SIGTERM or SIGINT, with the exit code of a process that ends by it.
    Terminate(u8),
}

/// Catches them from the moment it is made.
pub(in crate::cli) struct Signals {
    hangup: Stream,
    user: Stream,
    terminate: Stream,
    interrupt: Stream,
}

impl Signals {
    pub(in crate::cli) fn new() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            user: signal(SignalKind::user_defined1())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// The next signal.
    pub(in crate::cli) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.hangup.recv() => Signal::Reload,
            _ = self.user.recv() => Signal::Off,
            _ = self.terminate.recv() => Signal::Terminate(143),
            _ = self.interrupt.recv() => Signal::Terminate(130),
        }
    }

    /// The next signal that asks to end; its exit code.
    pub(in crate::cli) async fn terminated(&mut self) -> u8 {
        loop {
            if let Signal::Terminate(code) = self.next().await {
                return code;
            }
        }
    }
}
