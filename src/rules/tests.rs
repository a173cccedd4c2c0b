//! What `docs/rules.md` promises about rules that work together, over time, and with the answer: sentence by sentence.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, StatusCode};

use super::testing::{Request, hits, rule, rules};
use super::*;
use crate::clock;
use crate::faults::ResponseView;

fn store(toml: &str) -> Arc<Store> {
    let store = Store::new(1);
    store.replace(&Layer::File, rules(toml));
    store
}

fn plan(store: &Store) -> Plan {
    store.load().plan("p", &Request::get("/").view())
}

fn counts(store: &Store, name: &str) -> Counts {
    store.status().into_iter().find(|status| status.name == name).unwrap().counts
}

/// A rule whose fault acts on the answer.
fn late(name: &str, more: &str) -> String {
    rule(name, more).replace("status = 503", "status = 503\nafter_upstream = true")
}

/// The marks of everything that a request with this answer would suffer at its end.
fn answered(plan: &mut Plan, status: u16) -> Vec<String> {
    let headers = HeaderMap::new();
    let response = ResponseView { status: StatusCode::from_u16(status).unwrap(), headers: &headers };
    let course = plan.response_course(&response);
    course.terminals.iter().map(|(source, _)| plan.mark(*source).to_owned()).collect()
}

#[test]
fn a_coupled_rule_hits_only_what_its_partner_hits_wherever_it_stands() {
    for order in [["a", "b"], ["b", "a"]] {
        let one = |name: &&str| match *name {
            "a" => rule("a", "trigger = { every = 2 }"),
            _ => rule("b", "trigger = { with = \"a\" }"),
        };
        let store = store(&order.iter().map(one).collect::<String>());
        let seen: Vec<Vec<String>> = (0..4).map(|_| hits(&plan(&store))).collect();
        assert_eq!(seen, [vec![], order.to_vec(), vec![], order.to_vec()], "in composition order");
        assert_eq!((counts(&store, "b").matched, counts(&store, "b").triggered), (4, 2));
        assert_eq!(store.total_active(), 0);
    }
}

#[test]
fn a_coupled_rule_chooses_among_what_its_partner_hits() {
    let store = store(&(rule("a", "trigger = { every = 2 }") + &rule("b", "trigger = { with = \"a\", first = 1 }")));
    let seen: Vec<usize> = (0..6).map(|_| plan(&store).len()).collect();
    assert_eq!(seen, [0, 2, 0, 1, 0, 1], "the first of those that a hits is the second request");
}

#[test]
fn couples_form_chains_and_end_with_their_partners() {
    let chain = rule("c", "trigger = { with = \"b\" }") + &rule("b", "trigger = { with = \"a\" }") + &rule("a", "");
    let chained = store(&chain);
    assert_eq!(hits(&plan(&chained)), ["c", "b", "a"]);
    chained.set_enabled(&Layer::File, "a", false);
    assert!(plan(&chained).is_empty(), "who waits for nobody waits in vain");
    // What no reader lets pass must do no harm.
    let circle = store(&(rule("a", "trigger = { with = \"b\" }") + &rule("b", "trigger = { with = \"a\" }")));
    let mut plan = plan(&circle);
    assert_eq!(answered(&mut plan, 200), [""; 0]);
    drop(plan);
    assert_eq!(circle.total_active(), 0);
}

#[test]
fn a_partner_that_is_limited_takes_its_couple_along() {
    let store = store(&(rule("a", "limit = { total = 1 }") + &rule("b", "trigger = { with = \"a\" }")));
    assert_eq!([plan(&store).len(), plan(&store).len()], [2, 0]);
    assert_eq!(counts(&store, "b").limited, 0);
}

#[test]
fn a_rule_on_the_answer_decides_and_counts_when_it_is_there() {
    let store = store(
        &(late("failed", "match = { response = { status = \"5xx\" } }\ntrigger = { every = 2 }") + &late("always", "")),
    );
    let mut first = plan(&store);
    assert_eq!(counts(&store, "failed"), Counts::default(), "nothing is known yet");
    assert_eq!(store.total_active(), 1);
    assert_eq!(answered(&mut first, 200), ["always/error"]);
    assert_eq!(counts(&store, "failed").matched, 0);
    assert_eq!(answered(&mut plan(&store), 503), ["always/error"]);
    assert_eq!(answered(&mut plan(&store), 503), ["failed/error", "always/error"], "in composition order");
    assert_eq!((counts(&store, "failed").matched, counts(&store, "failed").triggered), (2, 1));
    drop(plan(&store));
    drop(first);
    assert_eq!((store.total_active(), counts(&store, "failed").skipped), (0, 1));
}

#[test]
fn a_rule_on_the_answer_may_be_coupled_either_way_round() {
    let store = store(
        &(late("partner", "match = { response = { status = 500 } }")
            + &late("with", "trigger = { with = \"partner\" }")
            + &late("slow", "trigger = { every = 2 }")
            + &late("late", "match = { response = { status = 500 } }\ntrigger = { with = \"slow\" }")),
    );
    assert_eq!(answered(&mut plan(&store), 500), ["partner/error", "with/error"]);
    assert_eq!(answered(&mut plan(&store), 200), ["slow/error"]);
    assert_eq!(answered(&mut plan(&store), 500), ["partner/error", "with/error"]);
    assert_eq!(answered(&mut plan(&store), 500), ["partner/error", "with/error", "slow/error", "late/error"]);
}

#[test]
fn a_rule_that_is_released_meanwhile_does_not_decide_on_the_answer() {
    let store = store(&late("failed", "match = { response = { status = \"5xx\" } }"));
    let mut waiting = plan(&store);
    store.off();
    assert_eq!(answered(&mut waiting, 503), [""; 0]);
    assert_eq!(counts(&store, "failed"), Counts::default());
}

#[test]
fn what_is_settled_early_still_waits_for_its_answer() {
    let store = store(&(late("failed", "match = { response = { status = \"5xx\" } }") + &rule("now", "")));
    let mut plan = plan(&store);
    plan.settle(|_| false);
    assert_eq!(answered(&mut plan, 503), ["failed/error"]);
}

#[test]
fn the_same_sender_always_has_the_same_luck() {
    let store = store(&rule("a", "trigger = { probability = 0.3, sticky = \"header:x-user\" }"));
    let luck = |user: &str| {
        let request = Request::get("/").header("x-user", user);
        (0..5).map(|_| store.load().plan("p", &request.view()).len()).collect::<Vec<_>>()
    };
    let all: Vec<_> = (0..400).map(|n| luck(&format!("user-{n}"))).collect();
    assert!(all.iter().all(|one| one.iter().all(|hit| *hit == one[0])));
    let lucky = all.iter().filter(|one| one[0] == 1).count();
    assert!((80..160).contains(&lucky), "{lucky} of 400");
    let nobody = (0..1_000).filter(|_| !plan(&store).is_empty()).count();
    assert!((240..360).contains(&nobody), "who has no name draws for itself: {nobody} of 1,000");
}

#[test]
fn a_sequence_number_replays_requests_in_any_order() {
    let toml = "[[rule]]\nname = \"a\"\ntrigger = { probability = 0.5, sticky = \"header:x-brownout-seq\" }\n\
                [[rule.fault]]\nkind = \"latency\"\ndelay = { distribution = \"uniform\", max = \"1s\" }\n";
    let delay = |store: &Store, n: u32| {
        let request = Request::get("/").header("x-brownout-seq", &n.to_string());
        let course = store.load().plan("p", &request.view()).request_course(&request.view());
        course.delays.first().map(|(_, delay)| *delay)
    };
    let (one, other) = (store(toml), store(toml));
    let forwards: Vec<_> = (0..100).map(|n| delay(&one, n)).collect();
    let mut backwards: Vec<_> = (0..100).rev().map(|n| delay(&other, n)).collect();
    backwards.reverse();
    assert_eq!(forwards, backwards, "who is hit and how long it takes");
    assert!(forwards.iter().flatten().count() > 30);
}

#[test]
fn a_total_outlasts_reloads_until_the_rule_says_something_else() {
    let two = rule("a", "limit = { total = 2 }");
    let store = store(&two);
    assert_eq!((0..5).map(|_| plan(&store).len()).sum::<usize>(), 2);
    store.replace(&Layer::File, rules(&(two + &rule("b", "match = { path = \"/b\" }"))));
    assert_eq!(plan(&store).len(), 0);
    let counted = counts(&store, "a");
    assert_eq!((counted.matched, counted.triggered, counted.limited, counted.skipped), (6, 6, 4, 2));
    store.replace(&Layer::File, rules(&rule("a", "limit = { total = 3 }")));
    assert_eq!((0..5).map(|_| plan(&store).len()).sum::<usize>(), 3, "afresh");
}

#[tokio::test(start_paused = true)]
async fn a_rate_and_a_share_hold_back_the_rest() {
    let store = store(
        &(rule("rate", "match = { path = \"/a\" }\nlimit = { rate = \"10/s\" }")
            + &rule("share", "match = { path = \"/b\" }\nlimit = { share = \"25%\" }")),
    );
    let at = |path: &str| store.load().plan("p", &Request::get(path).view()).len();
    let mut hits = 0;
    for _ in 0..100 {
        hits += at("/a");
        tokio::time::advance(Duration::from_millis(20)).await;
    }
    assert_eq!(hits, 20, "of 100 in two seconds");
    assert_eq!((0..10).map(|_| at("/b")).sum::<usize>(), 10, "saved up by traffic that it did not match");
    assert_eq!((0..100).map(|_| at("/b")).sum::<usize>() / 5, 5, "a quarter of what comes after");
}

#[test]
fn of_many_threads_no_more_than_the_total_are_hit() {
    let store = store(&rule("a", "limit = { total = 100, concurrent = 3 }"));
    let hits: usize = std::thread::scope(|scope| {
        let count = || (0..500).filter(|_| !plan(&store).is_empty()).count();
        let workers: Vec<_> = (0..4).map(|_| scope.spawn(count)).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).sum()
    });
    // Those whom `concurrent` held back did not use the total up.
    assert_eq!((hits, counts(&store, "a").limited), (100, 1_900));
}

#[tokio::test(start_paused = true)]
async fn a_schedule_counts_from_the_moment_a_rule_becomes_enabled() {
    let store = store(&rule("a", "schedule = { start_after = \"5s\", duration = \"10s\" }\nenabled = false"));
    let seconds = |n| tokio::time::advance(Duration::from_secs(n));
    seconds(100).await;
    store.set_enabled(&Layer::File, "a", true);
    assert!(plan(&store).is_empty() && store.status()[0].resting);
    seconds(5).await;
    assert_eq!((plan(&store).len(), store.status()[0].resting), (1, false));
    store.set_enabled(&Layer::File, "a", true);
    assert_eq!(plan(&store).len(), 1, "it was enabled already: its time goes on");
    store.replace(
        &Layer::File,
        rules(
            &(rule("b", "match = { path = \"/b\" }")
                + &rule("a", "schedule = { start_after = \"5s\", duration = \"10s\" }\nenabled = false")),
        ),
    );
    assert_eq!(hits(&plan(&store)), ["a"], "a reload of the same is no beginning");
    seconds(10).await;
    assert!(plan(&store).is_empty());
    assert_eq!(counts(&store, "a").matched, 3, "who rests does not even match");
    store.set_enabled(&Layer::File, "a", false);
    store.set_enabled(&Layer::File, "a", true);
    seconds(6).await;
    assert_eq!(plan(&store).len(), 1, "a new beginning");
}

#[tokio::test(start_paused = true)]
async fn whoever_suffers_at_the_end_of_a_schedules_time_is_released() {
    let store = store(&rule("a", "schedule = { duration = \"10s\", period = \"30s\" }\ntrigger = { first = 3 }"));
    let start = clock::now();
    let suffering = plan(&store);
    assert_eq!(store.expire(clock::now()), Some(start + Duration::from_secs(10)));
    assert!(!suffering.is_released(0));
    tokio::time::advance(Duration::from_secs(10)).await;
    let old = store.load();
    assert_eq!(store.expire(clock::now()), Some(start + Duration::from_secs(40)));
    assert!(suffering.is_released(0) && plan(&store).is_empty());
    assert!(old.plan("p", &Request::get("/").view()).is_empty(), "by an older set neither");
    tokio::time::advance(Duration::from_secs(20)).await;
    let again = plan(&store);
    assert_eq!((again.len(), again.is_released(0)), (1, false), "the next time it acts again");
    assert_eq!(counts(&store, "a").matched, 2, "its counts go on");
    tokio::time::advance(Duration::from_secs(10)).await;
    store.expire(clock::now());
    assert!(again.is_released(0));
    assert!(store.set_enabled(&Layer::File, "a", false) && store.status()[0].counts.matched == 2);
}

#[tokio::test(start_paused = true)]
async fn a_ramp_hits_ever_more_and_a_ramp_of_strength_ever_harder() {
    let ramp = rule("a", "schedule = { ramp = \"10s\" }");
    let slow = "[[rule]]\nname = \"b\"\nschedule = { ramp = \"10s\", ramp_of = \"strength\" }\n\
                [[rule.fault]]\nkind = \"latency\"\ndelay = \"1s\"\n";
    let (often, hard) = (store(&ramp), store(slow));
    let share = |store: &Store| (0..400).filter(|_| !plan(store).is_empty()).count();
    assert_eq!(share(&often), 0);
    tokio::time::advance(Duration::from_secs(5)).await;
    let half = share(&often);
    assert!((160..240).contains(&half), "{half} of 400");
    let request = Request::get("/");
    assert_eq!(plan(&hard).request_course(&request.view()).delays[0].1, Duration::from_millis(500));
    tokio::time::advance(Duration::from_secs(5)).await;
    assert_eq!(share(&often), 400);
    assert_eq!(plan(&hard).request_course(&request.view()).delays[0].1, Duration::from_secs(1));
}

#[test]
fn a_group_is_switched_at_once_in_all_layers_but_those_of_runs() {
    let grouped = |name: &str| rule(name, "group = [\"day\", \"all\"]");
    let store = store(&(grouped("a") + &rule("b", "group = \"all\"")));
    store.replace(&Layer::Api, rules(&grouped("c")));
    store.replace(&Layer::run("7"), rules(&grouped("d")));
    let suffering = plan(&store);
    let generation = store.generation();
    let switched = store.set_group_enabled("day", false);
    assert_eq!(switched.iter().map(|(layer, name)| format!("{layer}/{name}")).collect::<Vec<_>>(), ["file/a", "api/c"]);
    assert_eq!(store.generation(), generation + 1, "one swap");
    assert_eq!(hits(&plan(&store)), ["b", "d"]);
    assert_eq!((0..4).map(|hit| suffering.is_released(hit)).collect::<Vec<_>>(), [true, false, true, false]);
    assert_eq!(store.set_group_enabled("all", true).len(), 3);
    assert_eq!(hits(&plan(&store)), ["a", "b", "c", "d"]);
    assert!(store.set_group_enabled("night", true).is_empty());
    assert_eq!(store.generation(), generation + 2, "nothing changed, nothing swapped");
}

#[test]
fn what_all_rules_spare_they_spare_in_every_layer() {
    let store = store(&rule("a", ""));
    store.replace(&Layer::run("7"), rules(&rule("b", "")));
    let node = crate::diagnostics::Node::from_toml("b.toml", "exclude = [{ path = \"/healthz\" }]").unwrap();
    let problems = std::cell::RefCell::default();
    let mut reader = crate::diagnostics::Reader::new("b.toml", &node, "", &problems);
    store.set_excludes(read_any_of(&mut reader, "exclude", ""));
    assert!(store.load().plan("p", &Request::get("/healthz").view()).is_empty());
    assert_eq!(hits(&plan(&store)), ["a", "b"]);
    assert_eq!(counts(&store, "a").matched, 1);
}

#[test]
fn a_body_is_asked_for_only_where_nothing_else_is_lacking() {
    let body = |more: &str| format!("match = {{ path = \"/orders\", json = {{ \"/plan\" = \"free\" }} {more} }}");
    let store = store(&(rule("a", &body("")) + &rule("b", &body(", json_limit = \"1KiB\", header = { x = true }"))));
    let limit = |request: Request| store.load().body_limit("p", &request.view());
    assert_eq!(limit(Request::get("/orders")), Some(64 << 10));
    assert_eq!(limit(Request::get("/")), None);
    store.set_enabled(&Layer::File, "a", false);
    assert_eq!(limit(Request::get("/orders")), None);
    assert_eq!(limit(Request::get("/orders").header("x", "1")), Some(1 << 10));
    store.set_enabled(&Layer::File, "b", false);
    store.replace(&Layer::Api, rules(&rule("c", "")));
    assert_eq!(limit(Request::get("/orders").header("x", "1")), None);
}

#[tokio::test(start_paused = true)]
async fn a_rule_that_acts_on_nothing_for_a_minute_is_idle() {
    let store = store(
        &(rule("quiet", "match = { path = \"/none\" }")
            + &rule("asleep", "enabled = false")
            + &rule("busy", "match = { path = \"/\" }")
            + &rule("rests", "match = { path = \"/none\" }\nschedule = { start_after = \"30s\", duration = \"2m\" }")),
    );
    let idle = || {
        let status = store.status().into_iter().filter(|status| status.idle);
        status.map(|status| status.name).collect::<Vec<_>>()
    };
    tokio::time::advance(Duration::from_secs(50)).await;
    drop(plan(&store));
    tokio::time::advance(Duration::from_secs(10)).await;
    assert_eq!(idle(), ["quiet"]);
    tokio::time::advance(Duration::from_secs(30)).await;
    assert_eq!(idle(), ["quiet", "rests"]);
    tokio::time::advance(Duration::from_secs(20)).await;
    assert_eq!(idle(), ["quiet", "busy", "rests"]);
    store.off();
    assert_eq!(idle(), [""; 0], "who is off is not expected to act");
}

#[test]
fn a_disabled_rule_is_not_even_found_until_it_is_enabled() {
    let store = store(&(rule("a", "enabled = false") + &rule("b", "match = { path = \"/b\" }")));
    assert!(plan(&store).is_empty());
    assert!(store.set_enabled(&Layer::File, "a", true));
    assert_eq!(hits(&plan(&store)), ["a"]);
    store.set_enabled(&Layer::File, "a", false);
    store.set_enabled(&Layer::File, "a", true);
    assert_eq!(hits(&plan(&store)), ["a"]);
}
