//! Where a proxy sends its requests.

use std::fmt;
use std::net::IpAddr;

use url::{Host, Url};

use crate::diagnostics::node::Value;
use crate::diagnostics::{FromNode, Node};

/// The protocol spoken to an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// HTTP/1.1 over plain TCP.
    Http,
    /// HTTP/1.1 or HTTP/2 over TLS, as both agree.
    Https,
    /// HTTP/2 with prior knowledge over plain TCP.
    H2c,
    /// Bytes as they are.
    Tcp,
}

impl Scheme {
    /// As written in front of `://`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::H2c => "h2c",
            Self::Tcp => "tcp",
        }
    }
}

/// One upstream. A host name is resolved by the proxy, again and again; here it is only a text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Upstream {
    /// The protocol.
    pub scheme: Scheme,
    /// A host name or an address; IPv6 without brackets.
    pub host: String,
    /// The port; if none was written 80, or 443 with TLS.
    pub port: u16,
}

impl Upstream {
    /// The address, if the host is one and not a name.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// `host:port`, with brackets around IPv6: what connects, and what a `Host` header would say.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.name(), self.authority())
    }
}

impl FromNode for Upstream {
    fn from_node(node: &Node) -> Result<Self, String> {
        const EXPECTED: &str = "\"http://host:port\", \"https://host:port\", \"h2c://host:port\" or \"tcp://host:port\", or a list of them";
        let Value::Text(text) = &node.value else { return Err(EXPECTED.to_owned()) };
        // Only a TCP proxy may leave the scheme out; whoever reads the proxy checks that it is one.
        let (scheme, rest) = text.split_once("://").unwrap_or(("tcp", text));
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            "h2c" => Scheme::H2c,
            "tcp" => Scheme::Tcp,
            "h2" => return Err(format!("{EXPECTED}; HTTP/2 over TLS is agreed on under https://")),
            _ => return Err(EXPECTED.to_owned()),
        };
        // `h2c` is not a scheme that the parser knows the rules of; an authority is one under any scheme.
        let rules = if scheme == Scheme::Https { "https" } else { "http" };
        let url = Url::parse(&format!("{rules}://{rest}")).map_err(|error| format!("{EXPECTED}: {error}"))?;
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(format!("{EXPECTED}, without a path: the client's path is sent as it is"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(format!("{EXPECTED}, without user and password: the client's headers are sent as they are"));
        }
        let host = match url.host() {
            Some(Host::Domain(name)) => name.to_owned(),
            Some(Host::Ipv4(ip)) => ip.to_string(),
            Some(Host::Ipv6(ip)) => ip.to_string(),
            None => return Err(EXPECTED.to_owned()),
        };
        // The parser takes a written 80 for the default of its scheme; a TCP upstream has none.
        let is_written = rest.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        match url.port_or_known_default() {
            Some(port) if port != 0 && (is_written || scheme != Scheme::Tcp) => Ok(Self { scheme, host, port }),
            _ => Err(format!("{EXPECTED}, with a port above 0")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Upstream, String> {
        Upstream::from_node(&Node::from_json(&text.into()))
    }

    #[test]
    fn an_upstream_is_a_scheme_a_host_and_a_port() {
        for (text, shown) in [
            ("http://127.0.0.1:9000", "http://127.0.0.1:9000"),
            ("http://inventory.shop.svc/", "http://inventory.shop.svc:80"),
            ("h2c://[::1]:50051", "h2c://[::1]:50051"),
            ("HTTP://localhost:1", "http://localhost:1"),
            ("127.0.0.1:6379", "tcp://127.0.0.1:6379"),
            ("tcp://db:80", "tcp://db:80"),
            ("https://inventory", "https://inventory:443"),
            ("https://inventory:80", "https://inventory:80"),
        ] {
            assert_eq!(read(text).map(|u| u.to_string()), Ok(shown.to_owned()), "{text}");
        }
        assert_eq!(read("h2c://[::1]:1").unwrap().ip(), Some("::1".parse().unwrap()));
        assert_eq!(read("http://localhost:1").unwrap().ip(), None);
    }

    #[test]
    fn what_could_not_be_kept_is_refused() {
        for text in [
            "127.0.0.1",
            "tcp://a",
            "ftp://a:1",
            "h2://a:1",
            "http://a:1/base",
            "http://a:1?q",
            "http://u:p@a:1",
            "http://",
            "http://a:0",
            "http://a:99999",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        assert!(read("h2://a").unwrap_err().contains("under https://"));
    }
}
