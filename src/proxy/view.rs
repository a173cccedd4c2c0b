//! pingora's heads as the rules see them.

use pingora::http::{RequestHeader, ResponseHeader};

use super::client::Client;
use crate::faults::{RequestView, ResponseView};

/// What rules and faults may look at in a client's request.
pub(super) fn of(client: &Client) -> RequestView<'_> {
    RequestView { client: client.address(), ..request(client.request()) }
}

/// What a head says by itself.
fn request(head: &RequestHeader) -> RequestView<'_> {
    RequestView {
        host: host(head),
        query: head.uri.query(),
        ..RequestView::of(&head.method, head.uri.path(), &head.headers)
    }
}

/// What faults may look at in a response.
pub(super) fn response(head: &ResponseHeader) -> ResponseView<'_> {
    ResponseView { status: head.status, headers: &head.headers }
}

/// The host without its port: of the target if it has one, else of the `Host` header.
fn host(head: &RequestHeader) -> &str {
    if let Some(host) = head.uri.host() {
        return host;
    }
    let field = head.headers.get(http::header::HOST).and_then(|h| h.to_str().ok());
    let named = field.or_else(|| absolute_authority(head.raw_path())).unwrap_or("");
    match named.rfind(':') {
        // The colons of an IPv6 address stand before its bracket.
        Some(colon) if !named[colon..].contains(']') => &named[..colon],
        _ => named,
    }
}

/// `shop:80` of `http://shop:80/a`, which the parsed target does not keep.
fn absolute_authority(target: &[u8]) -> Option<&str> {
    let (_, rest) = std::str::from_utf8(target).ok()?.split_once("://").filter(|_| !target.starts_with(b"/"))?;
    rest.split(['/', '?', '#']).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_known_without_its_port() {
        for (field, host) in [("shop", "shop"), ("shop:80", "shop"), ("[::1]:80", "[::1]"), ("[::1]", "[::1]")] {
            let mut head = RequestHeader::build("GET", b"/", None).unwrap();
            head.insert_header("Host", field).unwrap();
            assert_eq!(request(&head).host, host);
        }
        let absolute = RequestHeader::build("GET", b"http://shop:80/a?b=://c", None).unwrap();
        assert_eq!((request(&absolute).host, request(&absolute).path), ("shop", "/a"));
        let origin_form = RequestHeader::build("GET", b"/a?b=http://c", None).unwrap();
        assert_eq!(request(&origin_form).host, "");
        let mut head = RequestHeader::build("GET", b"/a%2Fb?c", None).unwrap();
        head.set_uri("http://up:1/a%2Fb?c".parse().unwrap());
        let view = request(&head);
        assert_eq!((view.host, view.path, view.query), ("up", "/a%2Fb", Some("c")));
    }
}
