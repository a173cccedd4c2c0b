//! The house as it was drawn: arrows point down, and no room is overfull.
//!
//! The sources are read as text: `crate::` paths say which folder leans on which. The table below is the drawing.

#![allow(clippy::expect_used, clippy::panic, reason = "a helper of a test may fail the test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Every folder (or single file) of `src`, from the ground up, and what it may lean on besides the leaves.
const ARROWS: &[(&str, &[&str])] = &[
    ("units", &[]),
    ("dice", &[]),
    ("names", &[]),
    ("diagnostics", &[]),
    ("clock", &[]),
    ("shards", &[]),
    ("stats", &[]),
    ("results", &["stats"]),
    ("faults", &[]),
    ("rules", &["faults"]),
    ("telemetry", &["results", "faults", "rules"]),
    ("tls", &[]),
    ("config", &["faults", "rules", "tls"]),
    ("proxy", &["faults", "rules", "config", "telemetry", "tls"]),
    ("tcp", &["faults", "rules", "config", "telemetry"]),
    ("load", &["stats", "results"]),
    ("client", &["faults", "rules"]),
    ("experiment", &["stats", "results", "faults", "rules", "config", "telemetry", "load", "client"]),
    ("report", &["results"]),
    (
        "admin",
        &["stats", "results", "faults", "rules", "telemetry", "config", "proxy", "client", "experiment", "report"],
    ),
    (
        "demo",
        &[
            "stats",
            "results",
            "faults",
            "rules",
            "telemetry",
            "config",
            "proxy",
            "tcp",
            "load",
            "client",
            "experiment",
            "report",
            "admin",
        ],
    ),
    (
        "cli",
        &[
            "stats",
            "results",
            "faults",
            "rules",
            "telemetry",
            "config",
            "proxy",
            "tcp",
            "load",
            "client",
            "experiment",
            "report",
            "admin",
            "demo",
        ],
    ),
];

/// Types with units, chance, names, problems, time: anybody may use them, and they use nothing but each other.
const LEAVES: &[&str] = &["units", "dice", "names", "diagnostics", "clock", "shards"];

/// Code lines of a file without its tests: above this its own maintainers begin to dread it.
const LONGEST_FILE: usize = 400;

struct Source {
    /// Relative to `src`.
    path: PathBuf,
    /// As it stands.
    text: String,
}

impl Source {
    fn all() -> Vec<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut sources = Vec::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).expect("a readable folder") {
                let path = entry.expect("a readable entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|e| e == "rs") {
                    let text = fs::read_to_string(&path).expect("a readable file");
                    let path = path.strip_prefix(&root).expect("below the root").to_owned();
                    sources.push(Self { path, text });
                }
            }
        }
        sources.sort_by(|a, b| a.path.cmp(&b.path));
        assert!(sources.len() > 20, "the sources were not found");
        sources
    }

    /// The folder, or the single file, that it belongs to; `None` for `lib.rs` and `main.rs`, which name everything.
    fn room(&self) -> Option<String> {
        let first = self.path.iter().next()?.to_str()?;
        let room = first.strip_suffix(".rs").unwrap_or(first);
        (room != "lib" && room != "main").then(|| room.to_owned())
    }

    fn is_test(&self) -> bool {
        self.path.iter().any(|part| part == "tests" || part == "tests.rs")
    }

    /// Lines of code with their numbers: no comments, no blank lines.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate().map(|(i, line)| (i + 1, line.trim()));
        lines.filter(|(_, line)| !line.is_empty() && !line.starts_with("//"))
    }

    /// As [`Source::code`], up to the file's tests, which stand last.
    fn product(&self) -> impl Iterator<Item = (usize, &str)> {
        let tests = self.text.lines().position(|line| line.starts_with("#[cfg(test)]")).unwrap_or(usize::MAX);
        let end = if self.is_test() { 0 } else { tests };
        self.code().take_while(move |(number, _)| *number <= end)
    }
}

/// The identifiers that follow `prefix` in a line of code: `use crate::{a::X, b}` gives a and b for `crate::`.
fn named_after<'a>(line: &'a str, prefix: &str) -> Vec<&'a str> {
    let word = |text: &'a str| {
        let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
        &text[..end]
    };
    let mut names = Vec::new();
    for (at, _) in line.match_indices(prefix) {
        let rest = &line[at + prefix.len()..];
        let Some(list) = rest.strip_prefix('{') else {
            names.push(word(rest));
            continue;
        };
        let mut depth = 0;
        let mut starts = true;
        for (i, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => starts = true,
                c if starts && !c.is_whitespace() => {
                    names.push(word(&list[i..]));
                    starts = false;
                }
                _ => {}
            }
            if depth < 0 {
                break;
            }
        }
    }
    names
}

fn may_lean_on(room: &str, other: &str) -> bool {
    let (_, below) = ARROWS
        .iter()
        .find(|(name, _)| *name == room)
        .unwrap_or_else(|| panic!("src/{room} is not in the table of tests/architecture.rs"));
    room == other || LEAVES.contains(&other) || below.contains(&other)
}

/// Fails with every offender, not with the first.
fn none(offenders: Vec<String>, law: &str) {
    assert!(offenders.is_empty(), "{law}:\n  {}", offenders.join("\n  "));
}

fn rooms() -> BTreeSet<&'static str> {
    ARROWS.iter().map(|(name, _)| *name).collect()
}

#[test]
fn the_drawing_itself_has_only_arrows_that_point_down() {
    for (i, (room, below)) in ARROWS.iter().enumerate() {
        for other in *below {
            assert!(ARROWS[..i].iter().any(|(name, _)| name == other), "{room} -> {other} points up");
        }
    }
    assert!(may_lean_on("experiment", "load") && !may_lean_on("load", "proxy") && !may_lean_on("faults", "rules"));
    assert_eq!(named_after("use crate::{a::{x, y}, b, c::Z};", "crate::"), ["a", "b", "c"]);
    assert_eq!(named_after("pub(in crate::q) fn f() -> crate::r::S {", "crate::"), ["q", "r"]);
}

#[test]
fn every_room_leans_only_on_what_is_below_it() {
    let rooms = rooms();
    let mut offenders = Vec::new();
    for source in Source::all() {
        let Some(room) = source.room() else { continue };
        // A list may be spread over lines: what counts is the statement.
        let statements: Vec<(usize, &str)> = source.code().collect();
        let mut open: Option<(usize, String)> = None;
        for (number, line) in statements {
            let (start, statement) = match open.take() {
                Some((start, text)) => (start, text + " " + line),
                None => (number, line.to_owned()),
            };
            if statement.contains("use ") && !statement.contains(';') && statement.contains('{') {
                open = Some((start, statement));
                continue;
            }
            for other in named_after(&statement, "crate::") {
                if rooms.contains(other) && !may_lean_on(&room, other) {
                    offenders.push(format!("src/{}:{start}: {room} -> {other}", source.path.display()));
                }
            }
        }
    }
    none(offenders, "arrows point down only");
}

#[test]
fn the_proxy_library_is_named_in_one_folder() {
    let mut offenders = Vec::new();
    for source in Source::all().iter().filter(|source| source.room().as_deref() != Some("proxy")) {
        for (number, line) in source.code() {
            let named = line.match_indices("pingora").any(|(at, _)| {
                let rest = line[at..].trim_start_matches(|c: char| c.is_alphanumeric() || c == '_');
                rest.starts_with("::") || line[..at].ends_with("use ")
            });
            if named {
                offenders.push(format!("src/{}:{number}: {line}", source.path.display()));
            }
        }
    }
    none(offenders, "pingora is named in src/proxy only");
}

#[test]
fn deciding_needs_no_runtime() {
    const RUNTIMES: &[&str] = &["hyper", "hyper_util", "axum", "mio", "async_io", "futures_util"];
    let mut offenders = Vec::new();
    for source in Source::all() {
        if !matches!(source.room().as_deref(), Some("faults" | "rules")) {
            continue;
        }
        for (number, line) in source.product() {
            let tokio = named_after(line, "tokio::").into_iter().any(|part| part != "sync");
            let other = RUNTIMES.iter().any(|name| line.contains(&format!("{name}::")));
            if tokio || other {
                offenders.push(format!("src/{}:{number}: {line}", source.path.display()));
            }
        }
    }
    none(offenders, "faults and rules decide, they never wait or send");
}

#[test]
fn no_file_is_too_long_to_be_read_in_one_go() {
    let mut offenders = Vec::new();
    for source in Source::all() {
        let lines = source.product().count();
        if lines > LONGEST_FILE {
            offenders.push(format!("src/{}: {lines} lines of code", source.path.display()));
        }
    }
    none(offenders, "a file has at most 400 lines of code, tests not counted");
}

#[test]
fn nothing_is_left_to_be_done_later() {
    let mut offenders = Vec::new();
    for source in Source::all() {
        for (number, line) in source.code() {
            if ["todo!", "unimplemented!"].iter().any(|stub| line.contains(stub)) {
                offenders.push(format!("src/{}:{number}: {line}", source.path.display()));
            }
        }
    }
    none(offenders, "a stub called done is worse than a gap");
}
