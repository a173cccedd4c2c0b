//! `x-envoy-fault-*` mean here what they mean in Envoy: the same requests go through a real one with its fault filter and
//! through a proxy that obeys the headers, and what clients see is compared.
//!
//! Needs Envoy (`scripts/setup test` installs it into .tools/envoy; $ENVOY names another) and fails without it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper of a test may fail the test")]

mod support;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use support::{Bench, Client, Origin, PATIENCE, field, ok};

/// One listener with the fault filter; its percentages are capped by this many of a hundred.
fn listener(port: u16, cap: u32, cluster: &str) -> String {
    let share = format!("{{ numerator: {cap}, denominator: HUNDRED }}");
    format!(
        r#"
  - name: listener_{port}
    address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: s{port}
          route_config:
            virtual_hosts: [{{ name: all, domains: ["*"], routes: [{{ match: {{ prefix: "/" }}, route: {{ cluster: {cluster} }} }}] }}]
          http_filters:
          - name: envoy.filters.http.fault
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault
              delay: {{ header_delay: {{}}, percentage: {share} }}
              abort: {{ header_abort: {{}}, percentage: {share} }}
              response_rate_limit: {{ header_limit: {{}}, percentage: {share} }}
          - name: envoy.filters.http.router
            typed_config: {{ "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }}"#
    )
}

fn configuration(origin: SocketAddr, whole: u16, half: u16) -> String {
    format!(
        r#"
static_resources:
  listeners:{}{}
  clusters:
  - name: origin
    type: STATIC
    connect_timeout: 5s
    load_assignment:
      cluster_name: origin
      endpoints: [{{ lb_endpoints: [{{ endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {} }} }} }} }}] }}]
"#,
        listener(whole, 100, "origin"),
        listener(half, 50, "origin"),
        origin.port()
    )
}

/// A running Envoy, killed at the end.
struct Envoy {
    child: Child,
    _folder: tempfile::TempDir,
}

impl Drop for Envoy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn envoy(config: &str, ports: [u16; 2]) -> Envoy {
    let installed = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(".tools/envoy/bin/envoy");
    let program = std::env::var_os("ENVOY").map_or(installed, PathBuf::from);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("envoy.yaml");
    std::fs::write(&file, config).unwrap();
    let child = Command::new(&program)
        .args(["--use-dynamic-base-id", "--concurrency", "1", "--log-level", "error", "-c"])
        .arg(&file)
        .stdin(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}; scripts/setup test installs it", program.display()));
    let mut envoy = Envoy { child, _folder: folder };
    let started = Instant::now();
    for port in ports {
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(envoy.child.try_wait().unwrap().is_none(), "Envoy ended before it listened");
            assert!(started.elapsed() < PATIENCE, "Envoy does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    envoy
}

fn free_ports() -> [u16; 2] {
    let held = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    held.each_ref().map(|listener| listener.local_addr().unwrap().port())
}

/// What a client sees that must be the same.
#[derive(Debug, PartialEq)]
struct Seen {
    status: String,
    content_type: Option<String>,
    grpc_status: Option<String>,
    grpc_message: Option<String>,
    body: String,
    /// It took as long as the headers ask for.
    delayed: bool,
}

fn request(headers: &str) -> String {
    format!("GET /a HTTP/1.1\r\nHost: a\r\n{headers}\r\n")
}

fn ask(proxy: SocketAddr, headers: &str, asked_for: Duration) -> Seen {
    let mut client = Client::connect(proxy);
    let started = Instant::now();
    client.send(request(headers));
    let head = client.read_head();
    assert!(started.elapsed() < asked_for + Duration::from_secs(10), "{headers}: {:?}", started.elapsed());
    // Envoy counts whole milliseconds, and may be one of them early.
    let delayed = !asked_for.is_zero() && started.elapsed() + Duration::from_millis(5) >= asked_for;
    let length = field(&head, "content-length").map_or(0, |length| length.parse().unwrap());
    let body = String::from_utf8(client.read_exact(length)).unwrap();
    Seen {
        status: head.split(' ').nth(1).unwrap_or_default().to_owned(),
        content_type: field(&head, "content-type"),
        grpc_status: field(&head, "grpc-status"),
        grpc_message: field(&head, "grpc-message"),
        body,
        delayed,
    }
}

/// Each of these, as a client would send it, and how long it has to take at least.
const REQUESTS: [(&str, u64); 22] = [
    ("", 0),
    ("x-envoy-fault-delay-request: 150", 150),
    ("x-envoy-fault-delay-request: 0", 0),
    ("x-envoy-fault-delay-request: soon", 0),
    ("x-envoy-fault-delay-request: -5", 0),
    ("x-envoy-fault-delay-request: 20000|x-envoy-fault-delay-request-percentage: 0", 0),
    ("x-envoy-fault-delay-request: 150|x-envoy-fault-delay-request-percentage: x", 150),
    ("x-envoy-fault-delay-request: 150|x-envoy-fault-delay-request-percentage: 250", 150),
    ("x-envoy-fault-delay-request-percentage: 100", 0),
    ("x-envoy-fault-abort-request: 503", 0),
    ("x-envoy-fault-abort-request: 429|x-envoy-fault-abort-request: 500", 0),
    ("x-envoy-fault-abort-request: 199", 0),
    ("x-envoy-fault-abort-request: 600", 0),
    ("x-envoy-fault-abort-request: 200", 0),
    ("x-envoy-fault-abort-request: 503|x-envoy-fault-abort-request-percentage: 0", 0),
    ("x-envoy-fault-abort-grpc-request: 5", 0),
    ("x-envoy-fault-abort-grpc-request: 5|content-type: application/grpc", 0),
    ("x-envoy-fault-abort-grpc-request: 77|content-type: application/grpc", 0),
    ("x-envoy-fault-abort-request: 503|x-envoy-fault-abort-grpc-request: 5|content-type: application/grpc", 0),
    ("x-envoy-fault-abort-request: 418|content-type: application/grpc+proto", 0),
    ("x-envoy-fault-abort-request: x|x-envoy-fault-abort-grpc-request: 7|content-type: application/grpc", 0),
    ("x-envoy-fault-delay-request: 150|x-envoy-fault-abort-request: 503", 150),
];

fn fields(written: &str) -> String {
    written.split('|').filter(|field| !field.is_empty()).map(|field| format!("{field}\r\n")).collect()
}

/// The share of requests that are aborted.
fn aborted(proxy: SocketAddr, percentage: &str, count: usize) -> f64 {
    let headers =
        fields(&format!("x-envoy-fault-abort-request: 503|x-envoy-fault-abort-request-percentage: {percentage}"));
    let mut client = Client::connect(proxy);
    let hit = |_: &usize| {
        client.send(request(&headers));
        client.read_message().0.starts_with("HTTP/1.1 503 ")
    };
    (0..count).filter(hit).count() as f64 / count as f64
}

#[test]
fn clients_see_the_same_through_envoy_and_through_brownout() {
    let origin =
        Origin::answering(|head| if head.starts_with("GET /large") { ok(&"x".repeat(40_960)) } else { ok("fine") });
    let [whole, half] = free_ports();
    let _envoy = envoy(&configuration(origin.address, whole, half), [whole, half]);
    let envoy = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
    let all = Bench::also(origin.address, "client_faults = { envoy = true }");
    let some = Bench::also(origin.address, "client_faults = { envoy = true, max_probability = 0.5 }");

    for (written, least_ms) in REQUESTS {
        let (headers, least) = (fields(written), Duration::from_millis(least_ms));
        let (theirs, ours) = (ask(envoy(whole), &headers, least), ask(all.address, &headers, least));
        assert_eq!(ours, theirs, "{written}");
        assert_eq!(ours.delayed, least_ms > 0, "{written}");
    }

    // Percentages: capped by the configured half, and below it as asked. Nine standard errors either side.
    for (percentage, expected) in [("20", 0.2), ("80", 0.5), ("x", 0.5)] {
        for (who, proxy) in [("Envoy", envoy(half)), ("brownout", some.address)] {
            let share = aborted(proxy, percentage, 1_000);
            let wide = 9.0 * (expected * (1.0 - expected) / 1_000.0_f64).sqrt();
            assert!((share - expected).abs() < wide, "{who}: {share} for {percentage}");
        }
    }

    // 40 KiB at 80 KiB/s take about half a second through both; never less, give or take what goes out at once.
    for (who, proxy) in [("Envoy", envoy(whole)), ("brownout", all.address)] {
        let mut client = Client::connect(proxy);
        let started = Instant::now();
        client.send("GET /large HTTP/1.1\r\nHost: a\r\nx-envoy-fault-throughput-response: 80\r\n\r\n");
        let body = client.read_message().1;
        assert_eq!(body.len(), 40_960, "{who}");
        assert!(started.elapsed() > Duration::from_millis(350), "{who}: {:?}", started.elapsed());
    }
    all.ledger.settled();
    some.ledger.settled();
    assert_eq!((all.active(), some.active()), (0, 0));
}
