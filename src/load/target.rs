//! Where load goes, and whether it may go there.

use std::fmt;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use crate::diagnostics::{FromNode, Node, node::Value};

/// A target as written: `http://host[:port][/path]`. Not resolved, not yet allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetUrl {
    host: String,
    port: u16,
    authority: String,
    path: String,
}

/// A target that load may be sent to: its addresses are known and were found to be allowed. They stay as they are
/// for the whole run, so that a name cannot come to mean another machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    url: TargetUrl,
    addresses: Vec<SocketAddr>,
}

impl TargetUrl {
    /// Reads a target. The path is kept as written, `{{variables}}` included.
    ///
    /// # Errors
    /// When it is no URL, or one that the driver cannot speak to.
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        let wrong = |why: &'static str| TargetError::Url { url: text.to_owned(), why };
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(wrong("a URL such as \"http://127.0.0.1:8080/path\""));
        };
        match scheme.to_ascii_lowercase().as_str() {
            "http" => {}
            "https" => return Err(wrong("an http:// URL, the load driver does not speak https")),
            _ => return Err(wrong("an http:// URL")),
        }
        let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(wrong("a URL without a user, who goes into an authorization header"));
        }
        let url = url::Url::parse(&format!("http://{authority}")).map_err(|_| wrong("a valid host and port"))?;
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| wrong("a host"))?;
        let port = url.port_or_known_default().filter(|port| *port != 0).ok_or_else(|| wrong("a port other than 0"))?;
        let path = tail.split('#').next().unwrap_or_default();
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
            authority: url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")),
            path: if path.starts_with('/') { path.to_owned() } else { format!("/{path}") },
        })
    }

    /// `host[:port]`, as in a `Host` header.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The path and query, as written; `/` if there is none.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Resolves the host, which may block, and holds every address against the rule: loopback and private ones
    /// are allowed, others only if `allowed` names the host as written or the address.
    ///
    /// # Errors
    /// When the name does not resolve, or an address of it is not allowed.
    pub fn resolve(&self, allowed: &[String]) -> Result<Target, TargetError> {
        let unresolved = |reason: String| TargetError::Unresolved { host: self.host.clone(), reason };
        let found = (self.host.as_str(), self.port).to_socket_addrs().map_err(|error| unresolved(error.to_string()))?;
        let mut addresses: Vec<SocketAddr> = Vec::new();
        for address in found {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        if addresses.is_empty() {
            return Err(unresolved("it has no address".to_owned()));
        }
        self.permit(&addresses, allowed)?;
        Ok(Target { url: self.clone(), addresses })
    }

    fn permit(&self, addresses: &[SocketAddr], allowed: &[String]) -> Result<(), TargetError> {
        let named = |host: &str| allowed.iter().any(|a| a.trim_matches(['[', ']']).eq_ignore_ascii_case(host));
        if named(&self.host) {
            return Ok(());
        }
        match addresses.iter().find(|at| !is_near(at.ip()) && !named(&at.ip().to_string())) {
            Some(far) => Err(TargetError::Forbidden { host: self.host.clone(), address: far.ip() }),
            None => Ok(()),
        }
    }
}

/// Loopback or private (RFC 1918, RFC 4193): a machine that the user can be taken to be responsible for.
/// Link-local addresses are not: cloud metadata services live there.
fn is_near(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        // 0.0.0.0 and :: connect to this machine.
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_unspecified(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unspecified(),
    }
}

impl Target {
    /// The target as written.
    pub fn url(&self) -> &TargetUrl {
        &self.url
    }

    /// Its addresses, in the resolver's order; never empty.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }
}

impl fmt::Display for TargetUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority, self.path)
    }
}

impl FromNode for TargetUrl {
    fn from_node(node: &Node) -> Result<Self, String> {
        match &node.value {
            Value::Text(text) => Self::parse(text).map_err(|error| match error {
                TargetError::Url { why, .. } => why.to_owned(),
                other => other.to_string(),
            }),
            _ => Err("a URL such as \"http://127.0.0.1:8080\"".to_owned()),
        }
    }
}

/// Why load is not sent to a target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// The URL is not one, or not one for the driver: bad input.
    #[error("target \"{url}\" is not valid (expected {why})")]
    Url {
        /// As written.
        url: String,
        /// What was expected.
        why: &'static str,
    },
    /// Not a machine to send load to by accident: bad input, cured by a flag.
    #[error(
        "target {host} ({address}) is neither loopback nor private: load is sent there only with --allow-target {host}"
    )]
    Forbidden {
        /// The host as written.
        host: String,
        /// The address that is not allowed.
        address: IpAddr,
    },
    /// The name has no address: the network's fault or the user's.
    #[error("target {host} does not resolve: {reason}")]
    Unresolved {
        /// The host as written.
        host: String,
        /// What the resolver said.
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permit(host: &str, address: &str, allowed: &[&str]) -> Result<(), TargetError> {
        let url = TargetUrl::parse(&format!("http://{host}")).unwrap();
        let allowed: Vec<String> = allowed.iter().map(|&a| a.to_owned()).collect();
        url.permit(&[SocketAddr::new(address.parse().unwrap(), 80)], &allowed)
    }

    #[test]
    fn a_target_is_taken_apart() {
        for (text, host, authority, path) in [
            ("http://127.0.0.1:8080", "127.0.0.1", "127.0.0.1:8080", "/"),
            ("http://localhost/a/{{id}}?b={{seq}}#c", "localhost", "localhost", "/a/{{id}}?b={{seq}}"),
            ("HTTP://[::1]:81/x", "::1", "[::1]:81", "/x"),
            ("http://Shop.example:80?q", "shop.example", "shop.example", "/?q"),
        ] {
            let url = TargetUrl::parse(text).unwrap();
            assert_eq!((url.host.as_str(), url.authority(), url.path()), (host, authority, path), "{text}");
        }
    }

    #[test]
    fn what_the_driver_cannot_speak_to_is_refused() {
        for text in
            ["", "127.0.0.1:80", "https://a", "ftp://a", "http://", "http://a:99999", "http://u:p@a", "http://a:0"]
        {
            assert!(matches!(TargetUrl::parse(text), Err(TargetError::Url { .. })), "{text}");
        }
    }

    #[test]
    fn loopback_and_private_targets_need_no_permission() {
        for near in
            ["127.0.0.1", "127.9.9.9", "10.1.2.3", "172.16.0.1", "192.168.1.1", "::1", "fd00::1", "::ffff:10.0.0.1"]
        {
            assert_eq!(permit("somewhere", near, &[]), Ok(()), "{near}");
        }
    }

    #[test]
    fn other_targets_need_to_be_named() {
        for far in ["93.184.216.34", "172.32.0.1", "169.254.169.254", "2001:db8::1", "fe80::1", "::ffff:8.8.8.8"] {
            assert!(matches!(permit("shop.example", far, &[]), Err(TargetError::Forbidden { .. })), "{far}");
            assert!(permit("shop.example", far, &["other.example"]).is_err());
            assert_eq!(permit("shop.example", far, &["SHOP.example"]), Ok(()));
        }
        assert_eq!(permit("shop.example", "93.184.216.34", &["93.184.216.34"]), Ok(()));
        let message = permit("shop.example", "93.184.216.34", &[]).unwrap_err().to_string();
        assert!(message.contains("--allow-target shop.example"), "{message}");
    }

    #[test]
    fn one_far_address_among_near_ones_is_enough_to_refuse() {
        let url = TargetUrl::parse("http://shop.example").unwrap();
        let addresses = ["10.0.0.1", "93.184.216.34"].map(|ip| SocketAddr::new(ip.parse().unwrap(), 80));
        assert!(url.permit(&addresses, &[]).is_err());
    }

    #[test]
    fn an_address_resolves_to_itself() {
        let target = TargetUrl::parse("http://127.0.0.1:8080/x").unwrap().resolve(&[]).unwrap();
        assert_eq!(target.addresses(), ["127.0.0.1:8080".parse().unwrap()]);
        assert_eq!(target.url().to_string(), "http://127.0.0.1:8080/x");
    }
}
