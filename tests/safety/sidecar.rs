//! A sidecar to be treated badly.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Instant;

use brownout::client::Client as Admin;
use brownout::client::wire::Faults;
use url::Url;

use super::support::{Client, Origin, PATIENCE, ok};

/// A rule that fails everything on the proxy `web`.
pub(crate) const FAILING: &str =
    "[[rule]]\nname = \"failing\"\nlease = \"1h\"\n[[rule.fault]]\nkind = \"error\"\nstatus = 503\n";

/// A folder with a configuration and a rule, and what runs there.
pub(crate) struct Sidecar {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) proxy: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) metrics: SocketAddr,
    child: Child,
    _origin: Origin,
}

/// What differs from one test to the next.
#[derive(Default)]
pub(crate) struct Setting {
    /// Lines of `[safety]`.
    pub(crate) safety: String,
    /// Run by a shell before the program, such as `ulimit -f 0`.
    pub(crate) shell: &'static str,
}

impl Sidecar {
    pub(crate) fn start(setting: &Setting) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let origin = Origin::answering(|_| ok("fine"));
        let any = "listen = \"127.0.0.1:0\"";
        let config = format!(
            "[admin]\n{any}\n[metrics]\n{any}\n[safety]\n{}\n[[proxy]]\nname = \"web\"\n{any}\nupstream = \"http://{}\"\n",
            setting.safety, origin.address
        );
        fs::write(folder.path().join("brownout.toml"), config).expect("a file");
        fs::create_dir(folder.path().join("rules")).expect("a folder");
        fs::write(folder.path().join("rules/failing.toml"), FAILING).expect("a file");
        let (child, addresses) = run(folder.path(), setting.shell, &[]);
        let [proxy, metrics, admin] = addresses;
        Self { folder, proxy, admin, metrics, child, _origin: origin }
    }

    /// Kills it as the kernel would for want of memory, and starts another one in its place.
    pub(crate) fn kill_and_restart(&mut self) {
        self.kill();
        let admin = format!("admin.listen={}", self.admin);
        let (child, addresses) = run(self.folder.path(), "", &["--set", &admin]);
        [self.proxy, self.metrics, self.admin] = addresses;
        self.child = child;
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("a child of ours"); // SIGKILL
        self.child.wait().expect("a child of ours");
    }

    /// The status that a client of the proxy gets.
    pub(crate) fn status(&self) -> u16 {
        self.status_for("a client")
    }

    pub(crate) fn status_for(&self, agent: &str) -> u16 {
        let request = format!("GET /order HTTP/1.1\r\nHost: s\r\nUser-Agent: {agent}\r\n\r\n");
        let (head, _) = Client::connect(self.proxy).send(request).read_message();
        head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status")
    }

    pub(crate) fn client(&self) -> Admin {
        Admin::new(&Url::parse(&format!("http://{}", self.admin)).expect("a URL"), None).expect("an address")
    }

    pub(crate) fn faults(&self) -> Faults {
        wait(self.client().faults()).expect("it answers")
    }

    /// Runs a subcommand in the sidecar's folder, told where it is.
    pub(crate) fn brownout(&self, command: &str) -> Output {
        let admin = self.admin.to_string();
        brownout(self.folder.path(), &[command, "--admin", &admin])
    }

    /// The value of a metric without labels.
    pub(crate) fn metric(&self, name: &str) -> Option<f64> {
        let request = "GET /metrics HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n";
        let (page, _) = Client::connect(self.metrics).send(request).read_to_end();
        let page = String::from_utf8(page).expect("text");
        page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    }

    /// What the kubelet would be told.
    pub(crate) fn is_ready(&self) -> bool {
        let request = "GET /readyz HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n";
        Client::connect(self.metrics).send(request).read_head().starts_with("HTTP/1.1 200 ")
    }

    /// What it has written to stderr so far, once it has ended.
    pub(crate) fn log(mut self) -> String {
        self.kill();
        let mut log = String::new();
        self.child.stderr.take().expect("it was asked for").read_to_string(&mut log).expect("text");
        log
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts the program and reads where its proxy, its exporter and its API listen.
fn run(folder: &Path, shell: &str, arguments: &[&str]) -> (Child, [SocketAddr; 3]) {
    let program = env!("CARGO_BIN_EXE_brownout");
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{shell}\nexec \"$0\" \"$@\""), program, "serve", "-c", "brownout.toml"]);
    command.args(arguments).current_dir(folder);
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program can be started");
    let mut lines = BufReader::new(child.stdout.take().expect("it was asked for")).lines();
    let addresses = ["proxy", "metrics", "admin"].map(|what| {
        loop {
            let line = lines.next().expect("it says where it listens").expect("text");
            if let Some(address) = line.strip_prefix(what) {
                let address = address.trim().trim_start_matches("http://").split([' ', '/']).next();
                return address.and_then(|address| address.parse().ok()).expect("an address");
            }
        }
    });
    (child, addresses)
}

pub(crate) fn brownout(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_brownout"));
    command.env_remove("BROWNOUT_ADMIN").env_remove("BROWNOUT_TOKEN");
    command.args(arguments).current_dir(folder).stdin(Stdio::null()).output().expect("the program can be started")
}

pub(crate) fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work)
}

/// Asks again and again, for as long as patience lasts.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let given_up = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < given_up, "{what}: not within {PATIENCE:?}");
        std::thread::yield_now();
    }
}
