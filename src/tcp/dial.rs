//! A connection to the upstream.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::net::TcpStream;

use crate::clock;
use crate::telemetry::events::Trouble;

/// Where a proxy's connections go: `host:port`, in turn. Names are looked up for each connection.
#[derive(Debug)]
pub(super) struct Upstreams {
    addresses: Vec<String>,
    next: AtomicUsize,
    /// For looking up and connecting together, over all addresses.
    timeout: Duration,
}

impl Upstreams {
    pub(super) fn new(addresses: Vec<String>, timeout: Duration) -> Self {
        Self { addresses, next: AtomicUsize::new(0), timeout }
    }

    /// Connects to the next one, or to one of the others if that cannot be.
    ///
    /// # Errors
    /// Why the last one could not be connected to.
    pub(super) async fn dial(&self) -> Result<TcpStream, Trouble> {
        let deadline = clock::now() + self.timeout;
        let first = self.next.fetch_add(1, Relaxed);
        let mut trouble = Trouble::UpstreamUnresolved;
        for n in 0..self.addresses.len() {
            let address = &self.addresses[(first + n) % self.addresses.len()];
            let connected = tokio::select! {
                connected = TcpStream::connect(address.as_str()) => connected,
                () = clock::sleep_until(deadline) => return Err(Trouble::UpstreamConnectTimeout),
            };
            match connected {
                Ok(stream) => {
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Err(error) => trouble = named(&error),
            }
        }
        Err(trouble)
    }
}

fn named(error: &io::Error) -> Trouble {
    match error.kind() {
        io::ErrorKind::TimedOut => Trouble::UpstreamConnectTimeout,
        // Errors of the kernel have a number; those of a look-up do not.
        _ if error.raw_os_error().is_none() => Trouble::UpstreamUnresolved,
        _ => Trouble::UpstreamRefused,
    }
}
