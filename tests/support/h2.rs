//! HTTP/2 peers with prior knowledge, on the `h2` crate: what they say and do not say is up to the test.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use bytes::Bytes;
use h2::client::SendRequest;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::PATIENCE;

/// A runtime for one test.
pub fn block_on<T>(test: impl Future<Output = T>) -> T {
    // More than one thread, so that a test may block on a raw socket while connections are driven.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, test).await.expect("the test hangs") })
}

/// A client's connection. Its error, when it ends with one, can be waited for.
pub struct Client {
    pub requests: SendRequest<Bytes>,
    pub connection: tokio::task::JoinHandle<Result<(), h2::Error>>,
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        Self::with(address, &h2::client::Builder::new()).await
    }

    pub async fn with(address: SocketAddr, options: &h2::client::Builder) -> Self {
        let socket = TcpStream::connect(address).await.unwrap();
        socket.set_nodelay(true).unwrap();
        let (requests, connection) = options.handshake(socket).await.unwrap();
        Self { requests, connection: tokio::spawn(connection) }
    }

    /// Starts a request; with `end` it has no body.
    pub async fn start(&self, request: Request<()>, end: bool) -> (h2::client::ResponseFuture, SendStream<Bytes>) {
        self.requests.clone().ready().await.unwrap().send_request(request, end).unwrap()
    }

    /// A GET of this path, to the head of its response.
    pub async fn get(&self, path: &str) -> Result<Response<RecvStream>, h2::Error> {
        self.start(get(path), true).await.0.await
    }
}

pub fn get(path: &str) -> Request<()> {
    Request::builder().uri(format!("http://shop{path}")).body(()).unwrap()
}

pub fn post(path: &str) -> Request<()> {
    Request::builder().method("POST").uri(format!("http://shop{path}")).body(()).unwrap()
}

/// Reads a body to its end, giving the window back; then the trailers.
pub async fn read_all(mut body: RecvStream) -> Result<(Vec<u8>, Option<HeaderMap>), h2::Error> {
    let mut all = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len()).unwrap();
        all.extend_from_slice(&piece);
    }
    Ok((all, body.trailers().await?))
}

/// Sends a body as the window allows.
pub async fn send_all(stream: &mut SendStream<Bytes>, mut bytes: Bytes, end: bool) -> Result<(), h2::Error> {
    while !bytes.is_empty() {
        stream.reserve_capacity(bytes.len());
        match std::future::poll_fn(|cx| stream.poll_capacity(cx)).await {
            Some(window) => {
                let piece = bytes.split_to(window?.min(bytes.len()));
                stream.send_data(piece, end && bytes.is_empty())?;
            }
            None => return Err(h2::Reason::CANCEL.into()),
        }
    }
    Ok(())
}

/// A request as an origin sees it.
pub type Asked = (Request<RecvStream>, SendResponse<Bytes>);

/// An origin that hands its requests to the test.
pub struct Origin {
    pub address: SocketAddr,
    requests: UnboundedReceiver<Asked>,
    end: tokio::sync::broadcast::Sender<End>,
    connections: Arc<AtomicUsize>,
}

/// How an origin ends its connections.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Close,
    /// GOAWAY: requests under way are still answered.
    Goodbye,
}

impl Origin {
    pub async fn new() -> Self {
        Self::with(h2::server::Builder::new()).await
    }

    pub async fn with(options: h2::server::Builder) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, requests) = unbounded_channel();
        let (end, _) = tokio::sync::broadcast::channel(1);
        let ending = end.clone();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                socket.set_nodelay(true).unwrap();
                count.fetch_add(1, SeqCst);
                let (sender, options, mut ending) = (sender.clone(), options.clone(), ending.subscribe());
                tokio::spawn(async move {
                    let mut connection = options.handshake(socket).await.unwrap();
                    loop {
                        tokio::select! {
                            asked = connection.accept() => match asked {
                                Some(Ok(asked)) => drop(sender.send(asked)),
                                _ => return,
                            },
                            end = ending.recv() => match end {
                                Ok(End::Goodbye) => connection.graceful_shutdown(),
                                _ => return,
                            },
                        }
                    }
                });
            }
        });
        Self { address, requests, end, connections }
    }

    /// The next request.
    pub async fn asked(&mut self) -> Asked {
        self.requests.recv().await.unwrap()
    }

    /// Closes all connections.
    pub fn hang_up(&self) {
        assert!(self.end.send(End::Close).is_ok(), "nobody is there");
    }

    /// Says goodbye (GOAWAY) on all connections.
    pub fn say_goodbye(&self) {
        assert!(self.end.send(End::Goodbye).is_ok(), "nobody is there");
    }

    /// Connections that have been opened so far.
    pub fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }

    /// A request that has come already, if any.
    pub fn try_asked(&mut self) -> Option<Asked> {
        self.requests.try_recv().ok()
    }
}

/// A response's head.
pub fn response(status: u16) -> Response<()> {
    Response::builder().status(status).body(()).unwrap()
}
