//! Whole clients and servers of HTTP over TLS, on hyper: for what is agreed on and shown in handshakes.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// A server that answers every request with what it was: the version, the target, the name asked for (SNI).
pub struct Origin {
    pub address: SocketAddr,
    /// Handshakes that were completed.
    pub connections: Arc<AtomicUsize>,
}

impl Origin {
    pub async fn new(config: ServerConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = connections.clone();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (acceptor, counter) = (acceptor.clone(), counter.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(socket).await else { return };
                    counter.fetch_add(1, SeqCst);
                    let (_, session) = stream.get_ref();
                    let name = session.server_name().unwrap_or("nobody").to_owned();
                    let is_h2 = session.alpn_protocol() == Some(b"h2");
                    let service = hyper::service::service_fn(move |request| {
                        let answer = answer(&request, &name);
                        async move { Ok::<_, std::convert::Infallible>(answer) }
                    });
                    let io = TokioIo::new(stream);
                    if is_h2 {
                        let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                            .serve_connection(io, service)
                            .await;
                    } else {
                        let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
                    }
                });
            }
        });
        Self { address, connections }
    }

    pub fn count(&self) -> usize {
        self.connections.load(SeqCst)
    }
}

fn answer(request: &Request<Incoming>, name: &str) -> Response<Full<Bytes>> {
    let body = format!("{:?} {} for {name}", request.version(), request.uri());
    Response::new(Full::new(Bytes::from(body)))
}

/// A handshake with this address, as `localhost`.
pub async fn shake_hands(address: SocketAddr, config: ClientConfig) -> io::Result<TlsStream<TcpStream>> {
    let socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), socket).await
}

/// A client on one connection.
pub enum Client {
    Http1(hyper::client::conn::http1::SendRequest<Empty<Bytes>>),
    Http2(hyper::client::conn::http2::SendRequest<Empty<Bytes>>),
}

impl Client {
    /// Connects over TLS and speaks what was agreed on.
    pub async fn connect(address: SocketAddr, config: ClientConfig) -> io::Result<Self> {
        let stream = shake_hands(address, config).await?;
        let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let io = TokioIo::new(stream);
        Ok(if is_h2 {
            let (sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.map_err(io::Error::other)?;
            tokio::spawn(connection);
            Self::Http2(sender)
        } else {
            let (sender, connection) = hyper::client::conn::http1::handshake(io).await.map_err(io::Error::other)?;
            tokio::spawn(connection);
            Self::Http1(sender)
        })
    }

    /// A GET: the head of the answer, and its body as text.
    pub async fn get(&mut self, path: &str) -> Result<(http::response::Parts, String), hyper::Error> {
        let request = |uri: String| Request::builder().uri(uri).header("host", "shop").body(Empty::new()).unwrap();
        let answer = match self {
            Self::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request(path.to_owned())).await?
            }
            Self::Http2(sender) => {
                sender.ready().await?;
                let mut request = request(format!("https://shop{path}"));
                request.headers_mut().remove("host");
                sender.send_request(request).await?
            }
        };
        let (head, body) = answer.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok((head, String::from_utf8_lossy(&body).into_owned()))
    }
}

/// One GET over a connection of its own.
pub async fn get(address: SocketAddr, config: ClientConfig) -> Result<(http::response::Parts, String), String> {
    let mut client = Client::connect(address, config).await.map_err(|error| error.to_string())?;
    client.get("/").await.map_err(|error| error.to_string())
}
