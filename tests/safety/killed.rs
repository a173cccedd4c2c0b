//! kill -9, of the sidecar: what was turned off stays off, and what only lived in memory is gone.

use std::time::Duration;

use brownout::client::wire::{Foreign, RunRequest};

use super::sidecar::{Setting, Sidecar, until, wait};

#[test]
fn what_was_turned_off_stays_off_through_a_kill() {
    let mut sidecar = Sidecar::start(&Setting::default());
    assert_eq!(sidecar.status(), 503);
    assert!(sidecar.brownout("off").status.success());
    assert_eq!(sidecar.status(), 200);
    sidecar.kill_and_restart();
    assert!(sidecar.faults().off);
    assert_eq!((sidecar.status(), sidecar.metric("brownout_kill_switch_engaged")), (200, Some(1.0)));
    assert!(sidecar.brownout("on").status.success());
    assert_eq!(sidecar.status(), 503);
    sidecar.kill_and_restart();
    assert_eq!((sidecar.faults().off, sidecar.status()), (false, 503), "and so does what was turned on");
}

#[test]
fn a_kill_while_the_latch_is_written_leaves_one_word_or_the_other() {
    let mut sidecar = Sidecar::start(&Setting::default());
    for round in 0..6u64 {
        let client = sidecar.client();
        let switching = std::thread::spawn(move || {
            wait(async { while client.off().await.is_ok() && client.on().await.is_ok() {} })
        });
        std::thread::sleep(Duration::from_millis(5 + 7 * round)); // the case itself: killed at any moment
        sidecar.kill_and_restart();
        switching.join().expect("it ends with its instance");
        let faults = sidecar.faults();
        assert!(faults.persisted, "the file was understood");
        assert_eq!(sidecar.status(), if faults.off { 200 } else { 503 });
    }
}

#[test]
fn a_run_and_its_faults_end_with_the_instance() {
    let mut sidecar = Sidecar::start(&Setting { safety: String::new(), shell: "rm rules/*" });
    assert_eq!(sidecar.status(), 200);
    let rule = serde_json::json!({ "name": "run", "fault": [{ "kind": "error", "status": 500 }] });
    let request = RunRequest {
        proxies: vec!["web".to_owned()],
        lease: "1h".to_owned(),
        enabled: true,
        foreign: Foreign::Refuse,
        rules: vec![rule],
    };
    wait(sidecar.client().put_run("r", &request)).expect("it is taken");
    assert_eq!(sidecar.status(), 500);
    sidecar.kill_and_restart();
    assert_eq!(sidecar.status(), 200);
    assert_eq!(wait(sidecar.client().get_run("r")).expect("it answers"), None, "its holder is told that it is gone");
}

#[test]
fn a_lease_ends_its_rule_without_anybody_there() {
    let sidecar = Sidecar::start(&Setting { safety: String::new(), shell: "sed -i s/1h/1s/ rules/failing.toml" });
    until("the lease ends", || sidecar.status() == 200);
    assert_eq!(wait(sidecar.client().rules()).expect("it answers").rules[0].lease_left_s, Some(0.0));
}

#[test]
fn probes_are_spared() {
    let sidecar = Sidecar::start(&Setting::default());
    assert_eq!((sidecar.status_for("kube-probe/1.34"), sidecar.status_for("curl/8")), (200, 503));
}

#[test]
fn readiness_is_every_listener_bound_also_after_a_reload_that_could_not_bind_one() {
    let sidecar = Sidecar::start(&Setting::default());
    assert!(sidecar.is_ready());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let file = sidecar.folder.path().join("brownout.toml");
    let before = std::fs::read_to_string(&file).expect("the configuration");
    let another = format!(
        "{before}[[proxy]]\nname = \"another\"\nlisten = \"{}\"\nupstream = \"http://127.0.0.1:9\"\n",
        taken.local_addr().expect("an address")
    );
    std::fs::write(&file, another).expect("a file");
    until("it is not ready", || !sidecar.is_ready());
    assert_eq!(sidecar.status(), 503, "what runs goes on");
    std::fs::write(&file, before).expect("a file");
    until("it is ready again", || sidecar.is_ready());
}
