//! Certificates as their users handle them: checked before anything runs, replaced while it runs.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper of a test may fail the test")]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use support::h2::block_on;
use support::https::{self, Client as HttpsClient};
use support::tls::{Authority, Identity, WORLD, client};
use support::{Certs, Origin, PATIENCE, ok};

/// The program, in a folder, trusting on this machine what is in that folder's `roots.pem`.
fn brownout(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_brownout"));
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    command.env("SSL_CERT_FILE", folder.join("roots.pem")).env_remove("SSL_CERT_DIR").env_remove("RUST_LOG");
    command
}

fn check(folder: &Path) -> Output {
    brownout(folder, &["check", "c.toml"]).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// A folder with every kind of file that can be named.
fn folder() -> Certs {
    let certs = Certs::new();
    certs.put("other", &WORLD.authority.issue(&["other"]));
    certs.write("roots.pem", &WORLD.authority.pem);
    certs.write("empty.pem", "");
    certs.write("broken.pem", "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n");
    certs.write("nonsense.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let locked = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    certs.write("locked.key", locked);
    fs::create_dir(certs.path("rules")).unwrap();
    certs
}

/// A proxy with these tables.
fn proxy(number: usize, upstream: &str, tables: &str) -> String {
    let listen = format!("listen = \"127.0.0.1:{}\"", 20_000 + number);
    format!("[[proxy]]\nname = \"p{number}\"\n{listen}\nupstream = \"{upstream}\"\n{tables}\n")
}

const CLEAR: &str = "http://127.0.0.1:1";
const TLS: &str = "https://127.0.0.1:1";

#[test]
fn what_is_right_passes_the_check() {
    let certs = folder();
    let tables = [
        (CLEAR, "[proxy.tls]\ncertificate = \"local.pem\"\nkey = \"local.key\""),
        (
            CLEAR,
            "[proxy.tls]\ncertificate = \"local.pem\"\nkey = \"local.key\"\nclient_ca = \"ca.pem\"\nalpn = \"h2\"\n\
             min_version = \"1.3\"\nhandshake_timeout = \"1s\"",
        ),
        (TLS, ""),
        (TLS, "[proxy.upstream_tls]"),
        (
            TLS,
            "[proxy.upstream_tls]\nca = \"ca.pem\"\ncertificate = \"other.pem\"\nkey = \"other.key\"\n\
             server_name = \"other\"\nmin_version = \"1.2\"\nalpn = [\"h2\", \"http/1.1\"]",
        ),
        (TLS, "[proxy.upstream_tls]\nverify = false"),
    ];
    let all: String = tables.iter().enumerate().map(|(n, (upstream, tables))| proxy(n, upstream, tables)).collect();
    certs.write("c.toml", &all);
    let checked = check(certs.folder());
    assert_eq!(text(&checked.stderr), "");
    assert_eq!(text(&checked.stdout), "c.toml: ok, 6 proxies, 0 rules (none enabled) from rules\n");
}

#[test]
fn what_is_wrong_is_said_with_its_line_its_file_and_its_cure() {
    let certs = folder();
    let server =
        |certificate: &str, key: &str| format!("[proxy.tls]\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n");
    let tables = [
        (CLEAR, "[proxy.tls]".to_owned()),
        (CLEAR, server("nowhere.pem", "local.key")),
        (CLEAR, server("empty.pem", "empty.pem")),
        (CLEAR, server("broken.pem", "local.key")),
        (CLEAR, server("nonsense.pem", "local.key")),
        (CLEAR, server("local.key", "local.pem")),
        (CLEAR, server("local.pem", "local.pem")),
        (CLEAR, server("local.pem", "locked.key")),
        (CLEAR, server("local.pem", "other.key")),
        (CLEAR, server("local.pem", "local.key") + "client_ca = \"empty.pem\""),
        (
            CLEAR,
            server("local.pem", "local.key") + "alpn = [\"h3\"]\nmin_version = \"1.1\"\nhandshake_timeout = \"0s\"",
        ),
        (CLEAR, server("local.pem", "local.key") + "alpn = []\nca = \"ca.pem\""),
        (CLEAR, "[proxy.upstream_tls]\nca = \"ca.pem\"".to_owned()),
        (TLS, "[proxy.upstream_tls]\nca = \"nonsense.pem\"".to_owned()),
        (TLS, "[proxy.upstream_tls]\nca = \"ca.pem\"\nverify = false".to_owned()),
        (TLS, "[proxy.upstream_tls]\ncertificate = \"other.pem\"".to_owned()),
        (TLS, "[proxy.upstream_tls]\ncertificate = \"other.pem\"\nkey = \"local.key\"".to_owned()),
        (TLS, "[proxy.upstream_tls]\nserver_name = \"https://other\"".to_owned()),
        ("h2://127.0.0.1:1", String::new()),
    ];
    let all: String = tables.iter().enumerate().map(|(n, (upstream, tables))| proxy(n, upstream, tables)).collect();
    let mixed = "[[proxy]]\nname = \"m\"\nlisten = \"127.0.0.1:9\"\nupstream = [\"http://a:1\", \"https://b:1\"]\n";
    certs.write("c.toml", &(all + mixed));
    let checked = check(certs.folder());
    assert_eq!(checked.status.code(), Some(2));
    insta::assert_snapshot!("mistakes", text(&checked.stderr));
}

#[test]
fn a_machine_without_roots_says_so() {
    let certs = folder();
    certs.write("roots.pem", "");
    certs.write("c.toml", &proxy(0, TLS, ""));
    let checked = check(certs.folder());
    assert_eq!(checked.status.code(), Some(2));
    let said = text(&checked.stderr);
    assert!(said.contains("c.toml:4: proxy \"p0\": upstream: this machine has no root certificates"), "{said}");
    assert!(said.contains("install ca-certificates"), "{said}");
}

/// A running `brownout serve`; it ends with the test.
struct Serving {
    process: Child,
    proxy: SocketAddr,
    metrics: SocketAddr,
}

impl Serving {
    fn start(folder: &Path) -> Self {
        let log = fs::File::create(folder.join("log")).unwrap();
        let mut process =
            brownout(folder, &["serve", "-c", "c.toml"]).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut address = |what: &str| {
            let line = lines.next().unwrap().unwrap();
            assert!(line.starts_with(what), "{line}");
            let (_, rest) = line.split_once("://").unwrap();
            rest.split(['/', ' ']).next().unwrap().parse().unwrap()
        };
        let (proxy, metrics) = (address("proxy"), address("metrics"));
        thread::spawn(move || lines.for_each(drop));
        Self { process, proxy, metrics }
    }

    /// The value of a metric without labels.
    fn metric(&self, name: &str) -> String {
        let mut socket = TcpStream::connect(self.metrics).unwrap();
        socket.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut page = String::new();
        socket.read_to_string(&mut page).unwrap();
        page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap_or("absent").to_owned()
    }

    /// Waits until the files were last read with this success.
    fn wait_for_reload(&self, successful: bool) {
        let wanted = if successful { "1" } else { "0" };
        let since = Instant::now();
        while self.metric("brownout_rules_last_reload_successful") != wanted {
            assert!(since.elapsed() < PATIENCE, "not read again");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until clients are shown what this authority has signed.
    async fn wait_for_certificate_of(&self, authority: &Authority) {
        let since = Instant::now();
        while https::get(self.proxy, client(&authority.pem, &[])).await.is_err() {
            assert!(since.elapsed() < PATIENCE, "another certificate is shown");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

const PAGES: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n[metrics]\nlisten = \"127.0.0.1:0\"\n";

/// A configuration whose certificate is in `certs/tls.crt` and `certs/tls.key`.
fn configure(certs: &Certs, origin: &Origin) {
    let listener = "[[proxy]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\n";
    let tls = "[proxy.tls]\ncertificate = \"certs/tls.crt\"\nkey = \"certs/tls.key\"\n";
    certs.write("c.toml", &format!("{PAGES}{listener}upstream = \"http://{}\"\n{tls}", origin.address));
}

/// A version of a Kubernetes Secret: a folder of its own behind two links, swapped by renaming one of them.
fn mount(certs: &Certs, version: &str, identity: &Identity) {
    let folder = certs.path("certs");
    fs::create_dir_all(folder.join(version)).unwrap();
    fs::write(folder.join(version).join("tls.crt"), &identity.certificate).unwrap();
    fs::write(folder.join(version).join("tls.key"), &identity.key).unwrap();
    symlink(version, folder.join("..data_tmp")).unwrap();
    fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    for name in ["tls.crt", "tls.key"] {
        let _ = symlink(format!("..data/{name}"), folder.join(name));
    }
}

#[test]
fn a_secret_that_is_swapped_is_taken_over_and_open_connections_go_on() {
    block_on(async {
        let (certs, origin) = (Certs::new(), Origin::answering(|_| ok("hello")));
        configure(&certs, &origin);
        mount(&certs, "..v1", &WORLD.local);
        let serving = Serving::start(certs.folder());
        serving.wait_for_certificate_of(&WORLD.authority).await;
        let mut h1 = HttpsClient::connect(serving.proxy, client(&WORLD.authority.pem, &[])).await.unwrap();
        let mut h2 = HttpsClient::connect(serving.proxy, client(&WORLD.authority.pem, &["h2"])).await.unwrap();
        for version in ["..v2", "..v3"] {
            let authority = Authority::new(version);
            mount(&certs, version, &authority.issue(&["localhost"]));
            serving.wait_for_certificate_of(&authority).await;
            assert_eq!(h1.get("/").await.unwrap().1, "hello");
            assert_eq!(h2.get("/").await.unwrap().1, "hello");
        }
    });
}

#[test]
fn a_key_that_does_not_fit_is_reported_and_the_running_certificate_stays_until_it_does() {
    block_on(async {
        let (certs, origin) = (Certs::new(), Origin::answering(|_| ok("hello")));
        configure(&certs, &origin);
        fs::create_dir(certs.path("certs")).unwrap();
        certs.write("certs/tls.crt", &WORLD.local.certificate);
        certs.write("certs/tls.key", &WORLD.local.key);
        let serving = Serving::start(certs.folder());
        let authority = Authority::new("another");
        let other = authority.issue(&["localhost"]);
        certs.write("certs/tls.crt", &other.certificate);
        serving.wait_for_reload(false);
        serving.wait_for_certificate_of(&WORLD.authority).await;
        let log = fs::read_to_string(certs.path("log")).unwrap();
        let mistake = "c.toml:11: proxy \"web\": tls: key: certs/tls.key is not the key of certs/tls.crt";
        assert!(log.contains(mistake), "{log}");
        certs.write("certs/tls.key", &other.key);
        serving.wait_for_reload(true);
        serving.wait_for_certificate_of(&authority).await;
        fs::remove_file(certs.path("certs/tls.key")).unwrap();
        serving.wait_for_reload(false);
        serving.wait_for_certificate_of(&authority).await;
    });
}

#[test]
fn a_file_that_another_one_names_after_a_mistake_is_watched_too() {
    block_on(async {
        let (certs, origin) = (Certs::new(), Origin::answering(|_| ok("hello")));
        configure(&certs, &origin);
        mount(&certs, "..v1", &WORLD.local);
        let serving = Serving::start(certs.folder());
        let configuration = fs::read_to_string(certs.path("c.toml")).unwrap();
        fs::create_dir(certs.path("later")).unwrap();
        certs.write("c.toml", &configuration.replace("certs/tls", "later/tls"));
        serving.wait_for_reload(false);
        serving.wait_for_certificate_of(&WORLD.authority).await;
        let authority = Authority::new("another");
        let other = authority.issue(&["localhost"]);
        certs.write("later/tls.key", &other.key);
        certs.write("later/tls.crt", &other.certificate);
        serving.wait_for_certificate_of(&authority).await;
        serving.wait_for_reload(true);
    });
}
