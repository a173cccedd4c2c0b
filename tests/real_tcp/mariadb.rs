//! MariaDB: its server speaks first, and a batch of statements is sent without waiting.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::processes::{Server, free_port, program, run};

#[test]
fn mariadb_keeps_every_row_under_every_toxic() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut install = Command::new(program("mariadb-install-db"));
    install.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]);
    let done = install.arg(format!("--datadir={}", data.display())).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let port = free_port();
    let mut command = Command::new(program("mariadbd"));
    command.args(["--no-defaults", "--bind-address=127.0.0.1", "--skip-log-bin", "--innodb-flush-log-at-trx-commit=0"]);
    command.arg(format!("--port={port}")).arg(format!("--datadir={}", data.display()));
    command.arg(format!("--socket={}", folder.path().join("s").display()));
    if Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n") {
        command.arg("--user=root");
    }
    let mariadb = Server::start(command, folder, port);
    let (direct, folder) = (mariadb.address, mariadb.folder.path().to_owned());
    mysql(direct, "CREATE DATABASE t", None).expect("a database");
    crate::hold(direct, &crate::HARMFUL[..5], |proxy, salt| check(direct, proxy, salt, &folder));
}

fn mysql(address: SocketAddr, sql: &str, batch: Option<&Path>) -> Result<String, String> {
    let mut command = Command::new(program("mariadb"));
    command.args(["--no-defaults", "--protocol=tcp", "--skip-ssl", "--connect-timeout=2", "-uroot", "-N", "-B"]);
    command.arg(format!("-h{}", address.ip())).arg(format!("-P{}", address.port()));
    if batch.is_none() {
        command.args(["-e", sql]);
    }
    run(command, batch)
}

fn check(direct: SocketAddr, proxy: SocketAddr, salt: usize, folder: &Path) -> Result<(), String> {
    let mut batch = format!("CREATE TABLE t.t{salt} (id INT PRIMARY KEY, v TEXT);\n");
    for rows in (0..600).collect::<Vec<_>>().chunks(50) {
        let values = rows.iter().map(|id| format!("({id}, REPEAT(MD5({id} * {salt}), {}))", 1 + id % 20));
        let _ = writeln!(batch, "INSERT INTO t.t{salt} VALUES {};", values.collect::<Vec<_>>().join(", "));
    }
    let path = folder.join(format!("{salt}.sql"));
    std::fs::write(&path, batch).unwrap();
    mysql(proxy, "", Some(&path))?;
    let read = format!("SELECT id, v FROM t.t{salt} ORDER BY id");
    // Several connections at once read the same rows.
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let read = read.clone();
            std::thread::spawn(move || mysql(proxy, &read, None))
        })
        .collect();
    let without = mysql(direct, &read, None)?;
    for reader in readers {
        if reader.join().unwrap()? != without {
            return Err("other rows".to_owned());
        }
    }
    if without.lines().count() == 600 { Ok(()) } else { Err("rows are missing".to_owned()) }
}
