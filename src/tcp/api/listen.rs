//! `host:port` as Go's `net.Listen` takes it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use super::problem::Problem;

/// The address that a text means: names are looked up, no host is all addresses, nothing at all is any port on them.
pub(super) async fn resolve(text: &str) -> Result<SocketAddr, Problem> {
    if text.is_empty() {
        return Ok(SocketAddr::new(everywhere(), 0));
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err(Problem::internal(format!("listen tcp: address {text}: missing port in address")));
    };
    let Ok(port) = port.parse::<u16>() else {
        return Err(Problem::internal(format!("listen tcp: lookup tcp/{port}: unknown port")));
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() {
        return Ok(SocketAddr::new(everywhere(), port));
    }
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(SocketAddr::new(ip, port));
    }
    let mut found: Vec<SocketAddr> = match tokio::net::lookup_host((host, port)).await {
        Ok(found) => found.collect(),
        Err(_) => Vec::new(),
    };
    found.sort_by_key(SocketAddr::is_ipv6);
    found.first().copied().ok_or_else(|| Problem::internal(format!("listen tcp: lookup {host}: no such host")))
}

/// All addresses of both families, where there are both.
fn everywhere() -> IpAddr {
    match UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)) {
        Ok(_) => Ipv6Addr::UNSPECIFIED.into(),
        Err(_) => Ipv4Addr::UNSPECIFIED.into(),
    }
}
