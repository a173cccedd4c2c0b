//! Runs that attach to a sidecar: `brownout serve` in a process of its own.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use brownout::client::Client as Admin;
use brownout::diagnostics::{Node, Reader};
use brownout::experiment::injector::{Injector, InjectorError};
use brownout::experiment::remote::Remote;
use brownout::rules::{RuleSpec, read_rules};
use url::Url;

use super::file::{ERROR, Folder, experiment};
use super::support::{Client, Origin, PATIENCE, ok};

/// A sidecar with the proxy `stock`; killed when dropped.
struct Sidecar {
    child: Child,
    folder: tempfile::TempDir,
    proxy: SocketAddr,
    admin: SocketAddr,
}

impl Sidecar {
    fn start(origin: &Origin) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let any = "listen = \"127.0.0.1:0\"";
        let config = format!(
            "[admin]\n{any}\n[metrics]\n{any}\n[[proxy]]\nname = \"stock\"\n{any}\nupstream = \"http://{}\"\n",
            origin.address
        );
        fs::write(folder.path().join("brownout.toml"), config).expect("a file");
        fs::create_dir(folder.path().join("rules")).expect("a folder");
        Self::serve(folder, &[])
    }

    /// Another process at the same admin address.
    fn restart(mut self) -> Self {
        self.child.kill().expect("a child of ours");
        self.child.wait().expect("a child of ours");
        let admin = format!("admin.listen={}", self.admin);
        // Moved out by hand: the drop below must not end the new one's folder.
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir().expect("a folder"));
        Self::serve(folder, &["--set", &admin])
    }

    fn serve(folder: tempfile::TempDir, arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_brownout"))
            .args(["serve", "-c", "brownout.toml"])
            .args(arguments)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program can be started");
        let mut lines = BufReader::new(child.stdout.take().expect("it was asked for")).lines();
        let mut listens_on = |what: &str| loop {
            let line = lines.next().expect("it says where it listens").expect("text");
            if let Some(address) = line.strip_prefix(what) {
                let address = address.trim().trim_start_matches("http://").split(' ').next().expect("an address");
                return address.parse().expect("an address");
            }
        };
        let (proxy, admin) = (listens_on("proxy"), listens_on("admin"));
        Self { child, folder, proxy, admin }
    }

    fn url(&self) -> Url {
        Url::parse(&format!("http://{}", self.admin)).expect("a URL")
    }

    fn remote(&self) -> Remote {
        let lease = Duration::from_secs(30);
        Remote::new(&self.url(), None, "a run", vec!["stock".to_owned()], &rules(), lease).expect("an address")
    }

    /// The status that a client of the proxy gets.
    fn status(&self) -> u16 {
        let (head, _) = Client::connect(self.proxy).send("GET /order HTTP/1.1\r\nHost: s\r\n\r\n").read_message();
        head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status")
    }

    fn attached(&self) -> String {
        format!("attach = \"{}\"", self.url())
    }

    fn rules(&self) -> usize {
        let rules = wait(async { Admin::new(&self.url(), None).expect("an address").rules().await });
        rules.expect("it answers").rules.len()
    }

    /// Asks again and again, for as long as patience lasts.
    fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let given_up = Instant::now() + PATIENCE;
        while !holds() {
            assert!(Instant::now() < given_up, "{what}: not within {PATIENCE:?}");
            std::thread::yield_now();
        }
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work)
}

fn rules() -> Vec<RuleSpec> {
    let node = Node::from_toml("rules.toml", ERROR).expect("TOML");
    let problems = std::cell::RefCell::default();
    read_rules(&mut Reader::new("rules.toml", &node, "", &problems))
}

fn origin() -> Origin {
    Origin::answering(|_| ok("ordered"))
}

#[test]
fn a_sidecar_is_taken_switched_counted_and_given_back() {
    let origin = origin();
    let sidecar = Sidecar::start(&origin);
    wait(async {
        let (mut run, mut other) = (sidecar.remote(), sidecar.remote());
        run.take().await.expect("nobody has it");
        let refused = other.take().await.expect_err("it is held");
        assert!(matches!(&refused, InjectorError::Refused(why) if why.contains("holds stock")), "{refused}");
        assert_eq!(sidecar.status(), 200, "taken is not on");

        let on = run.on().await.expect("it can be switched");
        assert!(on.sent <= on.at);
        assert_eq!(sidecar.status(), 503);
        run.off().await.expect("it can be switched");
        assert_eq!(sidecar.status(), 200);

        let tally = run.tally().await.expect("it can be asked");
        assert_eq!((tally.rules.len(), tally.rules[0].injected, tally.received), (1, 1, 3));
        run.give_back().await.expect("it is ours");
        other.take().await.expect("it is free");
    });
}

#[test]
fn a_sidecar_that_is_restarted_is_lost_and_so_are_its_faults() {
    let origin = origin();
    let sidecar = Sidecar::start(&origin);
    wait(async {
        let mut run = sidecar.remote();
        run.take().await.expect("nobody has it");
        run.on().await.expect("it can be switched");
        let sidecar = sidecar.restart();
        for lost in [run.tally().await.map(drop), run.off().await.map(drop), run.on().await.map(drop)] {
            assert!(matches!(&lost, Err(InjectorError::Lost(why)) if why.contains("restarted")), "{lost:?}");
        }
        assert_eq!(sidecar.status(), 200);
    });
}

#[test]
fn a_sidecar_whose_faults_are_off_or_that_has_others_is_refused_before_any_load() {
    let origin = origin();
    let sidecar = Sidecar::start(&origin);
    wait(async {
        let admin = Admin::new(&sidecar.url(), None).expect("an address");
        admin.off().await.expect("it answers");
        let latched = sidecar.remote().take().await.expect_err("nothing would act");
        assert!(matches!(&latched, InjectorError::Refused(why) if why.contains("brownout on")), "{latched}");
        admin.on().await.expect("it answers");
    });
    let foreign = ERROR.replace("stock-503", "left-over");
    fs::write(sidecar.folder.path().join("rules/left-over.toml"), foreign).expect("a file");
    sidecar.until("the rule file was read", || sidecar.status() == 503);
    wait(async {
        let refused = sidecar.remote().take().await.expect_err("the baseline would lie");
        assert!(matches!(&refused, InjectorError::Refused(why) if why.contains("file/left-over")), "{refused}");
    });
}

#[test]
fn ctrl_c_leaves_a_sidecar_as_it_was() {
    let origin = origin();
    let sidecar = Sidecar::start(&origin);
    let folder = Folder::with(&experiment(&sidecar.attached(), sidecar.proxy, ERROR));
    let mut program = folder.start(&[]);
    program.says("fault on").signal(libc::SIGINT);
    let ended = program.ends();
    assert_eq!(ended.code, Some(130), "{}", ended.stderr);
    assert_eq!((sidecar.status(), sidecar.rules()), (200, 0));
    let result = folder.result();
    assert_eq!(result["runs"][0]["recovery"]["outcome"], "interrupted");
    assert_eq!(result["plan"]["amplification_seen_by"], "driver", "the load arrives at the sidecar");
}

#[test]
fn a_runner_that_was_killed_leaves_no_fault_on_its_sidecar() {
    let origin = origin();
    let sidecar = Sidecar::start(&origin);
    // A fault phase that would go on for longer than anybody waits.
    let text = experiment(&sidecar.attached(), sidecar.proxy, ERROR).replace("fault = \"2s\"", "fault = \"10m\"");
    let folder = Folder::with(&text);
    let mut program = folder.start(&["--lease", "1s"]);
    program.says("fault on");
    sidecar.until("the fault was on", || sidecar.status() == 503);
    program.signal(libc::SIGKILL);
    program.ends();
    sidecar.until("the lease was over", || sidecar.status() == 200 && sidecar.rules() == 0);
}

#[test]
fn a_sidecar_that_is_not_there_or_has_no_such_proxy_ends_the_run_before_any_load() {
    let origin = origin();
    let sidecar = Sidecar::start(&origin);
    let nobody = Folder::with(&experiment("attach = \"http://127.0.0.1:1\"", sidecar.proxy, ERROR));
    let ended = nobody.start(&[]).ends();
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    assert!(ended.stderr.contains("127.0.0.1:1"), "{}", ended.stderr);

    let text = experiment(&sidecar.attached(), sidecar.proxy, ERROR).replace("\"stock\"", "\"stok\"");
    let ended = Folder::with(&text).start(&[]).ends();
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    assert!(ended.stderr.contains("\"stok\"") && ended.stderr.contains("there are: stock"), "{}", ended.stderr);
}

#[test]
fn a_run_switches_all_its_sidecars_and_gives_them_back() {
    let origin = origin();
    let (busy, idle) = (Sidecar::start(&origin), Sidecar::start(&origin));
    let both = format!("attach = [\"{}\", \"{}\"]", busy.url(), idle.url());
    let folder = Folder::with(&experiment(&both, busy.proxy, ERROR));
    let mut program = folder.start(&[]);
    program.says("fault on");
    busy.until("both were switched", || busy.status() == 503 && idle.status() == 503);
    let ended = program.ends();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let run = &folder.result()["runs"][0];
    assert_eq!(run["recovery"]["outcome"], "recovered");
    assert_eq!(run["rules"].as_array().map(Vec::len), Some(1), "the same rule on two sidecars is one");
    assert!(run["rules"][0]["injected"].as_u64() > Some(100), "{}", run["rules"]);
    for sidecar in [busy, idle] {
        assert_eq!((sidecar.status(), sidecar.rules()), (200, 0));
    }
}
