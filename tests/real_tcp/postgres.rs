//! PostgreSQL: what is written through the proxy is held against what the server says without it.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::processes::{Server, free_port, program, run};

#[test]
fn postgres_keeps_every_row_under_every_toxic() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o777)).unwrap();
    let data = folder.path().join("data");
    let mut initdb = apart("initdb");
    initdb.args(["-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "-D"]).arg(&data);
    let done = initdb.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let port = free_port();
    let mut command = apart("postgres");
    command.arg("-D").arg(&data).args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
    command.args(["-c", "unix_socket_directories=", "-c", "fsync=off"]);
    let postgres = Server::start(command, folder, port);
    let direct = postgres.address;
    pgbench(direct, &["-i", "-q"]).expect("the tables of pgbench");
    // Each costs a process that hangs until it is ended, so not all of them.
    crate::hold(direct, &crate::HARMFUL[..5], |proxy, salt| check(direct, proxy, salt));
    pooled(direct);
}

/// Its server refuses to run as root.
fn apart(name: &str) -> Command {
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n");
    if !is_root {
        return Command::new(program(name));
    }
    let mut command = Command::new(program("setpriv"));
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program(name)).current_dir("/");
    command
}

fn psql(address: SocketAddr, sql: &str) -> Result<String, String> {
    let mut command = Command::new(program("psql"));
    let target = format!(
        "host={} port={} user=postgres dbname=postgres sslmode=disable connect_timeout=2",
        address.ip(),
        address.port()
    );
    command.args([&target, "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql]);
    run(command, None::<&Path>)
}

fn check(direct: SocketAddr, proxy: SocketAddr, salt: usize) -> Result<(), String> {
    let write = format!(
        "CREATE TABLE t{salt} AS SELECT i AS id, repeat(md5((i * {salt})::text), 1 + i % 20) AS v \
         FROM generate_series(1, 1000) i"
    );
    psql(proxy, &write)?;
    let read = format!("COPY (SELECT * FROM t{salt} ORDER BY id) TO STDOUT");
    let (through, without) = (psql(proxy, &read)?, psql(direct, &read)?);
    if through == without && without.lines().count() == 1_000 { Ok(()) } else { Err("other rows".to_owned()) }
}

fn pgbench(address: SocketAddr, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new(program("pgbench"));
    command.args(["-h", &address.ip().to_string(), "-p", &address.port().to_string(), "-U", "postgres"]);
    command.args(arguments).arg("postgres");
    run(command, None::<&Path>)
}

/// Connections that stay open, transactions on all of them at once, and books that must balance.
fn pooled(direct: SocketAddr) {
    let stage = crate::stage::Stage::new();
    let proxy = stage.proxy(direct);
    stage.toxic(r#"{"type":"slicer","attributes":{"average_size":50,"size_variation":40}}"#);
    stage.toxic(r#"{"type":"latency","stream":"upstream","attributes":{"latency":1,"jitter":1}}"#);
    pgbench(proxy, &["-n", "-c", "4", "-j", "2", "-t", "25", "-M", "extended"]).expect("it is served");
    let sums = "SELECT (SELECT sum(abalance) FROM pgbench_accounts), (SELECT sum(bbalance) FROM pgbench_branches), \
                (SELECT sum(delta) FROM pgbench_history), (SELECT count(*) FROM pgbench_history)";
    let sums = psql(direct, sums).unwrap();
    let sums: Vec<&str> = sums.trim().split('|').collect();
    assert_eq!((sums[0], sums[1], sums[3]), (sums[2], sums[2], "100"), "{sums:?}");
}
