//! Addresses to listen on.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::diagnostics::node::Value;
use crate::diagnostics::{FromNode, Node};

/// An address to listen on, as written: `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080`; port 0 is any free one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Listen(pub(super) SocketAddr);

impl FromNode for Listen {
    fn from_node(node: &Node) -> Result<Self, String> {
        const EXPECTED: &str = "an address with a port, such as \"127.0.0.1:8080\" or \"[::]:8080\"";
        let Value::Text(text) = &node.value else { return Err(EXPECTED.to_owned()) };
        let local = text.strip_prefix("localhost:").and_then(|port| port.parse().ok());
        local
            .map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port))
            .or_else(|| text.parse().ok())
            .map(Self)
            .ok_or_else(|| EXPECTED.to_owned())
    }
}

/// True if the kernel would refuse the second of two listeners: same port, and the addresses are the same or one
/// of them stands for all. `[::]` takes IPv4 as well.
pub(super) fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    let covers = |wide: IpAddr, narrow: IpAddr| wide.is_unspecified() && (wide.is_ipv6() || narrow.is_ipv4());
    a.port() != 0 && a.port() == b.port() && (a.ip() == b.ip() || covers(a.ip(), b.ip()) || covers(b.ip(), a.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_listeners_collide_as_the_kernel_sees_it() {
        for (a, b, expected) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "0.0.0.0:80", true),
            ("[::]:80", "127.0.0.1:80", true),
            ("0.0.0.0:80", "[::1]:80", false),
            ("0.0.0.0:0", "0.0.0.0:0", false),
        ] {
            assert_eq!(collide(a.parse().unwrap(), b.parse().unwrap()), expected, "{a} {b}");
        }
    }
}
