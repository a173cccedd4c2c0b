//! WebSocket: messages, pings and closes, over TLS on either side or none.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_async, client_async};

use crate::support::h2::block_on;
use crate::support::tls::{WORLD, client};
use crate::support::*;

trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}
type Socket = WebSocketStream<Box<dyn Io>>;

/// Echoes every message; closes with a reason when told to, and hangs up without one when told to.
async fn echo(mut socket: Socket) {
    while let Some(Ok(message)) = socket.next().await {
        match message {
            Message::Text(text) if text == "close" => {
                let frame = CloseFrame { code: CloseCode::Policy, reason: "as you wish".into() };
                let _ = socket.close(Some(frame)).await;
            }
            Message::Text(text) if text == "hang up" => return,
            Message::Text(_) | Message::Binary(_) => socket.send(message).await.unwrap(),
            _ => {}
        }
    }
}

/// A server that prefers HTTP/2 if it is offered: a browser's WebSocket needs HTTP/1.1 all the same.
async fn serve(tls: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(WORLD.local.server(&["h2", "http/1.1"])));
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let io: Box<dyn Io> = match tls {
                    true => Box::new(acceptor.accept(socket).await.unwrap()),
                    false => Box::new(socket),
                };
                if let Ok(socket) = accept_async(io).await {
                    echo(socket).await;
                }
            });
        }
    });
    address
}

async fn connect(down: bool, up: bool, rules: &str) -> (Socket, Bench) {
    let (address, certs) = (serve(up).await, Certs::new());
    let mut lines = match up {
        true => format!("upstream = \"https://{address}\"\n{}", certs.upstream_tls()),
        false => format!("upstream = \"http://{address}\"\n"),
    };
    if down {
        lines += &certs.tls();
    }
    let bench = Bench::with(&lines);
    bench.rules(rules);
    let io: Box<dyn Io> = match down {
        true => Box::new(https::shake_hands(bench.address, client(&WORLD.authority.pem, &["http/1.1"])).await.unwrap()),
        false => Box::new(TcpStream::connect(bench.address).await.unwrap()),
    };
    (client_async("ws://localhost/echo", io).await.unwrap().0, bench)
}

fn over_every_passage<F: Future<Output = ()>>(test: impl Fn(Socket, Arc<Ledger>) -> F) {
    block_on(async {
        for (down, up) in [(false, false), (true, false), (false, true), (true, true)] {
            let (socket, bench) = connect(down, up, "").await;
            test(socket, bench.ledger.clone()).await;
        }
    });
}

#[test]
fn messages_pass_small_and_large() {
    over_every_passage(|mut socket, _| async move {
        for size in [0, 1, 125, 126, 65_536, 1 << 20] {
            let message = Message::Binary(Bytes::from(noise(size)));
            socket.send(message.clone()).await.unwrap();
            assert!(socket.next().await.unwrap().unwrap() == message, "{size} bytes");
        }
        for n in 0..20 {
            socket.send(Message::text(format!("caf\u{e9} {n}"))).await.unwrap();
            assert_eq!(socket.next().await.unwrap().unwrap(), Message::text(format!("caf\u{e9} {n}")));
        }
    });
}

#[test]
fn pings_are_answered_by_the_other_end() {
    over_every_passage(|mut socket, _| async move {
        socket.send(Message::Ping(Bytes::from_static(b"there?"))).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::Pong(Bytes::from_static(b"there?")));
    });
}

#[test]
fn a_close_passes_with_its_code_and_its_reason() {
    over_every_passage(|mut socket, ledger| async move {
        socket.send(Message::text("close")).await.unwrap();
        let Message::Close(Some(frame)) = socket.next().await.unwrap().unwrap() else { panic!("no close") };
        assert_eq!((frame.code, frame.reason.as_str()), (CloseCode::Policy, "as you wish"));
        assert!(socket.next().await.is_none_or(|end| matches!(end, Err(Error::ConnectionClosed))));
        assert_eq!(ledger.only().status, Some(101));
    });
}

#[test]
fn a_server_that_hangs_up_is_not_passed_off_as_one_that_closes() {
    over_every_passage(|mut socket, ledger| async move {
        socket.send(Message::text("hang up")).await.unwrap();
        match socket.next().await {
            None | Some(Err(_)) => {}
            Some(Ok(message)) => panic!("{message:?}"),
        }
        assert_eq!(ledger.only().status, Some(101));
    });
}

#[test]
fn what_befalls_messages_is_understood_over_every_passage() {
    block_on(async {
        for (down, up) in [(false, false), (true, false), (false, true), (true, true)] {
            let fault = "kind = \"websocket\"\ndelay = \"30ms\"\nclose = 1013\nreason = \"later\"\nclose_after = 2\n\
                         direction = \"request\"";
            let (mut socket, bench) = connect(down, up, &rule("r", fault)).await;
            for size in [5, 100_000] {
                let message = Message::Binary(Bytes::from(noise(size)));
                socket.send(message.clone()).await.unwrap();
                assert!(socket.next().await.unwrap().unwrap() == message, "{size} bytes");
            }
            socket.send(Message::text("one too many")).await.unwrap();
            let Message::Close(Some(frame)) = socket.next().await.unwrap().unwrap() else { panic!("no close") };
            assert_eq!((u16::from(frame.code), frame.reason.as_str()), (1013, "later"));
            assert_eq!(bench.ledger.only().marks, "r/websocket");
            assert_eq!((bench.counts().injected, bench.active()), (1, 0));
        }
    });
}
