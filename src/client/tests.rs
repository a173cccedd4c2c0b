//! What the client makes of a server that is not there, falls silent, or is something else.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use url::Url;

use super::*;

fn client(address: SocketAddr) -> Client {
    Client::new(&Url::parse(&format!("http://{address}")).unwrap(), Some("sesame")).unwrap()
}

/// A server that reads one request and answers with this text; gives what it read.
async fn canned(answer: &'static str) -> (SocketAddr, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4096];
        let length = stream.read(&mut request).await.unwrap();
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8_lossy(&request[..length]).into_owned()
    });
    (address, served)
}

#[tokio::test]
async fn a_call_carries_host_and_token_and_reads_the_answer() {
    let (address, served) = canned(
        "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"id\":\"i\",\"started_at\":\"then\",\"version\":\"1\",\"new\":1}",
    )
    .await;
    let instance = client(address).instance().await.unwrap();
    assert_eq!((instance.id.as_str(), instance.version.as_str()), ("i", "1"), "what a newer server adds is ignored");
    let request = served.await.unwrap().to_ascii_lowercase();
    assert!(request.starts_with("get /api/v1/instance http/1.1\r\n"), "{request}");
    assert!(request.contains(&format!("host: {address}\r\n")) && request.contains("authorization: bearer sesame\r\n"));
}

#[tokio::test]
async fn nobody_there_is_told_from_somebody_else() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let nobody = client(free).off().await.unwrap_err();
    assert!(matches!(nobody, ClientError::Unreachable { .. }));
    assert!(std::error::Error::source(&nobody).is_none(), "a report with its causes would say the reason twice");
    for page in
        ["HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"]
    {
        assert!(matches!(client(canned(page).await.0).off().await, Err(ClientError::Malformed(_))), "{page}");
    }
    for broken in ["", "SSH-2.0-OpenSSH\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{"] {
        assert!(matches!(client(canned(broken).await.0).off().await, Err(ClientError::Broken { .. })), "{broken}");
    }
}

#[tokio::test]
async fn an_answer_without_a_length_ends_with_the_connection() {
    let page = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"off\":true,\"persisted\":false,\"active\":3}";
    assert_eq!(client(canned(page).await.0).faults().await.unwrap().active, 3);
}

#[tokio::test]
async fn silence_ends_with_the_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = client(listener.local_addr().unwrap()).with_timeout(Duration::from_millis(20));
    assert!(matches!(client.off().await, Err(ClientError::TimedOut { .. })));
}

#[test]
fn only_an_http_address_is_taken() {
    for (url, expected) in [
        ("http://127.0.0.1:7470", true),
        ("http://localhost", true),
        ("http://[::1]:7470/", true),
        ("https://127.0.0.1", false),
        ("mailto:a@b", false),
    ] {
        assert_eq!(Client::new(&Url::parse(url).unwrap(), None).is_ok(), expected, "{url}");
    }
}
