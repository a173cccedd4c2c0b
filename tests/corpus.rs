//! Replays the bytes that fuzzing found worth keeping, without a fuzzer. Those for the proxy's own types are replayed
//! where the types are (`src/proxy/fuzzing.rs`).

#![allow(clippy::expect_used, reason = "a helper of a test may fail the test")]

#[path = "../fuzz/src/lib.rs"]
#[allow(unreachable_pub, missing_docs, reason = "a library there, a module here")]
mod targets;

use std::fs;
use std::path::Path;

fn replay(name: &str, target: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let entries: Vec<_> = fs::read_dir(&folder).expect("a corpus").flatten().filter(|e| e.path().is_file()).collect();
    assert!(entries.len() >= 3, "{name} has {} entries", entries.len());
    for entry in entries {
        target(&fs::read(entry.path()).expect("bytes"));
    }
}

#[test]
fn rule_files_are_understood_or_refused() {
    replay("rule_file", targets::rule_file);
}

#[test]
fn paths_are_matched_as_defined() {
    replay("path_match", targets::path_match);
}

#[test]
fn units_are_read_and_shown() {
    replay("units", targets::units);
}
