//! An exchange over HTTP/2, for tests of faults that act on any protocol.

use bytes::Bytes;
use http::{HeaderMap, Request, Response};

use crate::support::h2::{Client, Origin, post, read_all, response, send_all};
use crate::support::*;

/// How a body ended: its bytes and trailers, or the code of the reset.
pub(crate) type Ended = Result<(Vec<u8>, Option<HeaderMap>), Option<::h2::Reason>>;

/// A client, a proxy with this fault for every request, and an origin.
pub(crate) struct Setting {
    pub(crate) origin: Origin,
    pub(crate) bench: Bench,
    pub(crate) client: Client,
}

impl Setting {
    pub(crate) async fn new(fault: &str) -> Self {
        let origin = Origin::new().await;
        let bench = Bench::h2c(origin.address);
        bench.rules(&rule("r", fault));
        let client = Client::connect(bench.address).await;
        Self { origin, bench, client }
    }

    /// Asks, lets the origin answer with this head and body, and gives what arrives.
    pub(crate) async fn ask(&mut self, request: Request<()>, answer: Response<()>, body: &[u8]) -> (HeaderMap, Ended) {
        let (response, _) = self.client.start(request, true).await;
        let (_, mut respond) = self.origin.asked().await;
        let mut stream = respond.send_response(answer, false).unwrap();
        let body = Bytes::copy_from_slice(body);
        tokio::spawn(async move {
            let _ = send_all(&mut stream, body.clone(), true).await;
            if body.is_empty() {
                let _ = stream.send_data(body, true);
            }
        });
        match response.await {
            Ok(response) => {
                let headers = response.headers().clone();
                (headers, read_all(response.into_body()).await.map_err(|error| error.reason()))
            }
            Err(error) => (HeaderMap::new(), Err(error.reason())),
        }
    }

    /// Uploads, and gives the request's head and body as the origin gets them.
    pub(crate) async fn upload(&mut self, body: &[u8]) -> (http::request::Parts, Vec<u8>) {
        let (answered, mut stream) = self.client.start(post("/"), false).await;
        let body = Bytes::copy_from_slice(body);
        tokio::spawn(async move { send_all(&mut stream, body, true).await });
        let (request, mut respond) = self.origin.asked().await;
        let (head, stream) = request.into_parts();
        let got = read_all(stream).await.unwrap().0;
        respond.send_response(response(200), true).unwrap();
        assert_eq!(answered.await.unwrap().status(), 200);
        (head, got)
    }
}

/// An answer of this status with these fields.
pub(crate) fn answer(status: u16, fields: &[(&str, &str)]) -> Response<()> {
    let mut answer = Response::builder().status(status);
    for (name, value) in fields {
        answer = answer.header(*name, *value);
    }
    answer.body(()).unwrap()
}
