//! Experiment files for the tests, and the program that runs them.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};

/// A rule that answers every request of the proxy.
pub const ERROR: &str = "[[rule]]\nname = \"stock-503\"\n[[rule.fault]]\nkind = \"error\"\nstatus = 503\n";

/// A run of twelve seconds with windows of half a second. `proxy` are the lines of its `[[proxy]]`, named `stock`;
/// `rules` comes after everything else.
pub fn experiment(proxy: &str, target: SocketAddr, rules: &str) -> String {
    format!(
        r#"
[experiment]
name = "a short one"
seed = 7

[[proxy]]
name = "stock"
{proxy}

[load]
target = "http://{target}"
rate = "100/s"
timeout = "1s"
[[load.operation]]
name = "order"
method = "GET"
path = "/order"

[slo]
success = "90%"

[phases]
warmup = "500ms"
steady = "3s"
fault = "2s"
recovery = "6s"

[policy]
mode = "slo"
min_window = "500ms"
min_requests = 40
tail_requests = 1
baseline_windows = 4
confirm_windows = 4
hold = "2s"
hold_windows = 4
max_lag = "1s"

{rules}
"#
    )
}

/// The lines of a proxy that is started for the run.
pub fn own_proxy(listen: SocketAddr, upstream: SocketAddr) -> String {
    format!("listen = \"{listen}\"\nupstream = \"http://{upstream}\"")
}

/// A port that was free a moment ago.
pub fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port")
}

/// A folder with an experiment in it.
pub struct Folder(tempfile::TempDir);

impl Folder {
    pub fn with(experiment: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("experiment.toml"), experiment).expect("a file");
        Self(folder)
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Starts `brownout run` on the experiment; its reports come into the folder `out`.
    pub fn start(&self, arguments: &[&str]) -> Program {
        let all = [&["run", "experiment.toml", "--out", "out"], arguments].concat();
        Program::start(self.path(), &all)
    }

    /// What the run wrote.
    pub fn result(&self) -> serde_json::Value {
        let path: PathBuf = self.path().join("out/result.json");
        let text = fs::read_to_string(&path).expect("the run wrote its result");
        serde_json::from_str(&text).expect("and it is JSON")
    }
}

/// The program while it runs; killed when dropped.
pub struct Program {
    child: Child,
    stderr: BufReader<ChildStderr>,
}

/// The program when it has ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stderr: String,
}

impl Program {
    pub fn start(folder: &Path, arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_brownout"))
            .args(arguments)
            .current_dir(folder)
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program can be started");
        let stderr = BufReader::new(child.stderr.take().expect("it was asked for"));
        Self { child, stderr }
    }

    /// Waits until it says this on stderr.
    pub fn says(&mut self, wanted: &str) -> &mut Self {
        let mut said = String::new();
        loop {
            let mut line = String::new();
            let read = self.stderr.read_line(&mut line).expect("text");
            assert!(read > 0, "it never said {wanted:?}: {said}");
            if line.contains(wanted) {
                return self;
            }
            said += &line;
        }
    }

    pub fn signal(&mut self, signal: libc::c_int) {
        let pid = libc::pid_t::try_from(self.child.id()).expect("a process id");
        // SAFETY: no memory is involved; the child has not been waited for, so the id is still its own.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
    }

    /// Waits for its end.
    pub fn ends(mut self) -> Ended {
        let mut stderr = String::new();
        self.stderr.read_to_string(&mut stderr).expect("text");
        let status: ExitStatus = self.child.wait().expect("a child of ours");
        Ended { code: status.code(), stderr }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
