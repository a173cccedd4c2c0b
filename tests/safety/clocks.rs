//! A clock that jumps: leases, schedules and runs never ask what time of day it is.

use std::fs;
use std::path::{Path, PathBuf};

/// A schedule may begin at a time of day; these two ask for it once, when a rule comes into force.
const BEGINNINGS: [&str; 2] = ["rules/schedule.rs", "rules/book.rs"];

/// What must go on by itself when somebody sets the clock.
const MONOTONIC: [&str; 7] = ["rules", "faults", "clock", "proxy", "load", "admin/book.rs", "admin/runs.rs"];

fn sources(at: PathBuf) -> Vec<PathBuf> {
    if at.is_file() {
        return vec![at];
    }
    let entries = fs::read_dir(&at).expect("a folder of sources").flatten();
    entries.flat_map(|entry| sources(entry.path())).filter(|path| path.extension().is_some_and(|e| e == "rs")).collect()
}

#[test]
fn what_ends_by_itself_counts_on_a_clock_that_nobody_can_set() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let sources: Vec<_> = MONOTONIC.iter().flat_map(|part| sources(root.join(part))).collect();
    assert!(sources.len() > 60);
    let begins = |source: &PathBuf| BEGINNINGS.iter().any(|beginning| source.ends_with(beginning));
    for source in sources.into_iter().filter(|source| !begins(source)) {
        let text = fs::read_to_string(&source).expect("a text");
        for word in ["SystemTime", "CLOCK_REALTIME", "UNIX_EPOCH", "chrono", "jiff"] {
            assert!(!text.contains(word), "{} asks for the time of day: {word}", source.display());
        }
    }
}
