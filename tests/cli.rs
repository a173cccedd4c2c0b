//! The command line as its users see it: help texts, exit codes, what goes to which stream.

#![allow(clippy::expect_used, reason = "a helper of a test may fail the test")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Runs the program in a folder of its own, without a terminal and with a plain environment.
fn brownout(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_brownout"))
        .args(arguments)
        .current_dir(folder)
        .env_remove("NO_COLOR")
        .env_remove("RUST_LOG")
        .env_remove("COLUMNS")
        .stdin(Stdio::null())
        .output()
        .expect("the program can be started")
}

fn anywhere(arguments: &[&str]) -> Output {
    brownout(Path::new("/"), arguments)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("the program writes text")
}

/// The names under `Commands:` in the help text.
fn commands() -> Vec<String> {
    let help = text(&anywhere(&["--help"]).stdout);
    let list = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names = list.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    names.filter(|name| !name.is_empty() && *name != "help").map(str::to_owned).collect()
}

#[test]
fn a_bare_call_shows_the_help() {
    let bare = anywhere(&[]);
    assert_eq!(bare.status.code(), Some(0));
    assert_eq!(text(&bare.stdout), text(&anywhere(&["--help"]).stdout));
    insta::assert_snapshot!("help", text(&bare.stdout));
}

#[test]
fn every_command_explains_itself_with_examples() {
    let commands = commands();
    assert!(commands.iter().any(|name| name == "check"), "{commands:?}");
    for name in commands {
        let help = anywhere(&[&name, "--help"]);
        assert_eq!(help.status.code(), Some(0), "{name}");
        insta::assert_snapshot!(format!("help-{name}"), text(&help.stdout));
    }
}

#[test]
fn completions_and_the_manual_know_every_command() {
    let folder = tempfile::tempdir().expect("a folder");
    let pages = brownout(folder.path(), &["man", "--out", "man1"]);
    assert_eq!(pages.status.code(), Some(0), "{}", text(&pages.stderr));
    let page = text(&anywhere(&["man"]).stdout);
    let scripts =
        ["bash", "zsh", "fish", "elvish", "powershell"].map(|shell| text(&anywhere(&["completions", shell]).stdout));
    for name in commands() {
        assert!(page.contains(&format!("brownout\\-{name}(1)")), "{name} is not in the manual");
        assert!(folder.path().join(format!("man1/brownout-{name}.1")).exists(), "{name} has no page");
        assert!(scripts.iter().all(|script| script.contains(&name)), "{name} is not completed");
    }
    assert_eq!(anywhere(&["completions", "tcsh"]).status.code(), Some(2));
}

#[test]
fn schemas_are_printed_as_they_are_shipped() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in ["config", "rules", "experiment"] {
        let shipped = fs::read_to_string(root.join(format!("config/schema/{file}.json"))).expect("a schema");
        assert!(text(&anywhere(&["schema", file]).stdout) == shipped, "{file}");
    }
}

#[test]
fn the_version_is_the_packages() {
    assert_eq!(text(&anywhere(&["--version"]).stdout).trim(), format!("brownout {}", env!("CARGO_PKG_VERSION")));
}

#[test]
fn wrong_arguments_are_bad_input_and_say_what_would_be_right() {
    let mut shown = String::new();
    for arguments in [&["chek"][..], &["check"], &["check", "--colour"], &["--color", "red", "check", "x"]] {
        let output = anywhere(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(text(&output.stdout), "", "{arguments:?}");
        shown += &format!("$ brownout {}\n{}\n", arguments.join(" "), text(&output.stderr));
    }
    insta::assert_snapshot!("wrong-arguments", shown);
}

#[test]
fn colours_come_only_when_asked_for() {
    assert!(!text(&anywhere(&["--help"]).stdout).contains('\u{1b}'));
    assert!(text(&anywhere(&["--color", "always", "--help"]).stdout).contains('\u{1b}'));
    assert!(text(&anywhere(&["--color=always"]).stdout).contains('\u{1b}'));
    assert!(text(&anywhere(&["--color=always", "check", "nowhere.toml"]).stderr).contains('\u{1b}'));
}

#[test]
fn a_reader_that_goes_away_is_no_error_and_a_full_disk_is() {
    let with_stdout = |stdout: Stdio| {
        let output = Command::new(env!("CARGO_BIN_EXE_brownout")).stdout(stdout).stderr(Stdio::piped()).output();
        let output = output.expect("the program can be started");
        (output.status.code(), text(&output.stderr))
    };
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    assert_eq!(with_stdout(writer.into()), (Some(0), String::new()));

    let full = fs::File::create("/dev/full").expect("Linux has a full disk to offer");
    let (code, message) = with_stdout(full.into());
    assert_eq!(code, Some(3));
    assert!(message.contains("stdout cannot be written"), "{message}");
}

const CONFIG: &str = r#"
[[proxy]]
name = "payments"
listen = "127.0.0.1:8080"
upstream = "http://127.0.0.1:9000"
"#;

const RULE: &str = r#"
[[rule]]
name = "slow"
[[rule.fault]]
kind = "latency"
delay = "80ms"
"#;

/// A folder with these files in it.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder around it")).expect("a folder");
        fs::write(path, text).expect("a file");
    }
    folder
}

#[test]
fn check_says_what_was_understood() {
    let folder = folder(&[
        ("c.toml", CONFIG),
        ("rules/a.toml", RULE),
        ("rules/b.toml", "[[rule]]\nname = \"b\"\nenabled = false\n[[rule.fault]]\nkind = \"error\"\nstatus = 503\n"),
    ]);
    let output = brownout(folder.path(), &["check", "c.toml", "rules", "rules/a.toml"]);
    assert_eq!(output.status.code(), Some(0));
    insta::assert_snapshot!("check-ok", text(&output.stdout));
}

#[test]
fn check_reports_every_mistake_of_every_file_once() {
    let folder = folder(&[
        ("c.toml", CONFIG),
        ("rules/a.toml", &format!("{RULE}dely = 1\n")),
        ("rules/b.toml", &RULE.replace("latency", "latncy").replace("80ms", "80")),
        ("empty.toml", ""),
    ]);
    let paths = ["check", "c.toml", "rules", "rules/a.toml", "empty.toml", "nowhere.toml"];
    let output = brownout(folder.path(), &paths);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(text(&output.stdout), "");
    insta::assert_snapshot!("check-wrong", text(&output.stderr));
}

#[test]
fn what_is_shipped_is_right_and_hurts_nobody_before_it_is_asked_to() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = brownout(root, &["check", "config/brownout.toml", "rules"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    for line in text(&output.stdout).lines() {
        assert!(line.contains("(none enabled)"), "{line}");
    }
}

const MANY: &str = r#"
[[rule]]
name = "half"
proxy = "payments"
match = { method = "POST", path = "/api/**", query = { q = "1" }, host = "shop.example" }
trigger = { probability = 0.5 }
[[rule.fault]]
kind = "error"
status = 503
[[rule]]
name = "beta"
match = { header = { x-tenant = "beta-*" } }
trigger = { probability = 0.5 }
limit = { concurrent = 10 }
[[rule.fault]]
kind = "latency"
delay = "80ms"
[[rule.fault]]
kind = "error"
status = 500
[[rule]]
name = "asleep"
enabled = false
[[rule.fault]]
kind = "error"
status = 500
"#;

#[test]
fn explain_says_what_would_happen_and_how_often() {
    let route = "[[proxy.route]]\nname = \"api\"\nmatch = { path = \"/api/**\" }\n";
    let folder = folder(&[("config/brownout.toml", &format!("{CONFIG}{route}")), ("config/rules/a.toml", MANY)]);
    let request = ["explain", "POST", "/api/x?q=1", "-H", "x-tenant: beta-1", "-H", "host: Shop.example:8080"];
    let output = brownout(folder.path(), &request);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    insta::assert_snapshot!("explain", text(&output.stdout));

    // Another host: only one rule is left. Without a configuration the rules' own proxies are taken.
    let rules = ["explain", "POST", "/api/x?q=1", "--host", "else", "--rules", "config/rules", "--all"];
    insta::assert_snapshot!("explain-rules-only", text(&brownout(folder.path(), &rules).stdout));

    let json = brownout(folder.path(), &[&request[..], &["--format", "json"]].concat());
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!((&json[0]["proxy"], &json[0]["route"]), (&"payments".into(), &"api".into()));
    assert_eq!(json[0]["explanation"]["rules"].as_array().map(Vec::len), Some(3));
}

#[test]
fn explain_says_what_makes_it_different_from_what_would_be_seen() {
    let elsewhere = RULE.replace("name = \"slow\"", "name = \"slow\"\nproxy = \"paymets\"");
    let folder =
        folder(&[("c.toml", CONFIG), ("rules/a.toml", &elsewhere), (".brownout-state.json", "{\"off\":true}")]);
    let output = brownout(folder.path(), &["explain", "GET", "/", "-c", "c.toml"]);
    assert_eq!(output.status.code(), Some(0));
    insta::assert_snapshot!("explain-notes", text(&output.stderr));
    let quiet = brownout(folder.path(), &["explain", "GET", "/", "-c", "c.toml", "--quiet"]);
    assert_eq!(text(&quiet.stderr), "");
}

#[test]
fn explain_reports_every_wrong_argument_and_a_missing_configuration() {
    let folder = folder(&[]);
    let mut shown = String::new();
    for arguments in [&["explain", "P OST", "api", "-H", "bad"][..], &["explain", "GET", "/"]] {
        let output = brownout(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(2));
        shown += &format!("$ brownout {}\n{}\n", arguments.join(" "), text(&output.stderr));
    }
    insta::assert_snapshot!("explain-wrong", shown);
}

#[test]
fn check_holds_rules_against_the_configuration_that_they_are_for() {
    let folder = folder(&[
        ("c.toml", &format!("{CONFIG}[safety]\nrequire_lease = true\nmax_probability = \"10%\"\n")),
        ("rules/a.toml", RULE),
    ]);
    let output = brownout(folder.path(), &["check", "c.toml"]);
    assert_eq!(output.status.code(), Some(2));
    insta::assert_snapshot!("check-safety", text(&output.stderr));
}
