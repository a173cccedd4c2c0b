//! Load goes where it was allowed to go.

use std::fs;

use super::sidecar::brownout;

const SOMEBODY: &str = "http://192.0.2.7/"; // nobody has this address (RFC 5737)

#[test]
fn load_is_not_aimed_at_somebody_by_accident() {
    let folder = tempfile::tempdir().expect("a folder");
    let load =
        || brownout(folder.path(), &["load", SOMEBODY, "--rate", "1/s", "--duration", "1s", "--timeout", "100ms"]);
    let refused = load();
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("--allow-target 192.0.2.7"), "{said}");

    fs::create_dir(folder.path().join("config")).expect("a folder");
    let allow = |line: &str| fs::write(folder.path().join("config/brownout.toml"), format!("[safety]\n{line}\n"));
    allow("allow_targets = [\"192.0.2.8\"]").expect("a file");
    assert_eq!(load().status.code(), Some(2), "another one is allowed");
    allow("allow_targets = 7").expect("a file");
    let wrong = load();
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("brownout.toml:2"), "half of a list is no list");
}
