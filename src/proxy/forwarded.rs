//! Tells the upstream who asked, if the proxy is to: `X-Forwarded-For`, `-Proto`, `-Host`.

use std::net::IpAddr;

use http::header::{FORWARDED, HOST};
use http::{HeaderName, HeaderValue};
use pingora::http::RequestHeader;

use crate::config::Forwarded;

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HOST_ASKED: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Who asked, as far as this connection tells.
pub(super) struct Asker<'a> {
    /// Its address; `None` when it has left meanwhile.
    pub(super) address: Option<IpAddr>,
    /// `http` or `https`.
    pub(super) scheme: &'static str,
    /// Its request as it came, for the host that it is for.
    pub(super) request: &'a RequestHeader,
}

/// Writes the policy's fields into a head that goes upstream.
pub(super) fn tell(head: &mut RequestHeader, policy: Forwarded, asker: &Asker<'_>) {
    let replaced = match policy {
        Forwarded::Off => return,
        Forwarded::Append => false,
        Forwarded::Replace => true,
    };
    if replaced {
        for name in [FOR, PROTO, HOST_ASKED, FORWARDED] {
            head.remove_header(&name);
        }
    }
    if let Some(address) = asker.address
        && let Some(value) = appended(head, address)
    {
        let _ = head.insert_header(FOR, value);
    }
    if !head.headers.contains_key(PROTO) {
        let _ = head.insert_header(PROTO, HeaderValue::from_static(asker.scheme));
    }
    if !head.headers.contains_key(HOST_ASKED)
        && let Some(host) = host(asker.request)
    {
        let _ = head.insert_header(HOST_ASKED, host);
    }
}

/// One list of all that was said so far, with the address at its end.
fn appended(head: &RequestHeader, address: IpAddr) -> Option<HeaderValue> {
    let mut list: Vec<&[u8]> = head.headers.get_all(FOR).iter().map(HeaderValue::as_bytes).collect();
    let address = address.to_string();
    list.push(address.as_bytes());
    HeaderValue::from_bytes(&list.join(&b", "[..])).ok()
}

/// The host with its port, as the client named it.
fn host(request: &RequestHeader) -> Option<HeaderValue> {
    let of_target = request.uri.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    of_target.or_else(|| request.headers.get(HOST).cloned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(policy: Forwarded, fields: &[(&'static str, &'static str)]) -> Vec<String> {
        let mut request = RequestHeader::build("GET", b"/", None).unwrap();
        request.insert_header("Host", "shop:81").unwrap();
        for (name, value) in fields {
            request.append_header(*name, *value).unwrap();
        }
        let mut head = request.clone();
        let asker = Asker { address: Some("10.0.0.9".parse().unwrap()), scheme: "http", request: &request };
        tell(&mut head, policy, &asker);
        let shown = |(name, value): (&HeaderName, &HeaderValue)| format!("{name}: {}", value.to_str().unwrap());
        let mut shown: Vec<_> = head.headers.iter().map(shown).filter(|line| !line.starts_with("host")).collect();
        shown.sort();
        shown
    }

    const CLAIMS: [(&str, &str); 5] = [
        ("X-Forwarded-For", "1.1.1.1"),
        ("x-forwarded-for", "2.2.2.2, 3.3.3.3"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "front"),
        ("Forwarded", "for=1.1.1.1"),
    ];

    #[test]
    fn by_default_nothing_changes() {
        assert_eq!(sent(Forwarded::Off, &[]), [""; 0]);
        assert_eq!(sent(Forwarded::Off, &CLAIMS).len(), 5);
    }

    #[test]
    fn a_trusted_proxy_in_front_is_believed_and_added_to() {
        let expected = ["x-forwarded-for: 10.0.0.9", "x-forwarded-host: shop:81", "x-forwarded-proto: http"];
        assert_eq!(sent(Forwarded::Append, &[]), expected);
        let expected = [
            "forwarded: for=1.1.1.1",
            "x-forwarded-for: 1.1.1.1, 2.2.2.2, 3.3.3.3, 10.0.0.9",
            "x-forwarded-host: front",
            "x-forwarded-proto: https",
        ];
        assert_eq!(sent(Forwarded::Append, &CLAIMS), expected);
    }

    #[test]
    fn at_the_edge_nobodys_claims_get_through() {
        let expected = ["x-forwarded-for: 10.0.0.9", "x-forwarded-host: shop:81", "x-forwarded-proto: http"];
        assert_eq!(sent(Forwarded::Replace, &CLAIMS), expected);
    }

    #[test]
    fn on_http_2_the_host_is_the_authority() {
        let mut request = RequestHeader::build("GET", b"/", None).unwrap();
        request.set_uri("http://shop:82/".parse().unwrap());
        assert_eq!(host(&request).unwrap(), "shop:82");
    }
}
