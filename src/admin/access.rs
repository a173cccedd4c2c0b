//! Who may call: decided from the head of a request alone.

use std::hint::black_box;
use std::net::{IpAddr, SocketAddr};

use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};

use super::problem::Refusal;
use crate::config::Token;

/// Who may call the admin API.
///
/// A web page that somebody happens to look at can send requests to addresses of their machine. It is kept out by
/// three things that it cannot forge: the `Host` that its requests carry (also after its own name was made to
/// point here), the `Origin` that the browser adds, and a content type that a page may not send elsewhere by itself.
#[derive(Debug, Clone)]
pub struct Access {
    /// Where the API listens.
    pub listen: SocketAddr,
    /// Asked for as `Authorization: Bearer`, if set.
    pub token: Option<Token>,
    /// Names of this host that a `Host` header may also have.
    pub names: Vec<String>,
}

impl Access {
    /// Lets a request pass or says why not. Looks at nothing but its head.
    pub(super) fn admit(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let host = single(headers, &header::HOST).and_then(|host| host.parse::<Authority>().ok());
        let host = host.filter(|host| self.is_ours(host)).ok_or_else(|| self.foreign_host(headers))?;
        if let Some(origin) = headers.get(header::ORIGIN) {
            let same = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, origin)| origin);
            if !same.is_some_and(|same| same.eq_ignore_ascii_case(host.as_str())) {
                let detail = format!("a page of {origin:?} may not call this API");
                return Err(Refusal::new(StatusCode::FORBIDDEN, "forbidden-origin", "foreign origin", detail));
            }
        }
        self.check_token(headers)?;
        check_type(headers)
    }

    /// Addresses cannot be taken over by a name server, names can: so only known names pass.
    fn is_ours(&self, host: &Authority) -> bool {
        let name = host.host().trim_start_matches('[').trim_end_matches(']');
        if host.as_str().contains('@') {
            return false;
        }
        match name.parse::<IpAddr>() {
            // Behind an address that stands for all we cannot know which ones are ours; there is a token then.
            Ok(ip) => ip.is_loopback() || ip == self.listen.ip() || self.listen.ip().is_unspecified(),
            Err(_) => {
                let known = self.names.iter().map(String::as_str).chain(["localhost"]);
                known.into_iter().any(|known| known.eq_ignore_ascii_case(name))
            }
        }
    }

    fn foreign_host(&self, headers: &HeaderMap) -> Refusal {
        let detail = match headers.get(header::HOST) {
            Some(host) => format!(
                "Host {host:?} is not this instance; call it by its address, as localhost, or by a name in admin.hosts"
            ),
            None => "the request has no Host header".to_owned(),
        };
        Refusal::new(StatusCode::FORBIDDEN, "forbidden-host", "foreign host", detail)
    }

    fn check_token(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let Some(token) = &self.token else { return Ok(()) };
        let sent = single(headers, &header::AUTHORIZATION).and_then(|value| value.split_once(' '));
        let good = sent.is_some_and(|(scheme, sent)| {
            scheme.eq_ignore_ascii_case("bearer") && same_secret(sent.trim().as_bytes(), token.reveal().as_bytes())
        });
        if good { Ok(()) } else { Err(Refusal::unauthorized()) }
    }
}

/// The value of a header that is there once, as text.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    if values.next().is_some() { None } else { first.to_str().ok() }
}

/// A body must say that it is JSON; a request that names another type is refused even without a body.
fn check_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let has_body = headers.contains_key(header::TRANSFER_ENCODING)
        || headers.get(header::CONTENT_LENGTH).is_some_and(|length| length.as_bytes() != b"0");
    let sent = headers.get(header::CONTENT_TYPE);
    let is_json = sent.and_then(|sent| sent.to_str().ok()).is_some_and(|sent| {
        sent.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
    });
    if is_json || (sent.is_none() && !has_body) {
        return Ok(());
    }
    let detail = "this API takes only JSON: send Content-Type: application/json".to_owned();
    Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-json", "not JSON", detail))
}

/// Compares in a time that depends on the length of what was sent only: not on how much of it is right.
fn same_secret(sent: &[u8], secret: &[u8]) -> bool {
    let mut differ = sent.len() ^ secret.len();
    for (i, byte) in sent.iter().enumerate() {
        let expected = secret.get(i % secret.len().max(1)).copied().unwrap_or(0);
        differ |= usize::from(byte ^ expected);
    }
    black_box(differ) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostics::{FromNode, Node};

    fn access(listen: &str, token: Option<&str>) -> Access {
        let token = token.map(|token| Token::from_node(&Node::from_json(&token.into())).unwrap());
        Access { listen: listen.parse().unwrap(), token, names: vec!["chaos.internal".to_owned()] }
    }

    fn answer(access: &Access, headers: &[(&str, &str)]) -> u16 {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        access.admit(&map).map_or_else(|refusal| refusal.status(), |()| 200)
    }

    #[test]
    fn only_hosts_that_are_this_instance_pass() {
        let local = access("127.0.0.1:7470", None);
        for (host, expected) in [
            ("127.0.0.1:7470", 200),
            ("localhost:1", 200),
            ("LocalHost", 200),
            ("[::1]:7470", 200),
            ("chaos.internal", 200),
            ("evil.example:7470", 403),
            ("127.0.0.1.evil.example", 403),
            ("10.0.0.1:7470", 403),
            ("user@localhost", 403),
            ("localhost:7470/x", 403),
            ("", 403),
        ] {
            assert_eq!(answer(&local, &[("host", host)]), expected, "{host}");
        }
        assert_eq!(answer(&local, &[]), 403);
        assert_eq!(answer(&local, &[("host", "localhost"), ("host", "evil.example")]), 403);
        assert_eq!(answer(&access("0.0.0.0:7470", None), &[("host", "10.0.0.1:7470")]), 200);
        assert_eq!(answer(&access("10.0.0.1:7470", None), &[("host", "10.0.0.1:7470")]), 200);
    }

    #[test]
    fn an_origin_must_be_the_host() {
        let access = access("127.0.0.1:7470", None);
        for (origin, expected) in [
            ("http://127.0.0.1:7470", 200),
            ("http://localhost:7470", 403),
            ("http://evil.example", 403),
            ("null", 403),
            ("127.0.0.1:7470", 403),
        ] {
            assert_eq!(answer(&access, &[("host", "127.0.0.1:7470"), ("origin", origin)]), expected, "{origin}");
        }
    }

    #[test]
    fn a_token_is_asked_for_when_there_is_one() {
        let access = access("127.0.0.1:7470", Some("sesame"));
        let with = |value| answer(&access, &[("host", "localhost"), ("authorization", value)]);
        assert_eq!(answer(&access, &[("host", "localhost")]), 401);
        assert_eq!((with("Bearer sesame"), with("bearer sesame")), (200, 200));
        for wrong in ["Bearer sesam", "Bearer sesamesesame", "Bearer ", "Basic sesame", "sesame", "Bearer sesamf"] {
            assert_eq!(with(wrong), 401, "{wrong}");
        }
    }

    #[test]
    fn a_body_must_be_json() {
        let access = access("127.0.0.1:7470", None);
        let with = |headers: &[(&str, &str)]| {
            let headers: Vec<_> = [("host", "localhost")].iter().chain(headers).copied().collect();
            answer(&access, &headers)
        };
        assert_eq!(with(&[("content-length", "2"), ("content-type", "application/json; charset=utf-8")]), 200);
        assert_eq!(with(&[("content-length", "0")]), 200);
        assert_eq!(with(&[("content-length", "2")]), 415);
        assert_eq!(with(&[("transfer-encoding", "chunked")]), 415);
        assert_eq!(with(&[("content-length", "2"), ("content-type", "text/plain")]), 415);
        assert_eq!(with(&[("content-type", "application/x-www-form-urlencoded")]), 415);
    }
}
