//! pingora's heads as the rules see them.

use pingora::http::{RequestHeader, ResponseHeader};

use crate::faults::{RequestView, ResponseView};

/// What rules and faults may look at in a request.
pub(super) fn request(head: &RequestHeader) -> RequestView<'_> {
    RequestView {
        method: &head.method,
        host: host(head),
        path: head.uri.path(),
        query: head.uri.query(),
        headers: &head.headers,
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
    let named = head.headers.get(http::header::HOST).and_then(|h| h.to_str().ok()).unwrap_or("");
    match named.rfind(':') {
        // The colons of an IPv6 address stand before its bracket.
        Some(colon) if !named[colon..].contains(']') => &named[..colon],
        _ => named,
    }
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
        let mut head = RequestHeader::build("GET", b"/a%2Fb?c", None).unwrap();
        head.set_uri("http://up:1/a%2Fb?c".parse().unwrap());
        let view = request(&head);
        assert_eq!((view.host, view.path, view.query), ("up", "/a%2Fb", Some("c")));
    }
}
