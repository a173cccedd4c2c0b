use std::collections::BTreeSet;

use proptest::prelude::*;

use super::testing::{Bench, read};
use super::*;

#[test]
fn every_kind_has_words_and_an_example_that_compiles() {
    let mut names = BTreeSet::new();
    for kind in KINDS {
        let spec = read(&format!("type = \"{}\"\n[attributes]\n{}", kind.name, kind.example)).unwrap();
        assert_eq!((spec.kind, spec.name), (kind.name, format!("{}_downstream", kind.name)));
        assert!(!kind.summary.is_empty() && names.insert(kind.name), "{}", kind.name);
    }
}

#[test]
fn the_manual_has_the_table_of_kinds() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/toxiproxy.md");
    let manual = std::fs::read_to_string(path).unwrap();
    let table = markdown_table();
    assert!(manual.contains(&table), "docs/toxiproxy.md should have:\n{table}");
}

#[test]
fn toxiproxys_attributes_are_always_shown_and_ours_only_when_given() {
    let shown = |toml: &str| serde_json::to_string(&read(toml).unwrap().attributes).unwrap();
    assert_eq!(shown("type = \"latency\""), r#"{"latency":0,"jitter":0}"#);
    assert_eq!(
        shown("type = \"latency\"\nattributes = { latency = \"1.5s\", max = \"2s\" }"),
        r#"{"latency":1500,"jitter":0,"max":"2s"}"#
    );
    assert_eq!(
        shown("type = \"slicer\"\nattributes = { delay = \"2ms\", average_size = \"1KiB\" }"),
        r#"{"average_size":1024,"size_variation":0,"delay":2000}"#
    );
    assert_eq!(shown("type = \"noop\""), "{}");
}

#[test]
fn all_mistakes_of_a_toxic_are_reported_at_once() {
    let problems = read("type = \"latncy\"\nstream = \"sideways\"\ntoxicity = 2\nfoo = 1").unwrap_err();
    for wanted in [
        "b.toml:1: proxy \"p\": toxic: type: there is no \"latncy\" (did you mean \"latency\"?)",
        "b.toml:2: proxy \"p\": toxic: stream: \"sideways\" is not valid (\"upstream\" or \"downstream\")",
        "b.toml:3: proxy \"p\": toxic: toxicity = 2 is not valid",
        "b.toml:4: proxy \"p\": toxic: unknown key \"foo\"",
    ] {
        assert!(problems.contains(wanted), "{problems}");
    }
    let problems = read("type = \"latency\"\nattributes = { latncy = 5, jitter = \"5 parsec\" }").unwrap_err();
    assert!(problems.contains("unknown key \"latncy\" (did you mean \"latency\"?)"), "{problems}");
    assert!(problems.contains("jitter: is not valid (expected milliseconds"), "{problems}");
}

#[test]
fn refusals_are_asked_for_at_the_door() {
    let on_accept = |toml: &str, open| read(toml).unwrap().toxic.on_accept(open, Dice::new(1, 2, 3));
    let refused = Some(Refusal::Close(CloseHow::Reset));
    assert_eq!(on_accept("type = \"refuse\"", 1).refusal, refused);
    assert_eq!(on_accept("type = \"down\"", 1).refusal, refused);
    assert_eq!(on_accept("type = \"blackhole\"", 1).refusal, Some(Refusal::Silence));
    assert_eq!(on_accept("type = \"connections\"\nattributes = { most = 3 }", 3).refusal, None);
    assert_eq!(on_accept("type = \"connections\"\nattributes = { most = 3 }", 4).refusal, refused);
    let delay = on_accept("type = \"accept_delay\"\nattributes = { delay = 70 }", 1).delay;
    assert_eq!(delay, Duration::from_millis(70));
}

#[test]
fn half_open_swallows_even_the_end() {
    let mut bench = Bench::new("type = \"half_open\"");
    bench.data("x");
    bench.end();
    assert_eq!(bench.drain(), []);
    assert_eq!(bench.stage.closes_when_removed(), Some(CloseHow::Reset));
}

proptest! {
    /// Whatever a toxic that only delays does, bytes come out as they went in, also when it is changed or removed.
    #[test]
    fn no_byte_is_lost_or_reordered_by_what_only_delays(
        kind in prop::sample::select(vec![
            "type = \"latency\"\nattributes = { latency = 20, jitter = 30 }",
            "type = \"bandwidth\"\nattributes = { rate = 5 }",
            "type = \"slow_close\"\nattributes = { delay = 20 }",
            "type = \"slicer\"\nattributes = { average_size = 7, size_variation = 5, delay = 900 }",
            "type = \"loss\"\nattributes = { enter = 0.5, leave = 0.5, rto = 15 }",
            "type = \"cut\"\nattributes = { after = \"1h\" }",
        ]),
        pieces in prop::collection::vec((0u64..30, 1usize..200), 1..20),
        change_at in prop::option::of(0usize..20),
    ) {
        let mut bench = Bench::new(kind);
        let (mut sent, mut got) = (Vec::new(), Vec::new());
        let mut ms = 0;
        for (n, (pause, length)) in pieces.iter().enumerate() {
            ms += pause;
            bench.at(ms.max((bench.now - bench.start).as_millis() as u64));
            let text: String = (0..*length).map(|i| char::from(b'a' + ((n * 7 + i) % 26) as u8)).collect();
            sent.extend_from_slice(text.as_bytes());
            bench.data(&text);
            if change_at == Some(n) {
                bench.change(kind);
            }
            if let Given::Item(Item::Data { bytes, .. }) = bench.stage.give(bench.now) {
                got.extend_from_slice(&bytes);
            }
        }
        if change_at.is_some_and(|at| at % 2 == 0) {
            for item in bench.stage.leave().items {
                let Item::Data { bytes, .. } = item else { continue };
                got.extend_from_slice(&bytes);
            }
        }
        got.extend(bench.bytes());
        prop_assert_eq!(sent, got);
    }
}
