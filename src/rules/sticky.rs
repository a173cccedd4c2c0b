//! Decisions that stay with a sender, or with a request's number.

use std::fmt;

use http::header::HeaderName;

use super::cookie;
use crate::diagnostics::Reader;
use crate::dice::hash_bytes;
use crate::faults::RequestView;

/// What the dice of a match are taken from in the place of the count of matches: the same value gets the same
/// decisions, the draws of the faults included. A request without the value draws for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sticky {
    /// The first value of this header.
    Header(HeaderName),
    /// The first value of this cookie.
    Cookie(Box<str>),
    /// The client's address, without its port.
    Client,
}

impl Sticky {
    /// Reads `header:NAME`, `cookie:NAME` or `client`.
    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let text: String = reader.optional("sticky")?;
        let sticky = match text.split_once(':') {
            Some(("header", name)) => HeaderName::try_from(name.trim()).ok().map(Self::Header),
            Some(("cookie", name)) if !name.trim().is_empty() => Some(Self::Cookie(name.trim().into())),
            None if text == "client" => Some(Self::Client),
            _ => None,
        };
        if sticky.is_none() {
            let cure = Some("\"header:x-user\", \"cookie:session\" or \"client\"");
            reader.reject("sticky", format!("{text:?} is not valid"), cure);
        }
        sticky
    }

    /// A number that stands for the value; `None` if the request has none.
    pub(super) fn key(&self, request: &RequestView<'_>) -> Option<u64> {
        match self {
            Self::Header(name) => request.headers.get(name).map(|value| hash_bytes(value.as_bytes())),
            Self::Cookie(name) => cookie::values(request.headers, name).next().map(hash_bytes),
            Self::Client => request.client.map(|client| match client.to_canonical() {
                std::net::IpAddr::V4(address) => hash_bytes(&address.octets()),
                std::net::IpAddr::V6(address) => hash_bytes(&address.octets()),
            }),
        }
    }
}

impl fmt::Display for Sticky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header {name}"),
            Self::Cookie(name) => write!(f, "cookie {name}"),
            Self::Client => f.write_str("client address"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Request;
    use super::*;

    #[test]
    fn the_same_sender_has_the_same_key() {
        let key = |sticky: &Sticky, request: Request| sticky.key(&request.view());
        let header = Sticky::Header("x-user".parse().unwrap());
        let user = |name: &str| Request::get("/").header("x-user", name);
        assert_eq!(key(&header, user("ann")), key(&header, user("ann")));
        assert_ne!(key(&header, user("ann")), key(&header, user("bob")));
        assert_eq!(key(&header, Request::get("/")), None);
        let cookie = Sticky::Cookie("session".into());
        assert_eq!(
            key(&cookie, Request::get("/a").header("cookie", "session=7")),
            key(&cookie, Request::get("/b").header("cookie", "theme=dark; session=7")),
        );
        let from = |client| key(&Sticky::Client, Request::get("/").client(client));
        assert_eq!(from("10.0.0.1"), from("::ffff:10.0.0.1"));
        assert_ne!(from("10.0.0.1"), from("10.0.0.2"));
    }
}
