//! `brownout rules` against an instance that runs.

use std::fs;
use std::process::Output;

use brownout::rules::Layer;

use crate::{Instance, brownout, text};

/// `brownout rules ...` with what the instance asks for.
fn rules(instance: &Instance, arguments: &[&str]) -> Output {
    let address = instance.address.to_string();
    brownout(&[&["rules"], arguments, &["--admin", &address, "--token", "sesame"]].concat())
}

#[track_caller]
fn done(output: &Output) -> &str {
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    text(&output.stdout)
}

fn names(instance: &Instance) -> Vec<String> {
    instance
        .store
        .status()
        .iter()
        .map(|rule| format!("{}/{}{}", rule.layer, rule.name, if rule.enabled { "" } else { "-" }))
        .collect()
}

fn rule(name: &str, more: &str) -> String {
    format!("[[rule]]\nname = \"{name}\"\n{more}\n[[rule.fault]]\nkind = \"error\"\nstatus = 503\n")
}

#[test]
fn rules_are_applied_listed_shown_switched_and_removed() {
    let instance = Instance::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.toml");
    fs::write(&file, rule("a", "group = \"day\"") + &rule("b", "enabled = false")).unwrap();
    let file = file.to_str().unwrap();
    assert_eq!(done(&rules(&instance, &["list"])), "no rules\n");
    let applied = rules(&instance, &["apply", file]);
    assert_eq!(done(&applied), "applied api/a\napplied api/b (enabled = false: `brownout rules enable` turns it on)\n");
    assert_eq!(names(&instance), ["api/a", "api/b-"]);
    let listed = rules(&instance, &["list"]);
    let lines: Vec<&str> = done(&listed).lines().collect();
    assert_eq!(lines[0], "LAYER  RULE  STATE     MATCHED  INJECTED  ACTIVE  LAST MATCH");
    assert_eq!(
        lines[1..],
        [
            "api    a     on              0         0       0  never",
            "api    b     disabled        0         0       0  never"
        ]
    );
    let shown = rules(&instance, &["show", "a"]);
    assert!(done(&shown).starts_with("api/a: on (PUT /api/v1/rules)\n  matched 0, "), "{}", text(&shown.stdout));
    assert!(done(&shown).contains("error: answers 503 in the upstream's place"));
    assert_eq!(done(&rules(&instance, &["enable", "b"])), "enabled api/b\n");
    assert_eq!(done(&rules(&instance, &["disable", "--group", "day"])), "disabled api/a\n");
    assert_eq!(names(&instance), ["api/a-", "api/b"]);
    fs::write(file, rule("c", "")).unwrap();
    done(&rules(&instance, &["apply", file]));
    assert_eq!(names(&instance), ["api/a-", "api/b", "api/c"], "what stays keeps its switch");
    assert_eq!(done(&rules(&instance, &["remove", "a", "c"])), "removed api/a\nremoved api/c\n");
    done(&rules(&instance, &["apply", file, "--replace"]));
    assert_eq!(names(&instance), ["api/c"]);
    let json = rules(&instance, &["list", "--format", "json"]);
    assert_eq!(serde_json::from_str::<serde_json::Value>(done(&json)).unwrap()["rules"][0]["name"], "c");
}

#[test]
fn what_cannot_be_done_is_not_done_by_half_and_says_why() {
    let instance = Instance::start();
    let folder = tempfile::tempdir().unwrap();
    let (good, bad) = (folder.path().join("good.toml"), folder.path().join("bad.toml"));
    fs::write(&good, rule("a", "")).unwrap();
    fs::write(&bad, rule("b", "lese = \"1m\"")).unwrap();
    let (good, bad) = (good.to_str().unwrap(), bad.to_str().unwrap());
    let refused = |arguments: &[&str], code: i32, told: &[&str]| {
        let output = rules(&instance, arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        for part in told {
            assert!(text(&output.stderr).contains(part), "{part}: {}", text(&output.stderr));
        }
    };
    refused(&["apply", good, bad], 2, &["bad.toml:3", "did you mean \"lease\"?"]);
    refused(&["apply", good, good], 2, &["has the name of the rule at"]);
    assert!(names(&instance).is_empty(), "nothing of it");
    done(&rules(&instance, &["apply", good]));
    refused(&["remove", "a", "z"], 2, &["there is no rule \"z\"", "only layer api"]);
    refused(&["show", "aa"], 2, &["did you mean \"a\"?"]);
    refused(&["enable", "z"], 3, &["there is no rule"]);
    refused(&["disable", "--group", "night"], 3, &["no rule is in a group"]);
    refused(&["disable"], 2, &["NAME"]);
    assert_eq!(names(&instance), ["api/a"]);
    instance.store.replace(&Layer::File, Vec::new());
    let couple = folder.path().join("couple.toml");
    fs::write(&couple, rule("c", "trigger = { with = \"nobody\" }")).unwrap();
    refused(&["apply", couple.to_str().unwrap()], 2, &["there is no rule \"nobody\""]);
}
