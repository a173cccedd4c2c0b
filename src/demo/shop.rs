//! The system under test: takes orders, with habits that are common and not good.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::sync::Semaphore;

use super::service::Service;
use crate::clock;

/// How the shop treats its dependency and its own customers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Habits {
    /// Orders worked on at once; all others wait in a queue without a bound.
    pub workers: usize,
    /// Calls to the inventory for one order, the first included; repeated at once, without a pause.
    pub attempts: usize,
    /// How long one call may take.
    pub attempt_timeout: Duration,
}

/// A service that asks the inventory about every order: 200, or 503 when all attempts failed.
///
/// It does not notice customers who give up: their orders stay in the queue, and are worked on.
pub struct Shop(Service);

struct Till {
    workers: Semaphore,
    client: Client<HttpConnector, Empty<Bytes>>,
    inventory: SocketAddr,
    habits: Habits,
}

impl Shop {
    /// Starts it on a free loopback port; `inventory` is where it sends its calls.
    ///
    /// # Errors
    /// When the port or the thread cannot be had.
    pub fn start(inventory: SocketAddr, habits: Habits) -> std::io::Result<Self> {
        let till = move || {
            let mut connector = HttpConnector::new();
            connector.set_nodelay(true);
            Till {
                workers: Semaphore::new(habits.workers),
                client: Client::builder(TokioExecutor::new()).build(connector),
                inventory,
                habits,
            }
        };
        Service::start("shop", till, |till, _| async move {
            // A task of its own: an order goes on when its customer is gone.
            tokio::spawn(till.order()).await.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
        })
        .map(Self)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.0.address()
    }
}

impl Till {
    async fn order(self: Arc<Self>) -> StatusCode {
        let Ok(_worker) = self.workers.acquire().await else { return StatusCode::SERVICE_UNAVAILABLE };
        for _ in 0..self.habits.attempts {
            if self.in_stock().await {
                return StatusCode::OK;
            }
        }
        StatusCode::SERVICE_UNAVAILABLE
    }

    async fn in_stock(&self) -> bool {
        let Ok(request) = Request::get(format!("http://{}/stock", self.inventory)).body(Empty::new()) else {
            return false;
        };
        let call = async {
            let response = self.client.request(request).await.ok()?;
            let success = response.status().is_success();
            response.into_body().collect().await.ok()?;
            Some(success)
        };
        tokio::select! {
            answer = call => answer == Some(true),
            () = clock::sleep(self.habits.attempt_timeout) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::Inventory;
    use std::io::{Read, Write};

    fn ask(address: SocketAddr) -> String {
        let mut socket = std::net::TcpStream::connect(address).unwrap();
        socket.write_all(b"POST /api/checkout/1 HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer
    }

    const HABITS: Habits = Habits { workers: 2, attempts: 3, attempt_timeout: Duration::from_secs(5) };

    #[test]
    fn an_order_succeeds_while_the_inventory_answers_and_fails_when_it_is_gone() {
        let inventory = Inventory::start(Duration::from_millis(1)).unwrap();
        let shop = Shop::start(inventory.address(), HABITS).unwrap();
        assert!(ask(shop.address()).starts_with("HTTP/1.1 200 "));
        drop(inventory);
        assert!(ask(shop.address()).starts_with("HTTP/1.1 503 "));
    }
}
