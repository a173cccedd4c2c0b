//! gRPC: every kind of call, its trailers and its errors.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut};
use http::uri::PathAndQuery;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_stream::{Stream, StreamExt};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::Service;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity, Server, ServerTlsConfig};
use tonic::{Code, Request, Response, Status, Streaming};
use tower::service_fn;

use crate::support::h2::block_on;
use crate::support::tls::WORLD;
use crate::support::*;

/// Messages that are texts, so that no code has to be generated.
#[derive(Debug, Clone, Copy, Default)]
struct Texts;

impl Codec for Texts {
    type Encode = String;
    type Decode = String;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Texts {
    type Item = String;
    type Error = Status;

    fn encode(&mut self, item: String, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put_slice(item.as_bytes());
        Ok(())
    }
}

impl Decoder for Texts {
    type Item = String;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<String>, Status> {
        let bytes = from.copy_to_bytes(from.remaining());
        String::from_utf8(bytes.to_vec()).map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}

type Words = Pin<Box<dyn Stream<Item = Result<String, Status>> + Send>>;
type Answering = Pin<Box<dyn Future<Output = Result<http::Response<tonic::body::Body>, Infallible>> + Send>>;

/// The service: tells on `left` when a caller of `/Endless` has gone.
#[derive(Clone)]
struct Echo {
    left: Sender<()>,
}

impl tonic::server::NamedService for Echo {
    const NAME: &'static str = "test.Echo";
}

impl Service<http::Request<tonic::body::Body>> for Echo {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Answering {
        let left = self.left.clone();
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(Texts);
            let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
            Ok(match method.as_str() {
                "Unary" => grpc.unary(service_fn(unary), request).await,
                "Split" => grpc.server_streaming(service_fn(split), request).await,
                "Join" => grpc.client_streaming(service_fn(join), request).await,
                "Chat" => grpc.streaming(service_fn(chat), request).await,
                _ => {
                    let endless = service_fn(move |request| endless(request, left.clone()));
                    grpc.server_streaming(endless, request).await
                }
            })
        })
    }
}

async fn unary(request: Request<String>) -> Result<Response<String>, Status> {
    let asked = request.metadata().get("x-asked").map(|value| value.to_str().unwrap().to_owned());
    let text = request.into_inner();
    if text == "fail" {
        let mut status = Status::not_found("no such thing: caf\u{e9}");
        status.metadata_mut().insert("x-why", "because".parse().unwrap());
        return Err(status);
    }
    let mut response = Response::new(format!("{text} {}", asked.unwrap_or_default()));
    response.metadata_mut().insert("x-told", "yes".parse().unwrap());
    Ok(response)
}

async fn split(request: Request<String>) -> Result<Response<Words>, Status> {
    let words: Vec<_> = request.into_inner().split(' ').map(|word| Ok(word.to_owned())).collect();
    let ending = [Err(Status::resource_exhausted("no more words"))];
    Ok(Response::new(Box::pin(tokio_stream::iter(words.into_iter().chain(ending)))))
}

async fn join(request: Request<Streaming<String>>) -> Result<Response<String>, Status> {
    let words: Vec<String> = request.into_inner().collect::<Result<_, _>>().await?;
    Ok(Response::new(words.join(" ")))
}

async fn chat(request: Request<Streaming<String>>) -> Result<Response<Words>, Status> {
    Ok(Response::new(Box::pin(request.into_inner().map(|word| word.map(|word| format!("{word}!"))))))
}

/// Says one word and then nothing more, until the caller has gone.
async fn endless(_: Request<String>, left: Sender<()>) -> Result<Response<Words>, Status> {
    let (words, said) = channel(1);
    tokio::spawn(async move {
        words.send(Ok("begun".to_owned())).await.unwrap();
        words.closed().await;
        left.send(()).await.unwrap();
    });
    Ok(Response::new(Box::pin(ReceiverStream::new(said))))
}

/// Serves until the test ends; the address, and when a caller of `/Endless` has gone.
async fn serve(tls: bool) -> (SocketAddr, Receiver<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (left, has_left) = channel(1);
    let mut server = Server::builder();
    if tls {
        let identity = Identity::from_pem(&WORLD.local.certificate, &WORLD.local.key);
        server = server.tls_config(ServerTlsConfig::new().identity(identity)).unwrap();
    }
    tokio::spawn(server.add_service(Echo { left }).serve_with_incoming(TcpListenerStream::new(listener)));
    (address, has_left)
}

/// One way from a client through a proxy to the service.
struct Passage {
    _bench: Bench,
    _certs: Certs,
    client: tonic::client::Grpc<Channel>,
    has_left: Receiver<()>,
}

impl Passage {
    async fn new(down: bool, up: bool) -> Self {
        let (address, has_left) = serve(up).await;
        let certs = Certs::new();
        let mut lines = match up {
            true => format!("upstream = \"https://{address}\"\n{}", certs.upstream_tls()),
            false => format!("upstream = \"h2c://{address}\"\n"),
        };
        if down {
            lines += &certs.tls();
        }
        let bench = Bench::with(&lines);
        let scheme = if down { "https" } else { "http" };
        let mut endpoint = Endpoint::from_shared(format!("{scheme}://localhost:{}", bench.address.port())).unwrap();
        if down {
            let ca = Certificate::from_pem(&WORLD.authority.pem);
            endpoint = endpoint.tls_config(ClientTlsConfig::new().ca_certificate(ca)).unwrap();
        }
        let client = tonic::client::Grpc::new(endpoint.connect().await.unwrap());
        Self { _bench: bench, _certs: certs, client, has_left }
    }

    async fn ready(&mut self) -> &mut tonic::client::Grpc<Channel> {
        self.client.ready().await.unwrap();
        &mut self.client
    }
}

fn method(name: &str) -> PathAndQuery {
    format!("/test.Echo/{name}").parse().unwrap()
}

/// Runs a test over every passage on which gRPC can pass.
fn over_every_passage<F: Future<Output = ()>>(test: impl Fn(Passage) -> F) {
    block_on(async {
        for (down, up) in [(false, false), (true, false), (false, true), (true, true)] {
            test(Passage::new(down, up).await).await;
        }
    });
}

#[test]
fn a_unary_call_passes_with_its_metadata() {
    over_every_passage(|mut passage| async move {
        for n in 0..3 {
            let mut request = Request::new(format!("hello {n}"));
            request.metadata_mut().insert("x-asked", "politely".parse().unwrap());
            let answer = passage.ready().await.unary(request, method("Unary"), Texts).await.unwrap();
            assert_eq!(answer.metadata().get("x-told").unwrap(), "yes");
            assert_eq!(answer.get_ref(), &format!("hello {n} politely"));
        }
    });
}

#[test]
fn an_error_passes_with_its_code_its_message_and_its_trailers() {
    over_every_passage(|mut passage| async move {
        let request = Request::new("fail".to_owned());
        let status = passage.ready().await.unary(request, method("Unary"), Texts).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::NotFound, "no such thing: caf\u{e9}"));
        assert_eq!(status.metadata().get("x-why").unwrap(), "because");
    });
}

#[test]
fn a_stream_from_the_server_passes_to_its_status() {
    over_every_passage(|mut passage| async move {
        let words: Vec<String> = (0..500).map(|n| format!("word{n}")).collect();
        let request = Request::new(words.join(" "));
        let answer = passage.ready().await.server_streaming(request, method("Split"), Texts).await.unwrap();
        let mut stream = answer.into_inner();
        for word in &words {
            assert_eq!(stream.next().await.unwrap().unwrap(), *word);
        }
        let status = stream.next().await.unwrap().unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::ResourceExhausted, "no more words"));
    });
}

#[test]
fn a_stream_from_the_client_passes() {
    over_every_passage(|mut passage| async move {
        let words: Vec<String> = (0..500).map(|n| format!("word{n}")).collect();
        let request = Request::new(tokio_stream::iter(words.clone()));
        let answer = passage.ready().await.client_streaming(request, method("Join"), Texts).await.unwrap();
        assert_eq!(answer.into_inner(), words.join(" "));
    });
}

#[test]
fn streams_in_both_directions_pass_word_by_word() {
    over_every_passage(|mut passage| async move {
        let (say, said) = channel(1);
        let request = Request::new(ReceiverStream::new(said));
        let answer = passage.ready().await.streaming(request, method("Chat"), Texts).await.unwrap();
        let mut stream = answer.into_inner();
        for n in 0..20 {
            say.send(format!("word{n}")).await.unwrap();
            assert_eq!(stream.next().await.unwrap().unwrap(), format!("word{n}!"));
        }
        drop(say);
        assert!(stream.next().await.is_none());
    });
}

#[test]
fn a_caller_that_hangs_up_is_noticed_by_the_server() {
    over_every_passage(|mut passage| async move {
        let request = Request::new(String::new());
        let answer = passage.ready().await.server_streaming(request, method("Endless"), Texts).await.unwrap();
        let mut stream = answer.into_inner();
        assert_eq!(stream.next().await.unwrap().unwrap(), "begun");
        drop(stream);
        passage.has_left.recv().await.unwrap();
    });
}
