//! Every key of a rule, as data; see [`shape`](crate::diagnostics::shape).

use serde_json::{Map, Value, json};

use crate::diagnostics::shape::{Key, Section, Shape, markdown_of, schema_of};
use crate::faults::KINDS;

const fn key(name: &'static str, shape: Shape, example: &'static str, meaning: &'static str) -> Key {
    Key { name, shape, meaning, example }
}

/// All tables of a rule, the rule itself first.
pub static SECTIONS: &[Section] = &[RULE, MATCH, RESPONSE, EXCLUDE, TRIGGER, LIMIT, SCHEDULE];

const RULE: Section = Section {
    name: "rule",
    written: "[[rule]]",
    keys: &[
        key(
            "name",
            Shape::Text,
            "\"slow-checkout\"",
            "required; unique in its layer: the label of metrics and marks. Letters, digits, `-`, `_`, `.`",
        ),
        key(
            "defaults",
            Shape::Text,
            "\"checkout\"",
            "takes every key that it does not give itself from `[defaults.checkout]` of the same file",
        ),
        key(
            "group",
            Shape::Texts,
            "\"checkout-day\"",
            "one group or several: all rules of a group are switched together",
        ),
        key("proxy", Shape::Texts, "[\"payments\"]", "the proxies it acts on; default: every HTTP proxy"),
        key(
            "match",
            Shape::Table("match"),
            "{ method = \"POST\", path = \"/api/**\" }",
            "what a request must be like; default: any",
        ),
        key(
            "exclude",
            Shape::TableOrTables("exclude"),
            "{ path = \"/healthz\" }",
            "requests that it spares: those that meet all conditions of one of these tables",
        ),
        key("probes", Shape::Flag, "true", "hit the probes of a kubelet (`kube-probe/*`) too; default: `false`"),
        key(
            "trigger",
            Shape::Table("trigger"),
            "{ probability = 0.25 }",
            "which of the matching requests are hit; default: all",
        ),
        key("limit", Shape::Table("limit"), "{ concurrent = 50 }", "how many of those really are; default: no limit"),
        key(
            "schedule",
            Shape::Table("schedule"),
            "{ start_after = \"10s\", duration = \"30s\" }",
            "when it acts; default: always",
        ),
        key(
            "lease",
            Shape::Duration,
            "\"10m\"",
            "it ends by itself so long after it was read, unless renewed; default: never",
        ),
        key(
            "enabled",
            Shape::Flag,
            "false",
            "whether it acts from the beginning; default: `true`. One that never acted costs requests nothing",
        ),
        key(
            "fault",
            Shape::Tables("fault"),
            "[{ kind = \"error\", status = 503 }]",
            "required: what a hit request suffers, usually as `[[rule.fault]]` ([faults.md](faults.md))",
        ),
    ],
};

const MATCH: Section = Section {
    name: "match",
    written: "match = { .. }",
    keys: &[
        key("method", Shape::Texts, "[\"POST\", \"PUT\"]", "the method, case-sensitive"),
        key("host", Shape::Texts, "\"*.example\"", "a value; the host without its port, case-insensitive"),
        key(
            "path",
            Shape::Texts,
            "\"/api/checkout/{id}\"",
            "the raw path without its query, case-sensitive, nothing decoded or normalised: `{name}` one segment that is not empty, `*` any characters within a segment (also none), `**` any number of segments (also none: `/api/**` covers `/api`); `\\` takes a special meaning away",
        ),
        key(
            "path_regex",
            Shape::Texts,
            "'^/v[12]/'",
            "the same, by a regular expression that is searched for anywhere: anchor it with `^` and `$`",
        ),
        key(
            "client",
            Shape::Texts,
            "[\"10.0.0.0/8\", \"fd00::7\"]",
            "networks or addresses that the request comes from, as the socket says",
        ),
        key(
            "grpc",
            Shape::Texts,
            "\"shop.v1.Cart/*\"",
            "a value; `package.Service/Method` of a gRPC call: its content type must say that it is one",
        ),
        key(
            "header",
            Shape::Wanted,
            "{ x-tenant = \"beta-*\", x-trace = true }",
            "what the values of a header must be like; its name is case-insensitive",
        ),
        key("cookie", Shape::Wanted, "{ plan = { not = \"gold\" } }", "what the values of a cookie must be like"),
        key(
            "query",
            Shape::Wanted,
            "{ user = \"7*\" }",
            "what the raw values of a query parameter must be like; nothing is decoded",
        ),
        key(
            "not",
            Shape::TableOrTables("exclude"),
            "{ path = \"/api/admin/**\" }",
            "conditions that must not hold all together; of a list of tables none may hold",
        ),
        key(
            "json",
            Shape::Fields,
            "{ \"/user/plan\" = \"free\" }",
            "fields of a JSON body by their pointers (RFC 6901): a value, a number, `true`, `false`, a list of such, `{ not = .. }` or `{ present = true }`. The body is read before the request goes on; one whose content type is not JSON, or that is larger than `json_limit`, does not match",
        ),
        key(
            "json_limit",
            Shape::Size,
            "\"256KiB\"",
            "bodies beyond this are not looked at; default: `\"64KiB\"`, at most `\"1MiB\"`",
        ),
        key(
            "response",
            Shape::Table("response"),
            "{ status = \"5xx\" }",
            "what the upstream's answer must be like; for faults that act on the answer",
        ),
    ],
};

const RESPONSE: Section = Section {
    name: "response",
    written: "match.response = { .. }",
    keys: &[
        key(
            "status",
            Shape::Statuses,
            "[503, \"5xx\", \"500-504\"]",
            "a status, a hundred, a range, or a list of such",
        ),
        key(
            "header",
            Shape::Wanted,
            "{ content-type = \"application/json*\" }",
            "what the values of a header of the answer must be like",
        ),
    ],
};

/// The keys of `match` that are known when a request's head has been read.
const EXCLUDE: Section = Section {
    name: "exclude",
    written: "exclude = { .. }",
    keys: {
        let (head, _) = MATCH.keys.split_at(10);
        head
    },
};

const TRIGGER: Section = Section {
    name: "trigger",
    written: "trigger = { .. }",
    keys: &[
        key("probability", Shape::Share, "0.25", "each matching request draws for itself; default: `1.0`"),
        key("first", Shape::Count(1), "10", "the first ten matches, over all shards"),
        key("every", Shape::Count(1), "5", "the 5th, the 10th, ..."),
        key("sequence", Shape::Text, "\"..x.x\"", "match by match, `x` is hit; the sequence repeats"),
        key(
            "sticky",
            Shape::Text,
            "\"header:x-user\"",
            "`header:NAME`, `cookie:NAME` or `client`: the same value always gets the same decisions, the lengths of its delays included. With `probability` only; a request without the value draws for itself",
        ),
        key(
            "with",
            Shape::Text,
            "\"slow-checkout\"",
            "only matches that this rule of the same layer hits as well, wherever it stands; `probability`, `first`, `every` and `sequence` then choose from those and count those",
        ),
    ],
};

const LIMIT: Section = Section {
    name: "limit",
    written: "limit = { .. }",
    keys: &[
        key("concurrent", Shape::Count(1), "50", "so many requests suffer it at once"),
        key("total", Shape::Count(1), "1000", "so many are hit in all, as long as the rule's content stays the same"),
        key(
            "rate",
            Shape::Rate,
            "\"20/s\"",
            "so many are hit in a second, evenly: no more than a tenth of a second's worth at one moment, and at least one",
        ),
        key(
            "share",
            Shape::Share,
            "\"5%\"",
            "so large a share of all requests to its proxies, whatever it matches; ten hits at most are saved up",
        ),
    ],
};

const SCHEDULE: Section = Section {
    name: "schedule",
    written: "schedule = { .. }",
    keys: &[
        key(
            "start_after",
            Shape::Duration,
            "\"10s\"",
            "it acts only so long after it became enabled; default: at once",
        ),
        key(
            "duration",
            Shape::Duration,
            "\"30s\"",
            "it acts for so long, and what suffers it then is released; default: for good",
        ),
        key("period", Shape::Duration, "\"2m\"", "it acts again each so often, longer than `duration`; default: once"),
        key(
            "ramp",
            Shape::Duration,
            "\"5s\"",
            "each time it acts it grows from nothing to all in so long; default: all at once",
        ),
        key(
            "ramp_of",
            Shape::Words(&["probability", "strength"]),
            "\"strength\"",
            "what grows: the share of hit requests, or delays and the slowness of bodies; default: `\"probability\"`",
        ),
        key(
            "start",
            Shape::Date,
            "2026-03-01T09:00:00Z",
            "everything is counted from this date in the place of the moment at which it became enabled",
        ),
    ],
};

/// The reference of all keys as Markdown, for `docs/rules.md`.
pub fn markdown() -> String {
    let section = |section: &Section| match section.name {
        "exclude" => format!("### `{}`\n\nThe keys of `match` from `method` to `not`.\n", section.written),
        _ => markdown_of(section),
    };
    SECTIONS.iter().map(section).collect::<Vec<_>>().join("\n")
}

/// The tables of rules and their faults as definitions of a JSON Schema, by name.
pub fn definitions() -> Map<String, Value> {
    let mut all: Map<String, Value> =
        SECTIONS.iter().map(|section| (section.name.to_owned(), schema_of(section))).collect();
    if let Some(rule) = all.get("rule").cloned() {
        // Defaults are a rule without what makes it that rule.
        let mut defaults = rule;
        if let Some(properties) = defaults["properties"].as_object_mut() {
            properties.retain(|key, _| key != "name" && key != "defaults");
        }
        all.insert("defaults".to_owned(), defaults);
    }
    all["rule"]["required"] = json!(["name"]);
    all.insert("fault".to_owned(), fault());
    all
}

/// Each kind with the keys that its reader asks for; what their values mean is told by the reader.
fn fault() -> Value {
    let kinds = KINDS.iter().map(|kind| {
        let mut properties: Map<String, Value> =
            crate::faults::keys(kind).into_iter().map(|key| (key.to_owned(), json!({}))).collect();
        properties.insert("kind".to_owned(), json!({ "const": kind.name, "description": kind.summary }));
        json!({ "type": "object", "additionalProperties": false, "required": ["kind"], "properties": properties })
    });
    json!({ "oneOf": kinds.collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{read, rule, rules};
    use super::*;

    /// The keys that the reader of a table asks for, as it lists them itself.
    fn known(rule_with_unknown_key: &str) -> Vec<String> {
        let problems = read(rule_with_unknown_key).unwrap_err().to_string();
        let listed = problems.lines().find(|line| line.contains("unknown key \"qqqqqqqqqqqq\""));
        let (_, keys) =
            listed.and_then(|line| line.split_once("(known keys: ")).unwrap_or_else(|| panic!("{problems}"));
        keys.trim_end_matches(')').split(", ").map(str::to_owned).collect()
    }

    fn in_table(section: &Section) -> String {
        const UNKNOWN: &str = "{ qqqqqqqqqqqq = 1 }";
        match section.name {
            "rule" => rule("r", "qqqqqqqqqqqq = 1"),
            "response" => rule("r", &format!("match = {{ response = {UNKNOWN} }}")),
            name => rule("r", &format!("{name} = {UNKNOWN}")),
        }
    }

    #[test]
    fn the_reference_has_the_keys_that_are_read_and_no_others() {
        for section in SECTIONS {
            let mut known = known(&in_table(section));
            // What a rule takes from its defaults is taken before it is read.
            known.extend((section.name == "rule").then(|| "defaults".to_owned()));
            // An exclude knows what it refuses.
            known
                .retain(|key| section.name != "exclude" || !["json", "json_limit", "response"].contains(&key.as_str()));
            let mut told: Vec<_> = section.keys.iter().map(|key| key.name.to_owned()).collect();
            known.sort();
            told.sort();
            assert_eq!(told, known, "{}", section.name);
        }
    }

    #[test]
    fn every_example_of_the_reference_is_understood() {
        for section in SECTIONS {
            for key in section.keys {
                let pair = format!("{} = {}", key.name, key.example);
                // Some say nothing without their neighbours.
                let pair = match key.name {
                    "json_limit" => format!("{pair}, json = {{ \"/a\" = 1 }}"),
                    "period" => format!("{pair}, duration = \"30s\""),
                    "ramp_of" => format!("{pair}, ramp = \"5s\""),
                    "sticky" => format!("{pair}, probability = 0.5"),
                    _ => pair,
                };
                let late = "[[rule.fault]]\nkind = \"latency\"\ndelay = \"1s\"\nside = \"response\"\n";
                let toml = match (section.name, key.name) {
                    (_, "name" | "defaults" | "fault") => continue,
                    ("rule", "match") => rule("r", &pair),
                    ("rule", _) => rule("r", &pair),
                    ("response", _) => format!("[[rule]]\nname = \"r\"\nmatch = {{ response = {{ {pair} }} }}\n{late}"),
                    (name, _) => format!("[[rule]]\nname = \"r\"\n{name} = {{ {pair} }}\n{late}"),
                };
                assert_eq!(rules(&toml).len(), 1, "{toml}");
            }
        }
    }

    #[test]
    fn the_manual_has_the_reference() {
        let manual = include_str!("../../docs/rules.md");
        let reference = markdown();
        assert!(manual.contains(&reference), "docs/rules.md lacks this, put it in:\n{reference}");
    }
}
