//! Redis: many commands at once on each of several connections that stay open.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use crate::processes::{Server, free_port, program};
use crate::stage::noise;

const CONNECTIONS: usize = 4;
const COMMANDS: usize = 150;

#[test]
fn redis_keeps_every_value_under_every_toxic() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let mut command = Command::new(program("redis-server"));
    command.args(["--bind", "127.0.0.1", "--save", "", "--port", &port.to_string(), "--dir"]).arg(folder.path());
    let redis = Server::start(command, folder, port);
    crate::hold(redis.address, crate::HARMFUL, check);
}

fn check(proxy: SocketAddr, salt: usize) -> Result<(), String> {
    let pool = (0..CONNECTIONS).map(|n| std::thread::spawn(move || connection(proxy, salt * 100 + n)));
    let pool: Vec<_> = pool.collect();
    pool.into_iter().try_for_each(|connection| connection.join().unwrap())
}

/// Sets many keys without waiting for an answer, then reads all of them.
fn connection(proxy: SocketAddr, salt: usize) -> Result<(), String> {
    let failed = |error: std::io::Error| error.to_string();
    let mut socket = TcpStream::connect(proxy).map_err(failed)?;
    socket.set_read_timeout(Some(Duration::from_secs(3))).map_err(failed)?;
    let values: Vec<Vec<u8>> = (0..COMMANDS).map(|n| noise(1 + (n * 37 + salt) % 2_000)).collect();
    let (mut sets, mut gets, mut expected) = (Vec::new(), Vec::new(), Vec::new());
    for (n, value) in values.iter().enumerate() {
        let key = format!("{salt}-{n}");
        command(&mut sets, &[b"SET", key.as_bytes(), value]);
        command(&mut gets, &[b"GET", key.as_bytes()]);
        expected.extend_from_slice(format!("${}\r\n", value.len()).as_bytes());
        expected.extend_from_slice(value);
        expected.extend_from_slice(b"\r\n");
    }
    socket.write_all(&sets).map_err(failed)?;
    let mut answer = vec![0; 5 * COMMANDS];
    socket.read_exact(&mut answer).map_err(failed)?;
    if answer != b"+OK\r\n".repeat(COMMANDS) {
        return Err("not every value was set".to_owned());
    }
    socket.write_all(&gets).map_err(failed)?;
    let mut answer = vec![0; expected.len()];
    socket.read_exact(&mut answer).map_err(failed)?;
    if answer == expected { Ok(()) } else { Err("other values came back".to_owned()) }
}

fn command(to: &mut Vec<u8>, parts: &[&[u8]]) {
    to.extend_from_slice(format!("*{}\r\n", parts.len()).as_bytes());
    for part in parts {
        to.extend_from_slice(format!("${}\r\n", part.len()).as_bytes());
        to.extend_from_slice(part);
        to.extend_from_slice(b"\r\n");
    }
}
