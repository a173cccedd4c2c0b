//! A client whose clock is as near to the socket as hyper lets it be.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

/// How a client speaks to the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    H1,
    H2c,
}

impl Protocol {
    pub(crate) const ALL: [Self; 2] = [Self::H1, Self::H2c];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::H1 => "HTTP/1.1",
            Self::H2c => "h2c",
        }
    }
}

/// One user: a connection of its own on HTTP/1.1, a stream at a time of a shared one on h2c.
pub(crate) enum Client {
    H1(http1::SendRequest<Empty<Bytes>>),
    H2c(http2::SendRequest<Empty<Bytes>>, SocketAddr),
}

/// Users that share one HTTP/2 connection.
const STREAMS: usize = 50;

impl Client {
    /// So many users.
    pub(crate) async fn many(protocol: Protocol, address: SocketAddr, count: usize) -> Vec<Self> {
        let mut clients = Vec::with_capacity(count);
        while clients.len() < count {
            let socket = TcpStream::connect(address).await.unwrap();
            socket.set_nodelay(true).unwrap();
            let io = TokioIo::new(socket);
            match protocol {
                Protocol::H1 => {
                    let (sender, connection) = http1::handshake(io).await.unwrap();
                    tokio::spawn(connection);
                    clients.push(Self::H1(sender));
                }
                Protocol::H2c => {
                    let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
                    tokio::spawn(connection);
                    let users = STREAMS.min(count - clients.len());
                    clients.extend((0..users).map(|_| Self::H2c(sender.clone(), address)));
                }
            }
        }
        clients
    }

    /// Sends a GET and waits for the head of its answer, which must be 200.
    pub(crate) async fn get(&mut self, path: &str) -> Response<Incoming> {
        let answer = match self {
            Self::H1(sender) => {
                let request = Request::get(path).header("host", "bench").body(Empty::new()).unwrap();
                sender.ready().await.unwrap();
                sender.send_request(request).await.unwrap()
            }
            Self::H2c(sender, address) => {
                let request = Request::get(format!("http://{address}{path}")).body(Empty::new()).unwrap();
                sender.ready().await.unwrap();
                sender.send_request(request).await.unwrap()
            }
        };
        assert_eq!(answer.status(), 200, "{path}");
        answer
    }
}
