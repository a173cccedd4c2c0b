//! The JSON Schemas of what a user writes, made from the tables of keys.

use serde_json::{Map, Value, json};

use crate::diagnostics::shape::{Key, Section, Shape, schema_of};
use crate::rules::reference;

const fn key(name: &'static str, shape: Shape, example: &'static str, meaning: &'static str) -> Key {
    Key { name, shape, meaning, example }
}

/// The tables of a configuration file, the file itself first.
pub static SECTIONS: &[Section] = &[
    CONFIG,
    ADMIN,
    METRICS,
    PROXY,
    LIMITS,
    TLS,
    UPSTREAM_TLS,
    CLIENT_FAULTS,
    ROUTE,
    TOXIC,
    TOXIPROXY,
    RULES,
    SAFETY,
    LOG,
    DRAIN,
];

const CONFIG: Section = Section {
    name: "config",
    written: "brownout.toml",
    keys: &[
        key("admin", Shape::Table("admin"), "{}", "the REST API"),
        key("metrics", Shape::Table("metrics"), "{}", "the exporter"),
        key("proxy", Shape::Tables("proxy"), "[]", "the listeners with their upstreams; at least one"),
        key("toxiproxy", Shape::Table("toxiproxy"), "{}", "Toxiproxy's API; off unless the table is there"),
        key("rules", Shape::Table("rules"), "{}", "where rules come from"),
        key("safety", Shape::Table("safety"), "{}", "what must not happen by accident"),
        key("log", Shape::Table("log"), "{}", "what is written to stderr"),
        key("drain", Shape::Table("drain"), "{}", "how `serve` ends"),
    ],
};

const ADMIN: Section = Section {
    name: "admin",
    written: "[admin]",
    keys: &[
        key(
            "listen",
            Shape::Text,
            "\"127.0.0.1:7470\"",
            "beyond loopback only with a token; default: `127.0.0.1:7470`",
        ),
        key("token", Shape::Text, "\"${BROWNOUT_TOKEN}\"", "asked for as `Authorization: Bearer`; default: none"),
        key(
            "hosts",
            Shape::Texts,
            "[\"chaos.internal\"]",
            "names that requests may call it by, beside localhost and addresses; default: none",
        ),
    ],
};

const METRICS: Section = Section {
    name: "metrics",
    written: "[metrics]",
    keys: &[key("listen", Shape::Text, "\"127.0.0.1:7471\"", "read only, no token; default: `127.0.0.1:7471`")],
};

const PROXY: Section = Section {
    name: "proxy",
    written: "[[proxy]]",
    keys: &[
        key("name", Shape::Text, "\"payments\"", "required: what rules refer to, and the metric label"),
        key("protocol", Shape::Words(&["http", "tcp"]), "\"tcp\"", "default: `http`"),
        key("listen", Shape::Text, "\"127.0.0.1:8080\"", "required"),
        key("upstream", Shape::Texts, "\"http://127.0.0.1:9000\"", "required: one or a list, used in turn"),
        key(
            "half_close",
            Shape::Words(&["abort", "wait"]),
            "\"wait\"",
            "a client's FIN: it is gone, or has only finished sending; default: `abort`",
        ),
        key("connect_timeout", Shape::Duration, "\"5s\"", "until a connection to the upstream stands; default: `5s`"),
        key("read_timeout", Shape::Duration, "\"60s\"", "longest silence of the upstream; default: `60s`"),
        key("write_timeout", Shape::Duration, "\"60s\"", "longest time that a write may be stuck; default: `60s`"),
        key(
            "idle_timeout",
            Shape::Duration,
            "\"60s\"",
            "an unused connection to the upstream is kept so long; default: `60s`",
        ),
        key(
            "keepalive_timeout",
            Shape::Duration,
            "\"75s\"",
            "a client's connection may stand so long between requests; default: `75s`",
        ),
        key("marks", Shape::Flag, "true", "altered responses say so; default: `true`"),
        key("shards", Shape::Count(1), "4", "threads; default: one for each core"),
        key(
            "forwarded",
            Shape::Words(&["off", "append", "replace"]),
            "\"append\"",
            "whether `X-Forwarded-*` tell the upstream who asked; default: `off`",
        ),
        key("limits", Shape::Table("limits"), "{ connections = 1000 }", "how much clients may ask"),
        key("tls", Shape::Table("tls"), "{}", "TLS towards clients; default: in the clear"),
        key("upstream_tls", Shape::Table("upstream_tls"), "{}", "TLS towards `https://` upstreams, where it differs"),
        key("route", Shape::Tables("route"), "[]", "named matches for the metrics"),
        key(
            "client_faults",
            Shape::Table("client_faults"),
            "{ envoy = true }",
            "what clients may ask for themselves; default: nothing",
        ),
        key("enabled", Shape::Flag, "false", "TCP only: whether it listens; default: `true`"),
        key("max_connections", Shape::Count(1), "100", "TCP only: more at once are reset; default: no limit"),
        key("groups", Shape::Texts, "[\"app\", \"data\"]", "TCP only: the sides that it connects, for partitions"),
        key("toxic", Shape::Tables("toxic"), "[]", "TCP only: toxics from the start"),
    ],
};

const TOXIC: Section = Section {
    name: "toxic",
    written: "[[proxy.toxic]]",
    keys: &[
        key("name", Shape::Text, "\"slow\"", "default: the type and the stream, with `_` between them"),
        key("type", Shape::Text, "\"latency\"", "required: `docs/toxiproxy.md` has all"),
        key("stream", Shape::Text, "\"upstream\"", "from the client, or `downstream`, to it; default: `downstream`"),
        key("toxicity", Shape::Share, "0.5", "the share of connections; default: `1.0`"),
        key("attributes", Shape::Open, "{ latency = \"100ms\" }", "those of its type"),
    ],
};

const TOXIPROXY: Section = Section {
    name: "toxiproxy",
    written: "[toxiproxy]",
    keys: &[
        key("listen", Shape::Text, "\"127.0.0.1:8474\"", "no password: loopback only; default: `127.0.0.1:8474`"),
        key("strict", Shape::Flag, "true", "the original's behaviour, also where ours is better; default: `false`"),
    ],
};

const LIMITS: Section = Section {
    name: "limits",
    written: "[proxy.limits]",
    keys: &[
        key("connections", Shape::Count(1), "20000", "clients' connections at once, else 503; default: 20000"),
        key("requests", Shape::Count(1), "1000", "on one connection; default: no limit"),
        key(
            "head_timeout",
            Shape::Duration,
            "\"10s\"",
            "from a head's first byte to its last, else 408; default: `10s`",
        ),
        key("head_size", Shape::Size, "\"64KiB\"", "of a request's head, else 431; at most 1MiB; default: `64KiB`"),
        key("headers", Shape::Count(1), "256", "fields of a request, else 431; at most 256; default: 256"),
        key("h2_streams", Shape::Count(1), "256", "requests at once on one HTTP/2 connection; default: 256"),
        key("h2_resets", Shape::Rate, "\"2000/s\"", "streams that a client may reset; default: `2000/s`"),
        key("h2_frames", Shape::Rate, "\"10000/s\"", "frames that ask for nothing; default: `10000/s`"),
    ],
};

const TLS: Section = Section {
    name: "tls",
    written: "[proxy.tls]",
    keys: &[
        key("certificate", Shape::Text, "\"certs/web.pem\"", "required: the chain, a PEM file beside this one"),
        key("key", Shape::Text, "\"certs/web.key\"", "required: its key"),
        key("client_ca", Shape::Text, "\"certs/clients.pem\"", "clients must show a certificate of one of these"),
        key("alpn", Shape::Texts, "[\"h2\", \"http/1.1\"]", "what is offered"),
        key("min_version", Shape::Text, "\"1.3\"", "the lowest version of TLS"),
        key("handshake_timeout", Shape::Duration, "\"10s\"", "how long a handshake may take"),
    ],
};

const UPSTREAM_TLS: Section = Section {
    name: "upstream_tls",
    written: "[proxy.upstream_tls]",
    keys: &[
        key("ca", Shape::Text, "\"certs/ca.pem\"", "whom upstreams are believed; default: the system's"),
        key("certificate", Shape::Text, "\"certs/me.pem\"", "what is shown to upstreams"),
        key("key", Shape::Text, "\"certs/me.key\"", "its key"),
        key("server_name", Shape::Text, "\"shop.example\"", "the name that the certificate must have"),
        key("verify", Shape::Flag, "false", "whether the certificate is checked; default: `true`"),
        key("alpn", Shape::Texts, "[\"h2\", \"http/1.1\"]", "what is offered"),
        key("min_version", Shape::Text, "\"1.3\"", "the lowest version of TLS"),
    ],
};

const CLIENT_FAULTS: Section = Section {
    name: "client_faults",
    written: "[proxy.client_faults]",
    keys: &[
        key("envoy", Shape::Flag, "true", "obey `x-envoy-fault-*`; default: `false`"),
        key("header", Shape::Flag, "true", "obey `x-brownout-fault`; default: `false`"),
        key("max_delay", Shape::Duration, "\"10s\"", "no wait that is asked for is longer; default: `10s`"),
        key(
            "max_probability",
            Shape::Share,
            "\"50%\"",
            "no percentage that is asked for is higher, and what a request without one gets; default: `1.0`",
        ),
        key(
            "denominator",
            Shape::Count(100),
            "10000",
            "what Envoy's percentages are parts of: 100, 10000 or 1000000; default: 100",
        ),
        key("max_active", Shape::Count(1), "100", "so many requests suffer one kind at once; default: no limit"),
        key(
            "kinds",
            Shape::Texts,
            "[\"latency\", \"error\"]",
            "the kinds that `x-brownout-fault` may name; default: all",
        ),
    ],
};

const ROUTE: Section = Section {
    name: "route",
    written: "[[proxy.route]]",
    keys: &[
        key("name", Shape::Text, "\"checkout\"", "required: the metric label"),
        key("match", Shape::Table("exclude"), "{ path = \"/api/checkout/{id}\" }", "required: first match wins"),
    ],
};

const RULES: Section = Section {
    name: "rules",
    written: "[rules]",
    keys: &[
        key(
            "dir",
            Shape::Text,
            "\"rules\"",
            "every `*.toml` in it is read and watched; relative to this file; default: `rules`",
        ),
        key("seed", Shape::Count(0), "42", "the same seed decides the same; default: 42"),
        key(
            "exclude",
            Shape::TableOrTables("exclude"),
            "{ path = \"/healthz\" }",
            "requests that all rules spare, those of the API and of runs too; default: none",
        ),
    ],
};

const SAFETY: Section = Section {
    name: "safety",
    written: "[safety]",
    keys: &[
        key("max_probability", Shape::Share, "0.5", "no rule may hit more often; default: `1.0`"),
        key("require_lease", Shape::Flag, "true", "whether every rule must end by itself; default: `false`"),
        key(
            "allow_targets",
            Shape::Texts,
            "[\"staging.example\"]",
            "hosts that load may be aimed at beyond loopback and private addresses",
        ),
        key("state_file", Shape::Text, "\".brownout-state.json\"", "where `brownout off` survives a restart"),
    ],
};

const LOG: Section = Section {
    name: "log",
    written: "[log]",
    keys: &[
        key("format", Shape::Words(&["human", "json"]), "\"json\"", "default: `human`"),
        key("access", Shape::Flag, "true", "a line for every request; default: `false`"),
    ],
};

const DRAIN: Section = Section {
    name: "drain",
    written: "[drain]",
    keys: &[key("limit", Shape::Duration, "\"10s\"", "how long requests may take to end; default: `10s`")],
};

/// Of a configuration file.
pub fn config() -> Value {
    let mut schema = document("brownout: configuration", "config");
    schema["required"] = json!(["proxy"]);
    schema
}

/// Of a rule file.
pub fn rules() -> Value {
    let properties = json!({ "rule": Shape::Tables("rule").schema(), "defaults": Shape::Named("defaults").schema() });
    let mut schema = head("brownout: rules", reference::definitions());
    schema["type"] = "object".into();
    schema["additionalProperties"] = false.into();
    schema["properties"] = properties;
    schema
}

/// Of an experiment: its rules and proxies to the letter, of the rest which tables there are.
pub fn experiment() -> Value {
    let mut definitions = definitions();
    // A proxy may run elsewhere.
    if let Some(proxy) = definitions.get_mut("proxy").and_then(|proxy| proxy["properties"].as_object_mut()) {
        proxy.insert("attach".to_owned(), Shape::Texts.schema());
        proxy.insert("token".to_owned(), Shape::Text.schema());
    }
    let mut schema = head("brownout: experiment", definitions);
    let tables = ["experiment", "load", "slo", "phases", "expect", "policy", "metrics"];
    let mut properties: Map<String, Value> =
        tables.iter().map(|name| ((*name).to_owned(), json!({ "type": "object" }))).collect();
    properties.insert("proxy".to_owned(), Shape::Tables("proxy").schema());
    properties.insert("rule".to_owned(), Shape::Tables("rule").schema());
    properties.insert("defaults".to_owned(), Shape::Named("defaults").schema());
    schema["type"] = "object".into();
    schema["additionalProperties"] = false.into();
    schema["properties"] = properties.into();
    schema
}

fn document(title: &str, root: &str) -> Value {
    let mut schema = head(title, definitions());
    schema["$ref"] = format!("#/$defs/{root}").into();
    schema
}

fn head(title: &str, definitions: Map<String, Value>) -> Value {
    json!({ "$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, "$defs": definitions })
}

fn definitions() -> Map<String, Value> {
    let mut all = reference::definitions();
    all.extend(SECTIONS.iter().map(|section| (section.name.to_owned(), schema_of(section))));
    all
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;
    use crate::diagnostics::Node;

    const PROXY: &str = "name = \"web\"\nlisten = \"127.0.0.1:1\"\nupstream = \"http://127.0.0.1:2\"\n";

    /// A configuration with a key that nobody knows in one of its tables.
    fn with_unknown_key(section: &str) -> String {
        const UNKNOWN: &str = "qqqqqqqqqqqq = 1";
        match section {
            "config" => format!("{UNKNOWN}\n[[proxy]]\n{PROXY}"),
            "proxy" => format!("[[proxy]]\n{PROXY}{UNKNOWN}\n"),
            "route" => format!("[[proxy]]\n{PROXY}[[proxy.route]]\n{UNKNOWN}\n"),
            "toxic" => {
                let proxy = PROXY.replace("http:", "tcp:");
                format!("[[proxy]]\n{proxy}protocol = \"tcp\"\n[[proxy.toxic]]\ntype = \"noop\"\n{UNKNOWN}\n")
            }
            "limits" => format!("[[proxy]]\n{PROXY}[proxy.limits]\n{UNKNOWN}\n"),
            "tls" | "upstream_tls" => {
                let proxy = PROXY.replace("http:", "https:");
                format!("[[proxy]]\n{proxy}[proxy.{section}]\n{UNKNOWN}\n")
            }
            "client_faults" => format!("[[proxy]]\n{PROXY}[proxy.client_faults]\nenvoy = true\n{UNKNOWN}\n"),
            table => format!("[[proxy]]\n{PROXY}[{table}]\n{UNKNOWN}\n"),
        }
    }

    #[test]
    fn the_tables_have_the_keys_that_are_read_and_no_others() {
        for section in SECTIONS {
            let document = Node::from_toml("b.toml", &with_unknown_key(section.name)).unwrap();
            let problems = Config::resolve(Path::new("b.toml"), &document).unwrap_err().to_string();
            let listed = problems.lines().find(|line| line.contains("unknown key \"qqqqqqqqqqqq\""));
            let (_, known) =
                listed.and_then(|line| line.split_once("(known keys: ")).unwrap_or_else(|| panic!("{problems}"));
            let mut known: Vec<_> = known.trim_end_matches(')').split(", ").filter(|key| *key != "attach").collect();
            let mut told: Vec<_> = section.keys.iter().map(|key| key.name).collect();
            known.sort_unstable();
            told.sort_unstable();
            assert_eq!(told, known, "{}", section.name);
        }
    }
}
