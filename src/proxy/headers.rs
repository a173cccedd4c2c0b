//! Heads between protocols: what must change so that nothing else does.
//!
//! HTTP/1 to HTTP/1 changes nothing. Between HTTP/1 and HTTP/2 the connection-specific fields go, `Host` and
//! `:authority` become each other, cookies are joined (RFC 9113 section 8.2.3) and bodies are framed anew.

use http::header::{CONNECTION, CONTENT_LENGTH, COOKIE, HOST, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderName, HeaderValue, Method, StatusCode, Uri, Version};
use pingora::http::{RequestHeader, ResponseHeader};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// The head that goes upstream. `None` if it cannot be said in the upstream's protocol.
pub(super) fn upstream_request(client: &RequestHeader, to_h2: bool, has_body: bool) -> Option<RequestHeader> {
    let from_h2 = client.version == Version::HTTP_2;
    let mut head = client.clone();
    match (from_h2, to_h2) {
        (true, false) => h2_to_h1(&mut head, has_body)?,
        (false, true) => h1_to_h2(&mut head)?,
        _ => {}
    }
    Some(head)
}

fn h2_to_h1(head: &mut RequestHeader, has_body: bool) -> Option<()> {
    head.set_version(Version::HTTP_11);
    if !head.headers.contains_key(HOST) {
        let authority = head.uri.authority()?.as_str().to_owned();
        head.insert_header(HOST, authority).ok()?;
    }
    if head.headers.get_all(COOKIE).iter().nth(1).is_some() {
        let crumbs: Vec<&[u8]> = head.headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
        let joined = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])).ok()?;
        head.insert_header(COOKIE, joined).ok()?;
    }
    if has_body && !head.headers.contains_key(CONTENT_LENGTH) {
        head.insert_header(TRANSFER_ENCODING, "chunked").ok()?;
    }
    Some(())
}

fn h1_to_h2(head: &mut RequestHeader) -> Option<()> {
    for name in [CONNECTION, TRANSFER_ENCODING, UPGRADE, KEEP_ALIVE, PROXY_CONNECTION, HTTP2_SETTINGS] {
        head.remove_header(&name);
    }
    let authority = match head.uri.authority() {
        Some(authority) => authority.as_str().to_owned(),
        None => head.headers.get(HOST)?.to_str().ok()?.to_owned(),
    };
    head.remove_header(&HOST);
    let target = head.uri.path_and_query().map_or("/", |p| p.as_str()).to_owned();
    head.set_uri(Uri::builder().scheme("http").authority(authority).path_and_query(target).build().ok()?);
    Some(())
}

/// What the client is told about a response: its own request decides what it can read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Audience {
    pub(super) version: Version,
    pub(super) is_head: bool,
}

impl Audience {
    pub(super) fn of(request: &RequestHeader) -> Self {
        Self { version: request.version, is_head: request.method == Method::HEAD }
    }
}

/// Makes an upstream's head fit for the client. HTTP/2's own clean-up is the library's.
pub(super) fn downstream_response(head: &mut ResponseHeader, audience: Audience) {
    if audience.version == Version::HTTP_2 {
        return;
    }
    if head.version != Version::HTTP_11 {
        head.set_version(Version::HTTP_11);
    }
    if audience.version == Version::HTTP_10 {
        head.remove_header(&TRANSFER_ENCODING); // it cannot read chunks: the body ends with the connection
        return;
    }
    let bodiless = audience.is_head
        || head.status.is_informational()
        || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let framed = head.headers.contains_key(CONTENT_LENGTH) || head.headers.contains_key(TRANSFER_ENCODING);
    if !bodiless && !framed {
        // Until-close, or from HTTP/2: chunked keeps the client's connection.
        let _ = head.insert_header(TRANSFER_ENCODING, "chunked");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(version: Version, headers: &[(&'static str, &'static str)]) -> RequestHeader {
        let mut head = RequestHeader::build("GET", b"/a?b", None).unwrap();
        head.set_version(version);
        for (name, value) in headers {
            head.append_header(*name, *value).unwrap();
        }
        head
    }

    #[test]
    fn http1_to_http1_changes_nothing() {
        let head = request(Version::HTTP_11, &[("Connection", "close, X-A"), ("X-a", "1"), ("TE", "trailers")]);
        let sent = upstream_request(&head, false, true).unwrap();
        assert_eq!(sent.headers, head.headers);
        assert_eq!(sent.version, head.version);
    }

    #[test]
    fn http2_to_http1_names_the_host_joins_cookies_and_frames_the_body() {
        let mut head = request(Version::HTTP_2, &[("cookie", "a=1"), ("cookie", "b=2")]);
        head.set_uri("http://shop:81/a?b".parse().unwrap());
        let sent = upstream_request(&head, false, true).unwrap();
        assert_eq!(sent.headers["host"], "shop:81");
        assert_eq!(sent.headers.get_all("cookie").iter().collect::<Vec<_>>(), ["a=1; b=2"]);
        assert_eq!(sent.headers["transfer-encoding"], "chunked");
        let bare = upstream_request(&head, false, false).unwrap();
        assert!(!bare.headers.contains_key("transfer-encoding"));
    }

    #[test]
    fn http1_to_http2_loses_what_belongs_to_the_connection_and_needs_a_host() {
        let head = request(Version::HTTP_11, &[("Host", "shop"), ("Connection", "keep-alive"), ("X-A", "1")]);
        let sent = upstream_request(&head, true, false).unwrap();
        assert_eq!(sent.uri, "http://shop/a?b");
        assert_eq!(sent.headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-a"]);
        assert!(upstream_request(&request(Version::HTTP_10, &[]), true, false).is_none());
    }

    #[test]
    fn a_response_is_framed_for_its_audience() {
        let framed = |version, is_head, status: u16| {
            let mut head = ResponseHeader::build(status, None).unwrap();
            downstream_response(&mut head, Audience { version, is_head });
            head.headers.contains_key(TRANSFER_ENCODING)
        };
        assert!(framed(Version::HTTP_11, false, 200));
        assert!(!framed(Version::HTTP_11, true, 200));
        assert!(!framed(Version::HTTP_11, false, 204));
        assert!(!framed(Version::HTTP_10, false, 200));
        assert!(!framed(Version::HTTP_2, false, 200));
    }
}
