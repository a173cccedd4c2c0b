//! `brownout off` and `brownout on` against an instance that runs.

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
