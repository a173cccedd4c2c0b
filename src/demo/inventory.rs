//! The dependency: says whether an item is in stock, after a while.

use std::net::SocketAddr;
use std::time::Duration;

use http::StatusCode;

use super::service::Service;
use crate::clock;

/// A service that answers every request 200 after a fixed time, as many at once as there are.
pub struct Inventory(Service);

impl Inventory {
    /// Starts it on a free loopback port.
    ///
    /// # Errors
    /// When the port or the thread cannot be had.
    pub fn start(service_time: Duration) -> std::io::Result<Self> {
        Service::start(
            "inventory",
            || (),
            move |_, _| async move {
                clock::sleep(service_time).await;
                StatusCode::OK
            },
        )
        .map(Self)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.0.address()
    }
}
