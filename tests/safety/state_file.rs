//! The off latch where it cannot be kept: it acts all the same, and somebody hears of it before it is needed.

use super::sidecar::{Setting, Sidecar};

/// The latch acts; that it will be forgotten was said at the start, by the metric and by the command.
#[track_caller]
fn acts_without_memory(setting: &Setting, warning: &str) {
    let sidecar = Sidecar::start(setting);
    assert_eq!(sidecar.metric("brownout_kill_switch_persisted"), Some(0.0), "known before the first `off`");
    assert!(!sidecar.faults().persisted);
    assert_eq!(sidecar.status(), 503);
    let off = sidecar.brownout("off");
    assert!(off.status.success());
    assert!(String::from_utf8_lossy(&off.stderr).contains("a restart forgets this"));
    assert_eq!((sidecar.status(), sidecar.faults().off), (200, true));
    let log = sidecar.log();
    let first = log.lines().find(|line| line.contains("WARN")).unwrap_or_default();
    assert!(first.contains(warning) && first.contains("safety.state_file"), "{log}");
}

#[test]
fn in_a_folder_that_is_not_there() {
    let safety = "state_file = \"/nowhere/at/all/state.json\"".to_owned();
    acts_without_memory(&Setting { safety, shell: "" }, "cannot be written");
}

#[test]
fn in_a_folder_of_the_kernels() {
    let safety = "state_file = \"/proc/state.json\"".to_owned();
    acts_without_memory(&Setting { safety, shell: "" }, "cannot be written");
}

#[test]
fn on_a_disk_that_is_full() {
    // No file may have a single byte: what a full disk does, without one.
    acts_without_memory(&Setting { safety: String::new(), shell: "trap '' XFSZ; ulimit -f 0" }, "cannot be written");
}

#[test]
fn on_a_device() {
    let safety = "state_file = \"/dev/full\"".to_owned();
    acts_without_memory(&Setting { safety, shell: "" }, "not a regular file");
}

#[test]
fn in_a_file_that_makes_no_sense() {
    let safety = "state_file = \"state.json\"".to_owned();
    acts_without_memory_but_can_write(&Setting { safety, shell: "echo nonsense > state.json" });
}

/// A file that is not understood is not an answer: the latch starts as on, says so, and the next word is kept again.
#[track_caller]
fn acts_without_memory_but_can_write(setting: &Setting) {
    let mut sidecar = Sidecar::start(setting);
    assert_eq!(sidecar.metric("brownout_kill_switch_persisted"), Some(0.0));
    assert!(sidecar.brownout("off").status.success());
    assert!(sidecar.faults().persisted);
    sidecar.kill_and_restart();
    assert!(sidecar.faults().off);
}
