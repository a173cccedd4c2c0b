//! `x-brownout-fault: latency;delay="200ms"`: a list of faults by kind with their parameters (RFC 8941).

use std::cell::RefCell;

use indexmap::IndexMap;
use sfv::{BareItem, ListEntry, Parser};

use super::capped::Capped;
use super::{ClientFaults, Wish};
use crate::diagnostics::node::{Node, Value};
use crate::diagnostics::{Problems, Reader};
use crate::faults::{self, RequestView};
use crate::names::FAULT_HEADER;
use crate::units::Share;

/// So many faults one request may ask for.
const MOST: usize = 8;

/// Everything that the header asks for, in its order. `probability` is a parameter of ours, the others are those of the
/// kind as in a rule file, with `-` for `_` where one likes; tables cannot be said.
///
/// # Errors
/// Every mistake in it.
pub(super) fn wishes(allowed: &ClientFaults, request: &RequestView<'_>) -> Result<Vec<Wish>, Problems> {
    let mut fields = request.headers.get_all(FAULT_HEADER).iter();
    let Some(first) = fields.next() else { return Ok(Vec::new()) };
    // Fields of one name are one list (RFC 8941 section 4.2).
    let mut text = first.as_bytes().to_vec();
    for field in fields {
        text.extend_from_slice(b", ");
        text.extend_from_slice(field.as_bytes());
    }
    let wrong = |message: &str, cure: &str| Problems::one(FAULT_HEADER, message, Some(cure));
    let list = Parser::parse_list(&text).map_err(|reason| {
        wrong(&format!("is no list: {reason}"), "for example latency;delay=\"200ms\", error;status=503")
    })?;
    if list.len() > MOST {
        return Err(wrong(&format!("asks for {} faults", list.len()), &format!("at most {MOST}")));
    }
    let problems = RefCell::default();
    let wishes: Vec<Wish> = list.iter().filter_map(|entry| read(allowed, entry, &problems)).collect();
    problems.into_inner().or(wishes)
}

fn read(allowed: &ClientFaults, entry: &ListEntry, problems: &RefCell<Problems>) -> Option<Wish> {
    let complain = |message: String, cure: &str| {
        problems.borrow_mut().extend(Problems::one(FAULT_HEADER, message, Some(cure)));
    };
    let ListEntry::Item(item) = entry else {
        complain("has a list in it".to_owned(), "latency;delay=\"200ms\", error;status=503");
        return None;
    };
    let (BareItem::Token(kind) | BareItem::String(kind)) = &item.bare_item else {
        complain("has an item that is no kind of fault".to_owned(), "latency;delay=\"200ms\"");
        return None;
    };
    if faults::KINDS.iter().any(|known| known.name == kind) && !allowed.kinds.iter().any(|known| known == kind) {
        complain(format!("\"{kind}\" is not allowed here"), &format!("allowed: {}", allowed.kinds.join(", ")));
        return None;
    }
    let mut table: IndexMap<String, Node> = IndexMap::new();
    let mut probability = allowed.max_probability;
    for (key, value) in &item.params {
        let node = Node { line: None, set: None, value: value_of(value) };
        if key == "probability" {
            match <Share as crate::diagnostics::FromNode>::from_node(&node) {
                Ok(wanted) => probability = wanted.get().min(allowed.max_probability),
                Err(expected) => complain("probability is not valid".to_owned(), &format!("expected {expected}")),
            }
            continue;
        }
        if key.replace('-', "_") == "body_file" {
            complain("body-file is for rules: no client reads files".to_owned(), "body=\"...\"");
            continue;
        }
        table.insert(key.replace('-', "_"), node);
    }
    table.insert("kind".to_owned(), Node { line: None, set: None, value: Value::Text(kind.clone()) });
    let node = Node { line: None, set: None, value: Value::Table(table) };
    let (kind, fault) = faults::compile(Reader::new(FAULT_HEADER, &node, "fault", problems), "asked")?;
    if !fault.is_certain() {
        let cure = "only a rule keeps count of the requests before";
        complain(format!("\"{}\" depends on more than this request", kind.name), cure);
        return None;
    }
    Some(Wish { kind: kind.name, fault: Capped::around(fault, allowed.max_delay), probability })
}

fn value_of(item: &BareItem) -> Value {
    match item {
        BareItem::Integer(number) => Value::Integer(*number),
        BareItem::Decimal(number) => Value::Float(number.to_string().parse().unwrap_or(f64::NAN)),
        BareItem::Boolean(value) => Value::Bool(*value),
        BareItem::String(text) | BareItem::Token(text) => Value::Text(text.clone()),
        BareItem::ByteSeq(bytes) => Value::Text(String::from_utf8_lossy(bytes).into_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::super::testing::Request;
    use super::*;

    fn asked(fields: &[&str]) -> Result<Vec<String>, String> {
        let allowed = ClientFaults {
            envoy: false,
            header: true,
            max_delay: Duration::from_secs(10),
            max_probability: 0.5,
            denominator: 100,
            max_active: None,
            kinds: vec!["latency", "error", "timeout", "rate-limit"],
        };
        let request = fields.iter().fold(Request::get("/"), |request, field| request.header(FAULT_HEADER, field));
        let show = |wish: Wish| format!("{} {}: {}", wish.kind, wish.probability, wish.fault.describe());
        wishes(&allowed, &request.view()).map(|w| w.into_iter().map(show).collect()).map_err(|p| p.to_string())
    }

    #[test]
    fn a_list_of_kinds_with_their_parameters_is_understood() {
        assert_eq!(asked(&[]).unwrap(), [""; 0]);
        assert_eq!(
            asked(&["latency;delay=\"200ms\", error;status=503;body=\"no\";after-upstream"]).unwrap(),
            [
                "latency 0.5: delays the request by 200ms, at most 10.0s",
                "error 0.5: answers 503 with a body of 2 bytes once the upstream has done its work, at most 10.0s"
            ]
        );
        assert_eq!(
            asked(&["error;status=500;probability=0.25", "timeout;for=\"1s\";probability=\"90%\""]).unwrap().len(),
            2
        );
        assert!(asked(&["error;status=500;probability=0.25"]).unwrap()[0].starts_with("error 0.25"));
        assert!(asked(&["error;status=500;probability=0.9"]).unwrap()[0].starts_with("error 0.5"), "capped");
    }

    #[test]
    fn every_mistake_is_told() {
        for (field, told) in [
            ("latency;", "is no list"),
            ("(latency)", "has a list in it"),
            ("7", "no kind of fault"),
            (
                "slow-body;rate=\"1KiB/s\"",
                "\"slow-body\" is not allowed here (allowed: latency, error, timeout, rate-limit)",
            ),
            ("gremlin", "there is no \"gremlin\""),
            ("latency;dely=\"1s\"", "unknown key \"dely\" (did you mean \"delay\"?)"),
            ("error;status=503;probability=7", "probability is not valid"),
            ("error;status=503;body-file=\"Cargo.toml\"", "no client reads files"),
            ("rate-limit;rate=\"1/s\"", "depends on more than this request"),
            ("error, error, error, error, error, error, error, error, error", "asks for 9 faults"),
        ] {
            let problems = asked(&[field]).unwrap_err();
            assert!(problems.contains(told) && problems.starts_with("x-brownout-fault: "), "{field}: {problems}");
        }
    }
}
