//! Toxiproxy's clients as their users have them, against `brownout toxiproxy` in the place of its server.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use crate::processes::{Server, free_port, run};

/// The command itself, with Toxiproxy's own way to write flags, and its configuration file.
fn toxiproxy() -> (Server, SocketAddr) {
    let folder = tempfile::tempdir().unwrap();
    let (port, listen) = (free_port(), free_port());
    let echo = crate::stage::echo();
    let config = folder.path().join("toxiproxy.json");
    let proxy = format!("[{{\"name\":\"from-file\",\"listen\":\"127.0.0.1:{listen}\",\"upstream\":\"{echo}\"}}]");
    std::fs::write(&config, proxy).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_brownout"));
    command.args(["toxiproxy", "-host", "127.0.0.1", &format!("-port={port}"), "-seed", "-7", "-config"]).arg(config);
    (Server::start(command, folder, port), echo)
}

fn tool(path: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
    assert!(path.exists(), "{} is missing: run scripts/setup test", path.display());
    path
}

fn script(name: &str) -> PathBuf {
    tool("tests/real_tcp").join(name)
}

#[test]
fn toxiproxy_python_steers_it() {
    let (server, echo) = toxiproxy();
    let mut client = Command::new(tool(".tools/toxiproxy-python/bin/python"));
    client.arg(script("client.py")).args([server.address.to_string(), echo.to_string()]);
    let output = run(client, None).unwrap_or_else(|wrong| panic!("{wrong}"));
    assert!(output.ends_with("all is well\n"), "{output}");
}

#[test]
fn toxiproxy_node_client_steers_it() {
    let (server, echo) = toxiproxy();
    let mut client = Command::new(crate::processes::program("node"));
    client.arg(script("client.cjs")).args([server.address.to_string(), echo.to_string()]);
    client.env("NODE_PATH", tool(".tools/toxiproxy-node/node_modules"));
    let output = run(client, None).unwrap_or_else(|wrong| panic!("{wrong}"));
    assert!(output.ends_with("all is well\n"), "{output}");
}
