//! Plain TCP.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;

use tokio::net::TcpStream;

use super::Dial;

/// Dials the addresses of a target in turn, the one that answered last first.
#[derive(Debug)]
pub(in crate::load) struct Tcp {
    addresses: Vec<SocketAddr>,
    preferred: Cell<usize>,
}

impl Tcp {
    pub(in crate::load) fn new(addresses: &[SocketAddr]) -> Self {
        Self { addresses: addresses.to_vec(), preferred: Cell::new(0) }
    }
}

impl Dial for Tcp {
    type Stream = TcpStream;

    async fn dial(&self) -> io::Result<TcpStream> {
        let (n, first) = (self.addresses.len(), self.preferred.get());
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for place in (first..first + n).map(|place| place % n) {
            match TcpStream::connect(self.addresses[place]).await {
                Ok(stream) => {
                    self.preferred.set(place);
                    stream.set_nodelay(true)?;
                    return Ok(stream);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn the_address_that_answers_is_found_and_kept() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let tcp = Tcp::new(&[gone, listener.local_addr().unwrap()]);
        assert!(tcp.dial().await.is_ok());
        assert_eq!(tcp.preferred.get(), 1);
        drop(listener);
        assert_eq!(tcp.dial().await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }
}
