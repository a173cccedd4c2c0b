//! Heads between protocols: what must change so that nothing else does.
//!
//! HTTP/1 to HTTP/1 changes nothing. Between HTTP/1 and HTTP/2 the connection-specific fields go, `Host` and
//! `:authority` become each other, cookies are joined (RFC 9113 section 8.2.3) and bodies are framed anew.

use http::header::{CONNECTION, CONTENT_LENGTH, COOKIE, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderName, HeaderValue, Method, StatusCode, Uri, Version};
use pingora::http::{RequestHeader, ResponseHeader};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// What HTTP/2 says of where a request goes, besides what the client says itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct H2Target<'a> {
    /// Of the upstream's connection.
    pub(super) scheme: &'static str,
    /// What a request is for that names no host.
    pub(super) authority: &'a str,
    /// The client's connection has another scheme.
    pub(super) is_other_scheme: bool,
}

/// The head that goes upstream; `h2` is given for an HTTP/2 connection. `None` if the head cannot be said in the
/// upstream's protocol.
pub(super) fn upstream_request(
    client: &RequestHeader,
    h2: Option<H2Target<'_>>,
    has_body: bool,
) -> Option<RequestHeader> {
    let from_h2 = client.version == Version::HTTP_2;
    match h2 {
        Some(target) if from_h2 && client.uri.authority().is_some() => h2_to_h2(client.clone(), target),
        Some(target) => to_h2(client.clone(), target),
        None if from_h2 => h2_to_h1(client, has_body),
        None => Some(client.clone()),
    }
}

fn h2_to_h1(client: &RequestHeader, has_body: bool) -> Option<RequestHeader> {
    let target = client.uri.path_and_query().map_or("/", |p| p.as_str());
    let mut head = RequestHeader::build_no_case(client.method.clone(), target.as_bytes(), None).ok()?;
    head.set_version(Version::HTTP_11);
    match client.uri.authority() {
        Some(authority) => head.insert_header(HOST, authority.as_str()).ok()?,
        None => head.insert_header(HOST, client.headers.get(HOST)?.clone()).ok()?,
    }
    for (name, value) in client.headers.iter().filter(|(name, _)| **name != HOST && **name != COOKIE) {
        head.append_header(name.clone(), value.clone()).ok()?;
    }
    let crumbs: Vec<&[u8]> = client.headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if !crumbs.is_empty() {
        head.insert_header(COOKIE, HeaderValue::from_bytes(&crumbs.join(&b"; "[..])).ok()?).ok()?;
    }
    if has_body && !head.headers.contains_key(CONTENT_LENGTH) {
        head.insert_header(TRANSFER_ENCODING, "chunked").ok()?;
    }
    Some(head)
}

/// Where TLS begins or ends here the scheme follows: some servers refuse one that is not their connection's.
fn h2_to_h2(mut head: RequestHeader, target: H2Target<'_>) -> Option<RequestHeader> {
    if target.is_other_scheme {
        let mut parts = head.uri.clone().into_parts();
        parts.scheme = Some(target.scheme.parse().ok()?);
        head.set_uri(Uri::from_parts(parts).ok()?);
    }
    Some(head)
}

fn to_h2(mut head: RequestHeader, target: H2Target<'_>) -> Option<RequestHeader> {
    for name in nominated(&head) {
        head.remove_header(&name);
    }
    for name in [CONNECTION, TRANSFER_ENCODING, UPGRADE, KEEP_ALIVE, PROXY_CONNECTION, HTTP2_SETTINGS] {
        head.remove_header(&name);
    }
    if head.headers.get(TE).is_some_and(|te| te != "trailers") {
        head.remove_header(&TE); // the only value that HTTP/2 allows
    }
    let authority = match head.headers.get(HOST) {
        Some(host) => host.to_str().ok()?.to_owned(),
        None => target.authority.to_owned(),
    };
    head.remove_header(&HOST);
    let path = head.uri.path_and_query().map_or("/", |p| p.as_str()).to_owned();
    head.set_uri(Uri::builder().scheme(target.scheme).authority(authority).path_and_query(path).build().ok()?);
    Some(head)
}

/// Fields that belong to the connection because its `Connection` field says so (RFC 9110 section 7.6.1).
fn nominated(head: &RequestHeader) -> Vec<HeaderName> {
    let named = head.headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    named.flat_map(|value| value.split(',')).filter_map(|name| name.trim().parse().ok()).collect()
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

/// The client offers to speak another protocol.
pub(super) fn may_upgrade(request: &RequestHeader) -> bool {
    request.version == Version::HTTP_11 && request.headers.contains_key(UPGRADE)
}

/// Makes an upstream's head fit for the client; `end` if no body follows. HTTP/2's own clean-up is the library's.
pub(super) fn downstream_response(head: &mut ResponseHeader, audience: Audience, end: bool) {
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
    if bodiless || framed {
        return;
    }
    // Until-close, or from HTTP/2: a frame of its own keeps the client's connection.
    let _ = match end {
        true => head.insert_header(CONTENT_LENGTH, "0"),
        false => head.insert_header(TRANSFER_ENCODING, "chunked"),
    };
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

    const UP: H2Target<'static> = H2Target { scheme: "http", authority: "up:1", is_other_scheme: false };

    #[test]
    fn http1_to_http1_changes_nothing() {
        let head = request(Version::HTTP_11, &[("Connection", "close, X-A"), ("X-a", "1"), ("TE", "trailers")]);
        let sent = upstream_request(&head, None, true).unwrap();
        assert_eq!(sent.headers, head.headers);
        assert_eq!(sent.version, head.version);
    }

    #[test]
    fn http2_to_http1_names_the_host_first_joins_cookies_and_frames_the_body() {
        let mut head = request(Version::HTTP_2, &[("cookie", "a=1"), ("x-a", "1"), ("cookie", "b=2")]);
        head.set_uri("http://shop:81/a?b".parse().unwrap());
        let sent = upstream_request(&head, None, true).unwrap();
        assert_eq!(sent.headers["host"], "shop:81");
        assert_eq!(sent.headers.keys().next().unwrap(), "host");
        assert_eq!(sent.headers.get_all("cookie").iter().collect::<Vec<_>>(), ["a=1; b=2"]);
        assert_eq!(sent.headers["transfer-encoding"], "chunked");
        assert_eq!(sent.raw_path(), b"/a?b");
        let bare = upstream_request(&head, None, false).unwrap();
        assert!(!bare.headers.contains_key("transfer-encoding"));
    }

    #[test]
    fn http1_to_http2_loses_what_belongs_to_the_connection() {
        let head = request(
            Version::HTTP_11,
            &[("Host", "shop"), ("Connection", "keep-alive, X-Hop"), ("X-Hop", "1"), ("TE", "gzip"), ("X-A", "1")],
        );
        let sent = upstream_request(&head, Some(UP), false).unwrap();
        assert_eq!(sent.uri, "http://shop/a?b");
        assert_eq!(sent.headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-a"]);
    }

    #[test]
    fn what_names_no_host_is_for_the_upstream_itself_on_http2() {
        let sent = upstream_request(&request(Version::HTTP_10, &[]), Some(UP), false).unwrap();
        assert_eq!(sent.uri, "http://up:1/a?b");
    }

    #[test]
    fn the_scheme_of_http2_changes_only_where_tls_begins_or_ends() {
        let mut head = request(Version::HTTP_2, &[]);
        head.set_uri("https://shop:81/a?b".parse().unwrap());
        let kept = upstream_request(&head, Some(UP), false).unwrap();
        assert_eq!(kept.uri, "https://shop:81/a?b");
        let changed = upstream_request(&head, Some(H2Target { is_other_scheme: true, ..UP }), false).unwrap();
        assert_eq!(changed.uri, "http://shop:81/a?b");
    }

    #[test]
    fn a_response_is_framed_for_its_audience() {
        let framed = |version, is_head, status: u16, end| {
            let mut head = ResponseHeader::build(status, None).unwrap();
            downstream_response(&mut head, Audience { version, is_head }, end);
            head.headers.keys().next().map(|name| name.as_str().to_owned())
        };
        assert_eq!(framed(Version::HTTP_11, false, 200, false).as_deref(), Some("transfer-encoding"));
        assert_eq!(framed(Version::HTTP_11, false, 200, true).as_deref(), Some("content-length"));
        assert_eq!(framed(Version::HTTP_11, true, 200, false), None);
        assert_eq!(framed(Version::HTTP_11, false, 204, false), None);
        assert_eq!(framed(Version::HTTP_10, false, 200, false), None);
        assert_eq!(framed(Version::HTTP_2, false, 200, false), None);
    }
}
