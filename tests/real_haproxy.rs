//! A recovery time that is known from somewhere else: HAProxy takes a server back after five good checks, one second
//! apart, and says so by syslog. What a run measures from its clients must be the same.
//!
//! Needs nginx and HAProxy (`scripts/setup test` installs them) and fails without them. Takes about 40 seconds, and
//! more on a machine that is too busy to measure anything.

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a helper of a test may fail it, and it tells its figures"
)]

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use brownout::cli::run::{Settings, conduct};
use brownout::clock::Instant;
use brownout::diagnostics::Node;
use brownout::experiment::spec::Experiment;
use brownout::report::{Format, terminal};
use brownout::results::{ExperimentResult, Outcome, Run, Verdict};

const EXPERIMENT: &str = "config/experiments/haproxy.toml";
/// HAProxy's `inter` and `rise` below: after the fault it needs five checks in a row, of which the first comes within
/// one interval.
const IMPLIED_S: (f64, f64) = (4.0, 5.0);
/// A machine may be busy; not for ever.
const ATTEMPTS: usize = 3;
/// How long a server may take until it listens.
const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn the_recovery_time_is_the_one_that_haproxys_own_log_tells() {
    let folder = tempfile::tempdir().expect("a folder");
    let [nginx, haproxy, proxy] = free_ports();
    let log = Syslog::listen();
    let _nginx = Server::start("nginx", folder.path(), &nginx_config(nginx, folder.path()), nginx);
    let _haproxy = Server::start("haproxy", folder.path(), &haproxy_config(haproxy, proxy, log.port), haproxy);

    let experiment = experiment(|name| match name {
        "NGINX_PORT" => Some(nginx.to_string()),
        "HAPROXY_PORT" => Some(haproxy.to_string()),
        "BROWNOUT_PORT" => Some(proxy.to_string()),
        _ => None,
    });
    let (result, origin) = valid_run(&experiment);
    let run = &result.runs[0];
    let told = log.told(origin);
    for (at, line) in &told {
        println!("HAProxy, at {at:7.3} s: {line}");
    }

    assert_eq!(run.recovery.outcome, Outcome::Recovered, "{}", run.recovery.reason);
    compare(run, &told);
}

/// Runs the experiment until it says something: where the machine was too busy for the driver, it says so, and that is
/// neither right nor wrong.
fn valid_run(experiment: &Experiment) -> (ExperimentResult, Instant) {
    for _ in 0..ATTEMPTS {
        let target = experiment.scenario.target.resolve(&[]).expect("loopback is allowed");
        let finished = conduct(experiment, target, &Settings::default()).expect("the run can begin");
        let mut summary = Vec::new();
        let plain = terminal::Terminal { colour: false, report: None };
        plain.write(&finished.result, &mut summary).expect("memory can be written to");
        println!("{}", String::from_utf8_lossy(&summary));
        if finished.result.verdict != Verdict::Invalid {
            return (finished.result, finished.origins[0]);
        }
    }
    panic!("{ATTEMPTS} runs, and none of them was valid: see above");
}

/// Holds what was measured against what HAProxy logged, on the run's clock.
fn compare(run: &Run, log: &[(f64, String)]) {
    let edges = &run.edges;
    let window_s = run.windows[0].width_s;
    let eps = edges.off_acknowledged - edges.off_sent;
    let said =
        |what: &str, from: f64| log.iter().find(|(at, line)| *at >= from && line.contains(what)).map(|(at, _)| *at);
    let down = said("is DOWN", edges.on_sent).expect("HAProxy took its server out");
    assert!(down < edges.off_sent, "HAProxy took its server out at {down} s, after the fault was off");
    let up = said("is UP", down).expect("HAProxy took its server back") - edges.t_off;
    let ttr = run.recovery.ttr_s.expect("a recovered run has a recovery time");
    let (low, high) = run.recovery.ttr_interval_s.expect("and its interval");

    println!("recovery time from the clients' answers   {ttr:.3} s, 95 % interval {low:.3} to {high:.3} s");
    println!("\"is UP\" in HAProxy's log                  {up:.3} s after fault-off");
    println!("difference                                {:+.3} s, at most {window_s} s + {eps:.6} s", ttr - up);
    println!("implied by inter 1s, rise 5               over {:.0} s, at most {:.0} s", IMPLIED_S.0, IMPLIED_S.1);

    assert!((ttr - up).abs() <= window_s + eps, "{ttr} s from the clients, {up} s in HAProxy's log");
    assert!(ttr > IMPLIED_S.0 - window_s && ttr <= IMPLIED_S.1 + window_s, "{ttr} s is not what the checks imply");
}

fn experiment(environment: impl Fn(&str) -> Option<String>) -> Experiment {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(EXPERIMENT);
    let text = fs::read_to_string(path).expect("the experiment is shipped");
    let document = Node::from_toml_with(EXPERIMENT, &text, &environment).unwrap_or_else(|wrong| panic!("{wrong}"));
    Experiment::resolve(EXPERIMENT, &document).unwrap_or_else(|wrong| panic!("{wrong}"))
}

/// One process, in the foreground, so that ending it ends everything.
fn nginx_config(port: u16, folder: &Path) -> String {
    let folder = folder.display();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary: String = temporary.iter().map(|what| format!("    {what}_temp_path {folder}/{what};\n")).collect();
    format!(
        "daemon off;\nmaster_process off;\npid {folder}/nginx.pid;\nerror_log stderr warn;\n\
         events {{ worker_connections 4096; }}\n\
         http {{\n    access_log off;\n    keepalive_requests 1000000;\n{temporary}\
         server {{ listen 127.0.0.1:{port}; location / {{ return 200 \"here\\n\"; }} }}\n}}\n"
    )
}

/// Its log leaves out the requests: only what is at least a notice.
fn haproxy_config(port: u16, server: u16, log: u16) -> String {
    format!(
        "global\n    log 127.0.0.1:{log} local0 notice\n    nbthread 1\n    maxconn 4096\n\
         defaults\n    mode http\n    log global\n    timeout connect 1s\n    timeout client 10s\n    timeout server 10s\n\
         frontend web\n    bind 127.0.0.1:{port}\n    default_backend app\n\
         backend app\n    option httpchk GET /\n    server s 127.0.0.1:{server} check inter 1s fall 3 rise 5\n"
    )
}

/// Ports that were free a moment ago.
fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    listeners.map(|listener| listener.local_addr().expect("an address").port())
}

/// A server of this test's own; ends with it, also when it fails.
struct Server(Child);

impl Server {
    /// Starts it with a configuration and waits until it listens.
    fn start(program: &str, folder: &Path, config: &str, port: u16) -> Self {
        let file = folder.join(format!("{program}.conf"));
        fs::write(&file, config).expect("a configuration");
        let mut command = Command::new(found(program));
        match program {
            "nginx" => command.arg("-p").arg(folder).arg("-c").arg(&file),
            _ => command.arg("-db").arg("-f").arg(&file),
        };
        let complaints = folder.join(format!("{program}.err"));
        let stderr = fs::File::create(&complaints).expect("a file");
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr).spawn();
        let mut server = Self(child.unwrap_or_else(|error| panic!("{program} does not start: {error}")));
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let given_up = Instant::now() + PATIENCE;
        while TcpStream::connect_timeout(&address, PATIENCE).is_err() {
            if let Some(status) = server.0.try_wait().expect("a child that can be asked") {
                let complaints = fs::read_to_string(&complaints).unwrap_or_default();
                panic!("{program} ended at once: {status}\n{complaints}");
            }
            assert!(Instant::now() < given_up, "{program} does not listen on {address}");
            std::thread::yield_now();
        }
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Debian puts servers where an ordinary user's PATH does not look.
fn found(program: &str) -> std::path::PathBuf {
    let path = std::env::var("PATH").unwrap_or_default();
    let folders = path.split(':').chain(["/usr/local/sbin", "/usr/sbin", "/sbin"]);
    let mut candidates = folders.map(|folder| Path::new(folder).join(program));
    candidates
        .find(|candidate| candidate.is_file())
        .unwrap_or_else(|| panic!("{program} is not installed: this test needs it (scripts/setup test installs it)"))
}

/// Takes datagrams and the moment each of them came.
struct Syslog {
    port: u16,
    lines: Receiver<(Instant, String)>,
}

impl Syslog {
    fn listen() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let port = socket.local_addr().expect("an address").port();
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            let mut datagram = [0; 4096];
            while let Ok(length) = socket.recv(&mut datagram) {
                let at = Instant::now();
                let line = String::from_utf8_lossy(&datagram[..length]).trim_end().to_owned();
                if sender.send((at, line)).is_err() {
                    return;
                }
            }
        });
        Self { port, lines }
    }

    /// Everything that has come so far, in seconds from this moment on.
    fn told(&self, origin: Instant) -> Vec<(f64, String)> {
        self.lines.try_iter().map(|(at, line)| (seconds_between(origin, at), line)).collect()
    }
}

fn seconds_between(origin: Instant, at: Instant) -> f64 {
    match at.checked_duration_since(origin) {
        Some(after) => after.as_secs_f64(),
        None => -(origin - at).as_secs_f64(),
    }
}
