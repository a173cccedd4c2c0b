//! `brownout off` and `brownout on` against an instance that runs.

use std::process::{Command, Stdio};

use crate::{Instance, brownout, text};

#[test]
fn off_and_on_act_on_the_instance_that_they_are_pointed_at() {
    let instance = Instance::start();
    let off = instance.call("off", "sesame");
    assert_eq!((off.status.code(), text(&off.stdout)), (Some(0), "all faults are off\n"), "{}", text(&off.stderr));
    assert!(text(&off.stderr).contains("a restart forgets this"), "it has no state file");
    assert!(instance.store.is_off());
    let on = instance.call("on", "sesame");
    assert_eq!((on.status.code(), text(&on.stdout)), (Some(0), "faults act again\n"));
    assert!(!instance.store.is_off());
}

#[test]
fn a_wrong_token_a_wrong_address_and_nobody_there_have_their_own_cures() {
    let instance = Instance::start();
    let refused = instance.call("off", "open");
    assert_eq!(refused.status.code(), Some(3));
    assert!(text(&refused.stderr).contains("$BROWNOUT_TOKEN"), "{}", text(&refused.stderr));
    assert!(!instance.store.is_off());
    let nobody = brownout(&["off", "--admin", "http://127.0.0.1:9"]);
    assert_eq!(nobody.status.code(), Some(3));
    assert!(text(&nobody.stderr).contains("brownout serve"), "{}", text(&nobody.stderr));
    let wrong = brownout(&["on", "--admin", "https://127.0.0.1"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(text(&wrong.stderr).contains("http://host:port"), "{}", text(&wrong.stderr));
}

#[test]
fn the_configuration_says_where_the_instance_is_and_what_it_asks_for() {
    let instance = Instance::start();
    let folder = tempfile::tempdir().unwrap();
    let config = |path: &str, token: &str| {
        let text = format!(
            "[admin]\nlisten = \"{}\"\ntoken = \"{token}\"\n[[proxy]]\nname = \"${{NOT_HERE}}\"\n",
            instance.address
        );
        std::fs::write(folder.path().join(path), text).unwrap();
    };
    let call = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_brownout"));
        command.args(arguments).current_dir(folder.path()).env_remove("BROWNOUT_ADMIN").env_remove("BROWNOUT_TOKEN");
        command.stdin(Stdio::null()).output().unwrap()
    };
    std::fs::create_dir(folder.path().join("config")).unwrap();
    config("config/brownout.toml", "sesame");
    config("staging.toml", "wrong");
    assert_eq!(call(&["off"]).status.code(), Some(0), "the usual file is looked for");
    assert!(instance.store.is_off());
    assert_eq!(call(&["on", "-c", "staging.toml"]).status.code(), Some(3), "the file that was named is believed");
    assert_eq!(call(&["on", "-c", "staging.toml", "--token", "sesame"]).status.code(), Some(0), "and the flag more");
    assert!(!instance.store.is_off());
    let missing = call(&["off", "-c", "none.toml"]);
    assert_eq!((missing.status.code(), text(&missing.stderr).contains("none.toml")), (Some(2), true));
}
