//! Servers in a folder of their own, ended by their process.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take until it listens.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a client may take that should not be served.
const HANGING: Duration = Duration::from_secs(4);

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A server that is ended when it is dropped.
pub(crate) struct Server {
    process: Child,
    pub(crate) address: SocketAddr,
    pub(crate) folder: tempfile::TempDir,
}

impl Server {
    /// Starts it, and waits until it listens.
    pub(crate) fn start(mut command: Command, folder: tempfile::TempDir, port: u16) -> Self {
        let log = fs::File::create(folder.path().join("server.log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let name = format!("{command:?}");
        let process = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}: run scripts/setup test"));
        let mut server = Self { process, address: ([127, 0, 0, 1], port).into(), folder };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(server.address).is_err() {
            let ended = server.process.try_wait().unwrap();
            if ended.is_some() || Instant::now() > deadline {
                let log = fs::read_to_string(server.folder.path().join("server.log")).unwrap_or_default();
                panic!("{name} does not listen: {ended:?}\n{log}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A program by its name, also where an ordinary user's PATH does not look.
pub(crate) fn program(name: &str) -> PathBuf {
    let mut folders: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
    folders.extend(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
    // PostgreSQL's own lie beside each other for each version; the newest one first.
    let mut versions: Vec<PathBuf> =
        fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    versions.sort();
    versions.reverse();
    let of_postgres = versions.into_iter().map(|version| version.join("bin"));
    let found = of_postgres.chain(folders).map(|folder| folder.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{name} is missing: run scripts/setup test"))
}

/// Runs a client with this input; its output, or what it complained about. One that hangs is ended.
pub(crate) fn run(mut command: Command, input: Option<&Path>) -> Result<String, String> {
    let stdin = input.map_or_else(Stdio::null, |path| fs::File::open(path).unwrap().into());
    let name = format!("{command:?}");
    let mut child = command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + HANGING;
    // Read aside, so that a full pipe holds nobody up.
    let id = child.id();
    let (done, is_done) = std::sync::mpsc::channel::<Output>();
    let stdout = child.stdout.take().unwrap();
    let stderr = child.stderr.take().unwrap();
    let reading = std::thread::spawn(move || {
        let read = |mut from: Box<dyn std::io::Read + Send>| {
            std::thread::spawn(move || {
                let mut bytes = Vec::new();
                let _ = from.read_to_end(&mut bytes);
                bytes
            })
        };
        let (out, err) = (read(Box::new(stdout)), read(Box::new(stderr)));
        let (stdout, stderr) = (out.join().unwrap(), err.join().unwrap());
        let status = child.wait().unwrap();
        let _ = done.send(Output { status, stdout, stderr });
    });
    let output = match is_done.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        Ok(output) => output,
        Err(_) => {
            // The process is ours and has not been waited for, so that the number is its own.
            let _ = Command::new("kill").arg("-KILL").arg(id.to_string()).status();
            reading.join().unwrap();
            return Err(format!("{name} hangs"));
        }
    };
    reading.join().unwrap();
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}
