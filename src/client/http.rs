//! One HTTP/1.1 call on one connection.

use std::fmt;

use ::http::{Method, Request, header};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use url::{Host, Url};

use super::ClientError;

/// Where an admin API listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    host: String,
    port: u16,
}

impl Address {
    /// `None` for anything but `http://host[:port]`; a path is ignored.
    pub(super) fn of(url: &Url) -> Option<Self> {
        let host = match url.host()? {
            Host::Domain(name) => name.to_owned(),
            Host::Ipv4(ip) => ip.to_string(),
            Host::Ipv6(ip) => ip.to_string(),
        };
        (url.scheme() == "http").then_some(Self { host, port: url.port_or_known_default()? })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// A status, a tag and a body.
pub(super) struct Answer {
    pub(super) status: u16,
    /// The state that the answer shows.
    pub(super) etag: Option<String>,
    pub(super) body: Bytes,
}

/// Connects, sends, reads the whole answer. Dropping the future closes the connection.
pub(super) async fn call(
    address: &Address,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> Result<Answer, ClientError> {
    let request = request(address, method, path, headers, body)?;
    let unreachable = |reason| ClientError::Unreachable { address: address.to_string(), reason };
    let stream = TcpStream::connect((address.host.as_str(), address.port)).await.map_err(unreachable)?;
    // Small writes that wait for each other would cost 40 ms.
    let _ = stream.set_nodelay(true);
    let broken = |reason| ClientError::Broken { address: address.to_string(), reason };
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let exchange = async {
        let response = sender.send_request(request).await?;
        let status = response.status().as_u16();
        let etag = response.headers().get(header::ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        let body = response.into_body().collect().await?.to_bytes();
        Ok(Answer { status, etag, body })
    };
    tokio::pin!(exchange);
    // The connection is driven here and not by a task of its own: it must not outlive the call.
    let driven = tokio::select! {
        biased;
        answer = &mut exchange => return answer.map_err(broken),
        driven = connection => driven,
    };
    // It has ended first: either it broke, or what was read last is all there is.
    match (driven, exchange.await) {
        (_, Ok(answer)) => Ok(answer),
        (Err(source), _) | (Ok(()), Err(source)) => Err(broken(source)),
    }
}

fn request(
    address: &Address,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> Result<Request<Full<Bytes>>, ClientError> {
    let mut request = Request::builder().method(method).uri(path).header(header::HOST, address.to_string());
    if !body.is_empty() {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    // The one thing that can be wrong is a token with a line break in it.
    request.body(Full::from(body)).map_err(|error| ClientError::Malformed(format!("the request: {error}")))
}
