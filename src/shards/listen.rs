//! Listening sockets: one a shard on the same port, and never a second process beside them by accident.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 4096;

/// Binds `count` sockets to one address and says which it is (port 0 becomes the real port).
///
/// SO_REUSEPORT lets the kernel spread connections over the shards, and would let a second brownout silently take
/// half of them. So the address is first bound without it, which fails if anybody is there.
///
/// # Errors
/// The kernel's, `AddrInUse` when the port is taken.
pub fn bind(address: SocketAddr, count: usize) -> io::Result<(SocketAddr, Vec<StdListener>)> {
    let probe = socket(address, false)?;
    probe.listen(1)?; // two unlistened sockets may share an address under SO_REUSEADDR
    let address = probe.local_addr()?.as_socket().ok_or_else(|| io::Error::other("not an IP address"))?;
    drop(probe);
    let listeners = (0..count)
        .map(|_| {
            let socket = socket(address, true)?;
            socket.listen(BACKLOG)?;
            Ok(socket.into())
        })
        .collect::<io::Result<Vec<StdListener>>>()?;
    Ok((address, listeners))
}

fn socket(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_instance_on_the_same_port_is_refused() {
        let (address, listeners) = bind("127.0.0.1:0".parse().unwrap(), 2).unwrap();
        assert_ne!(address.port(), 0);
        assert_eq!(listeners.len(), 2);
        assert_eq!(bind(address, 2).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(listeners);
        bind(address, 1).unwrap();
    }
}
