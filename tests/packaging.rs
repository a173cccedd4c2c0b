//! What is shipped beside the program: container, scripts, licence.

#![allow(clippy::expect_used, reason = "a helper of a test may fail the test")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The sources of every `COPY` that takes from the build context.
fn copied_from_context(dockerfile: &str) -> Vec<PathBuf> {
    let copies = dockerfile.lines().filter_map(|line| line.strip_prefix("COPY "));
    let from_context = copies.filter(|arguments| !arguments.contains("--from="));
    let mut sources = Vec::new();
    for arguments in from_context {
        let mut words: Vec<&str> = arguments.split_whitespace().filter(|word| !word.starts_with("--")).collect();
        words.pop();
        sources.extend(words.iter().map(|word| root().join(word)));
    }
    sources
}

#[test]
fn everything_that_the_container_is_built_from_exists_and_is_not_ignored() {
    let sources = copied_from_context(&read("Dockerfile"));
    assert!(!sources.is_empty());
    for source in sources {
        assert!(source.exists(), "{} is not there", source.display());
    }
    let ignored = read(".dockerignore");
    for needed in ["Cargo.toml", "Cargo.lock", "src", "config", "rules", "benches", "tests"] {
        assert!(!ignored.lines().any(|line| line.trim_matches('/') == needed), "{needed} is ignored");
    }
}

#[test]
fn the_container_does_not_run_as_root() {
    let dockerfile = read("Dockerfile");
    let user = dockerfile.lines().filter_map(|line| line.strip_prefix("USER ")).next_back().expect("a USER");
    let id: u32 = user.split(':').next().and_then(|id| id.parse().ok()).expect("a numeric user, for runAsNonRoot");
    assert_ne!(id, 0);
}

#[test]
fn the_scripts_can_be_run_and_are_read_by_any_shell() {
    let mut scripts: Vec<PathBuf> = vec![root().join(".ci/run")];
    for entry in fs::read_dir(root().join("scripts")).expect("a folder of scripts") {
        scripts.push(entry.expect("a readable entry").path());
    }
    for script in scripts {
        let name = script.display();
        let mode = fs::metadata(&script).expect("a script").permissions().mode();
        assert_ne!(mode & 0o100, 0, "{name} cannot be run");
        let first = fs::read_to_string(&script).expect("a text").lines().next().map(str::to_owned);
        if first.as_deref() == Some("#!/bin/sh") {
            let read = Command::new("sh").arg("-n").arg(&script).output().expect("a shell");
            assert!(read.status.success(), "{name}: {}", String::from_utf8_lossy(&read.stderr));
        }
    }
}

#[test]
fn the_makefile_has_the_verbs_that_everything_else_names() {
    let makefile = read("Makefile");
    for verb in ["demo", "test", "lint", "bench", "fuzz"] {
        assert!(makefile.lines().any(|line| line == format!("{verb}:")), "make {verb}");
    }
    for verb in ["lint", "test"] {
        assert!(
            read(".ci/run").lines().any(|line| line == format!("make {verb}")),
            "continuous integration runs {verb}"
        );
    }
}

#[test]
fn the_licence_is_the_one_that_the_package_names() {
    assert_eq!(env!("CARGO_PKG_LICENSE"), "Apache-2.0");
    let licence = read("LICENSE");
    for line in ["Apache License", "Version 2.0, January 2004", "END OF TERMS AND CONDITIONS"] {
        assert!(licence.lines().any(|l| l.trim() == line), "{line}");
    }
}

#[test]
fn every_link_of_the_readme_and_the_manual_leads_somewhere() {
    let mut pages = vec![root().join("README.md"), root().join("CHANGELOG.md"), root().join("benches/README.md")];
    pages.extend(fs::read_dir(root().join("docs")).expect("docs").flatten().map(|entry| entry.path()));
    for page in pages.iter().filter(|page| page.extension().is_some_and(|e| e == "md")) {
        let text = fs::read_to_string(page).expect("a page");
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap_or_default();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            let folder = page.parent().expect("a page lies in a folder");
            assert!(folder.join(target).exists(), "{}: {link} leads nowhere", page.display());
        }
    }
}
