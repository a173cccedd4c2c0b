//! What the driver sends, where to and how often.

use std::time::Duration;

use indexmap::IndexMap;

use super::operation::{Operation, OperationText};
use super::pacer::Arrivals;
use super::target::TargetUrl;
use crate::diagnostics::{Reader, nearest};
use crate::units::Rate;

/// The timeout when none is given.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(2);

/// What the driver sends: the `[load]` table of an experiment, or the flags of `brownout load`.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// Where it goes.
    pub target: TargetUrl,
    /// What is sent; never empty. Each request draws one, by weight.
    pub operations: Vec<Operation>,
    /// How often.
    pub demand: Demand,
    /// When a client gives up on a request, counted from its intended start.
    pub timeout: Duration,
    /// How many connections may be open at once; a request that finds none free waits for one.
    pub connections: usize,
}

/// How often requests are sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Demand {
    /// When they are due, whether or not earlier ones were answered.
    Open {
        /// Mean rate.
        rate: Rate,
        /// How the starts are spread.
        arrivals: Arrivals,
    },
    /// By so many users, each sending as soon as its last request has ended. The latency then counts from the
    /// send: a slow target slows the load down, and what would have been sent meanwhile is not measured.
    Closed {
        /// How many.
        users: usize,
    },
}

impl Scenario {
    /// As many connections as 1.5 times what is under way when every request takes the whole timeout.
    pub fn default_connections(rate: Rate, timeout: Duration) -> usize {
        (1.5 * rate.per_second() * timeout.as_secs_f64()).ceil().clamp(1.0, 1e6) as usize
    }

    /// Reads the `[load]` table of an experiment, which must be open-loop, and complains about its unknown keys.
    /// `None` if anything about it is wrong; the reader's problems then say what.
    pub fn read(mut reader: Reader<'_>) -> Option<Self> {
        let target = reader.required::<TargetUrl>("target", "\"http://127.0.0.1:8080\"");
        if reader.node("users").is_some() {
            let cure = "an experiment needs open-loop load: give rate = \"500/s\" instead";
            reader.reject("users", "a closed loop hides what it could not send", Some(cure));
        }
        let rate = reader.required::<Rate>("rate", "\"500/s\"");
        let arrivals = arrivals(&mut reader);
        let timeout = reader.or("timeout", DEFAULT_TIMEOUT);
        if timeout < Duration::from_millis(1) {
            reader.reject("timeout", "is shorter than 1ms", Some("for example timeout = \"2s\""));
        }
        let connections = rate.map(|rate| connections(&mut reader, rate, timeout));
        let operations = operations(&mut reader, target.as_ref());
        reader.finish();
        Some(Self {
            target: target?,
            operations: operations?,
            demand: Demand::Open { rate: rate?, arrivals },
            timeout,
            connections: connections?,
        })
    }

    /// The planned mean rate; absent in a closed loop, where the target decides.
    pub fn rate(&self) -> Option<Rate> {
        match self.demand {
            Demand::Open { rate, .. } => Some(rate),
            Demand::Closed { .. } => None,
        }
    }
}

fn arrivals(reader: &mut Reader<'_>) -> Arrivals {
    let Some(name) = reader.optional::<String>("arrivals") else { return Arrivals::default() };
    match Arrivals::ALL.iter().find(|(known, _)| *known == name) {
        Some((_, arrivals)) => *arrivals,
        None => {
            let cure = match nearest(&name, Arrivals::ALL.iter().map(|(known, _)| *known)) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => "expected \"poisson\" or \"constant\"".to_owned(),
            };
            reader.reject("arrivals", format!("\"{name}\" is not known"), Some(&cure));
            Arrivals::default()
        }
    }
}

fn connections(reader: &mut Reader<'_>, rate: Rate, timeout: Duration) -> usize {
    let needed = Scenario::default_connections(rate, timeout);
    let given = reader.or("connections", needed);
    if given < needed {
        let cure = format!("at {rate} with this timeout it needs {needed}, which is also the default");
        reader.reject("connections", format!("{given} are too few: the driver would be the limit"), Some(&cure));
    }
    given
}

fn operations(reader: &mut Reader<'_>, target: Option<&TargetUrl>) -> Option<Vec<Operation>> {
    let shared: Vec<_> = reader.or::<IndexMap<String, String>>("headers", IndexMap::new()).into_iter().collect();
    let tables = reader.tables("operation");
    let path = target.map_or("/", TargetUrl::path);
    if tables.is_empty() {
        let text = OperationText {
            name: None,
            method: None,
            path: path.to_owned(),
            headers: shared,
            body: String::new(),
            weight: 1.0,
        };
        let single = Operation::new(text).map_err(|wrong| {
            for error in wrong {
                let key = if error.key == "path" { "target" } else { error.key };
                reader.reject(key, error.message, Some(&error.cure));
            }
        });
        return single.ok().map(|operation| vec![operation]);
    }
    if path.contains('?') {
        reader.reject("target", "has a query, which operations cannot add to", Some("put it into their paths"));
    }
    let base = path.split('?').next().unwrap_or_default().trim_end_matches('/');
    tables.into_iter().map(|table| Operation::read(table, base, &shared)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostics::{Node, Problems};
    use std::cell::RefCell;

    fn read(text: &str) -> Result<Scenario, Problems> {
        let node = Node::from_toml("e.toml", text)?;
        let problems = RefCell::default();
        let scenario = Scenario::read(Reader::new("e.toml", &node, "load", &problems));
        problems.into_inner().or(()).map(|()| scenario.expect("no problem, so a scenario"))
    }

    #[test]
    fn a_target_and_a_rate_are_enough() {
        let scenario = read("target = \"http://127.0.0.1:8080/ping\"\nrate = \"500/s\"").unwrap();
        assert_eq!(scenario.timeout, Duration::from_secs(2));
        assert_eq!(scenario.connections, 1_500);
        assert_eq!(scenario.operations[0].name(), "GET /ping");
        assert!(matches!(scenario.demand, Demand::Open { arrivals: Arrivals::Poisson, .. }));
    }

    #[test]
    fn operations_lie_below_the_target_and_share_its_headers() {
        let text = r#"
            target = "http://127.0.0.1:8080/api/"
            rate = 10
            arrivals = "constant"
            headers = { x-tenant = "beta", accept = "*/*" }
            [[operation]]
            name = "checkout"
            method = "POST"
            path = "/checkout/{{id}}"
            headers = { Accept = "text/plain" }
            body = '{"n": {{seq}}}'
            weight = 3
            [[operation]]
        "#;
        let operations = read(text).unwrap().operations;
        assert_eq!((operations[0].name(), operations[0].weight), ("checkout", 3.0));
        let headers: Vec<_> = operations[0].headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(headers, ["x-tenant", "accept"]);
        assert_eq!(operations[1].name(), "GET /api/");
    }

    #[test]
    fn all_mistakes_are_told_with_line_value_and_cure() {
        let text = r#"target = "https://127.0.0.1"
arrivals = "poison"
users = 5
connections = 1
rate = "100/s"
[[operation]]
name = "x"
path = "items/{{usr}}"
wieght = 2
"#;
        let problems = read(text).unwrap_err().to_string();
        assert_eq!(
            problems.lines().collect::<Vec<_>>(),
            [
                "e.toml:1: load: target = \"https://127.0.0.1\" is not valid (expected an http:// URL, the load driver does not speak https)",
                "e.toml:3: load: users: a closed loop hides what it could not send (an experiment needs open-loop load: give rate = \"500/s\" instead)",
                "e.toml:2: load: arrivals: \"poison\" is not known (did you mean \"poisson\"?)",
                "e.toml:4: load: connections: 1 are too few: the driver would be the limit (at 100/s with this timeout it needs 300, which is also the default)",
                "e.toml:8: operation \"x\": path: \"items/{{usr}}\" does not start with \"/\"",
                "e.toml:8: operation \"x\": path: \"{{usr}}\" is no variable (known: {{seq}}, {{id}}, {{id:N}}, {{uuid}})",
                "e.toml:9: operation \"x\": unknown key \"wieght\" (did you mean \"weight\"?)",
            ]
        );
    }
}
