//! What the tests start: brownout, its upstream and its clients, Prometheus. Everything ends when it is dropped.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use brownout::telemetry::Metrics;
use brownout::telemetry::exporter::{Ready, serve_metrics};
use serde_json::Value;

use super::PATIENCE;

const NEEDED: &str = "prometheus and promtool are needed: scripts/setup test installs them";

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Runs promtool on a file and fails with what it says.
pub(crate) fn promtool(arguments: &[&str], file: &Path) {
    let done = Command::new("promtool").args(arguments).arg(file).output().expect(NEEDED);
    let said = [done.stdout, done.stderr].concat();
    assert!(done.status.success(), "{arguments:?} {}: {}", file.display(), String::from_utf8_lossy(&said));
}

/// A child process that ends with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Something that answers 200 to everything.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    _runtime: tokio::runtime::Runtime,
}

impl Upstream {
    pub(crate) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let pages = axum::Router::new().fallback(|| async { "here\n" });
        runtime.spawn(brownout::telemetry::serve::serve(listener, pages, std::future::pending()));
        Self { address, _runtime: runtime }
    }
}

/// `brownout serve` with a proxy that works and rules on it, and a proxy whose upstream is not there.
pub(crate) struct Served {
    pub(crate) metrics: String,
    pub(crate) proxies: Vec<SocketAddr>,
    _process: Process,
}

impl Served {
    pub(crate) fn start(folder: &Path, upstream: SocketAddr) -> Self {
        let config = folder.join("brownout.toml");
        let nobody = free_port();
        fs::write(
            &config,
            format!(
                "[admin]\nlisten = \"127.0.0.1:0\"\n[metrics]\nlisten = \"127.0.0.1:0\"\n[rules]\ndir = \"rules\"\n\
                 [[proxy]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\nupstream = \"http://{upstream}\"\n\
                 [[proxy]]\nname = \"dead\"\nlisten = \"127.0.0.1:0\"\nupstream = \"http://127.0.0.1:{nobody}\"\n"
            ),
        )
        .unwrap();
        fs::create_dir(folder.join("rules")).unwrap();
        fs::write(
            folder.join("rules/a.toml"),
            "[[rule]]\nname = \"slow\"\nproxy = \"web\"\nlease = \"1h\"\n\
             [[rule.fault]]\nkind = \"latency\"\ndelay = \"5ms\"\n\
             [[rule]]\nname = \"failing\"\nproxy = \"web\"\ntrigger = { probability = 0.3 }\n\
             [[rule.fault]]\nkind = \"error\"\nstatus = 503\n",
        )
        .unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_brownout"))
            .args(["serve", "-c"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let process = Process(process);
        let (mut metrics, mut proxies) = (None, Vec::new());
        // The admin API is bound last.
        loop {
            let line = lines.next().expect("brownout serve prints where it listens").unwrap();
            let address = line.split("http://").nth(1).map(|rest| rest.split(['/', ' ']).next().unwrap().to_owned());
            match (line.split(' ').next(), address) {
                (Some("proxy"), Some(address)) => proxies.push(address.parse().unwrap()),
                (Some("metrics"), address) => metrics = address,
                (Some("admin"), _) => break,
                _ => {}
            }
        }
        Self { metrics: metrics.unwrap(), proxies, _process: process }
    }
}

/// Requests to every proxy, until it is dropped.
pub(crate) struct Traffic(Arc<AtomicBool>);

impl Traffic {
    pub(crate) fn start(proxies: Vec<SocketAddr>) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let told = over.clone();
        std::thread::spawn(move || {
            while !told.load(Ordering::Relaxed) {
                proxies.iter().for_each(|proxy| drop(get(*proxy, "/")));
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        Self(over)
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The body of an answer.
fn get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}

/// An exporter in this process.
pub(crate) struct Exporter {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) address: String,
    _runtime: tokio::runtime::Runtime,
}

impl Exporter {
    pub(crate) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let metrics = Metrics::new();
        runtime.spawn(serve_metrics(listener, metrics.clone(), Ready::default(), std::future::pending()));
        Self { metrics, address, _runtime: runtime }
    }
}

/// `brownout run` of a short experiment on a proxy of its own. Its policy calls nearly anything a steady state, so that
/// a busy machine does not end it before its fault.
pub(crate) struct Run {
    process: Process,
    log: PathBuf,
}

impl Run {
    pub(crate) fn start(folder: &Path, upstream: SocketAddr, metrics: &str) -> Self {
        let proxy = free_port();
        let file = folder.join("experiment.toml");
        fs::write(
            &file,
            format!(
                "[experiment]\nname = \"a run that is scraped\"\n\
                 [[proxy]]\nname = \"web\"\nprotocol = \"http\"\nlisten = \"127.0.0.1:{proxy}\"\nupstream = \"http://{upstream}\"\n\
                 [load]\ntarget = \"http://127.0.0.1:{proxy}\"\nrate = \"200/s\"\ntimeout = \"500ms\"\n\
                 [[load.operation]]\nname = \"page\"\nmethod = \"GET\"\npath = \"/\"\n\
                 [slo]\nsuccess = \"60%\"\n\
                 [phases]\nwarmup = \"2s\"\nsteady = \"8s\"\nfault = \"4s\"\nrecovery = \"8s\"\n\
                 [[rule]]\nname = \"failing\"\nproxy = \"web\"\ntrigger = {{ probability = 0.5 }}\n\
                 [[rule.fault]]\nkind = \"error\"\nstatus = 503\n\
                 [policy]\nmode = \"slo\"\nmax_variation = \"100%\"\nmax_drift = \"100%\"\nmax_bad_baseline = \"100%\"\nmin_window = \"500ms\"\nbaseline_windows = 10\nhold = \"2s\"\nhold_windows = 4\nconfirm_windows = 4\n"
            ),
        )
        .unwrap();
        let log = folder.join("run.log");
        let said = || fs::File::options().create(true).append(true).open(&log).unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_brownout"))
            .args(["run", "--metrics", metrics, "--linger", "10s", "--out"])
            .args([&folder.join("out"), &file])
            .stdin(Stdio::null())
            .stdout(said())
            .stderr(said())
            .spawn()
            .unwrap();
        Self { process: Process(process), log }
    }

    /// Waits until it has ended; its verdict is not looked at.
    pub(crate) fn wait(&mut self, patience: Duration) {
        let started = Instant::now();
        while self.process.0.try_wait().unwrap().is_none() {
            assert!(started.elapsed() < patience, "the run does not end\n{}", self.said());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// What it wrote.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

/// A Prometheus that scrapes every second.
pub(crate) struct Prometheus {
    address: SocketAddr,
    _process: Process,
}

impl Prometheus {
    /// `targets` are jobs and addresses. Returns when it has tried each of them once.
    pub(crate) fn start(folder: &Path, targets: &[(&str, &str)], rules: &Path) -> Self {
        let config = folder.join("prometheus.yml");
        let jobs: String = targets
            .iter()
            .enumerate()
            .map(|(i, (job, address))| {
                format!(
                    "  - job_name: \"{job}-{i}\"\n    static_configs: [{{ targets: [\"{address}\"], labels: {{ job: {job} }} }}]\n"
                )
            })
            .collect();
        let rules = rules.display();
        fs::write(
            &config,
            format!(
                "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\n\
                 rule_files: [\"{rules}\"]\nscrape_configs:\n{jobs}"
            ),
        )
        .unwrap();
        promtool(&["check", "config"], &config);
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let log = fs::File::create(folder.join("prometheus.log")).unwrap();
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect(NEEDED);
        let started = Self { address, _process: Process(process) };
        let since = Instant::now();
        while !get(address, "/-/ready").is_ok_and(|answer| answer.contains("is Ready")) {
            let said = || fs::read_to_string(folder.join("prometheus.log")).unwrap_or_default();
            assert!(since.elapsed() < PATIENCE, "Prometheus does not start\n{}", said());
            std::thread::sleep(Duration::from_millis(100));
        }
        // It is ready seconds before it looks at its targets for the first time.
        while started.query("up").len() < targets.len() {
            assert!(since.elapsed() < PATIENCE, "Prometheus does not scrape\n{}", started.targets());
            std::thread::sleep(Duration::from_millis(100));
        }
        started
    }

    fn api(&self, path: &str) -> Value {
        let answer = get(self.address, path).unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"));
        assert_eq!(answer["status"], "success", "{path}: {answer}");
        answer["data"].clone()
    }

    /// The values of an instant query, NaN left out.
    pub(crate) fn query(&self, query: &str) -> Vec<f64> {
        let escaped: String = url::form_urlencoded::byte_serialize(query.as_bytes()).collect();
        let data = self.api(&format!("/api/v1/query?query={escaped}"));
        let values = data["result"].as_array().unwrap().iter();
        values.filter_map(|series| series["value"][1].as_str()?.parse().ok()).filter(|v: &f64| !v.is_nan()).collect()
    }

    pub(crate) fn has_data(&self, query: &str) -> bool {
        !self.query(query).is_empty()
    }

    /// How scraping goes, for a failure's message.
    pub(crate) fn targets(&self) -> Value {
        self.api("/api/v1/targets")
    }

    /// Every alert rule is evaluated without an error.
    pub(crate) fn check_rules(&self) {
        let started = Instant::now();
        loop {
            let groups = self.api("/api/v1/rules");
            let rules: Vec<_> = groups["groups"]
                .as_array()
                .unwrap()
                .iter()
                .flat_map(|group| group["rules"].as_array().unwrap())
                .map(|rule| (rule["name"].clone(), rule["health"].clone(), rule["lastError"].clone()))
                .collect();
            assert!(rules.len() > 10, "{groups}");
            if rules.iter().all(|(_, health, _)| health == "ok") {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "{rules:#?}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}
