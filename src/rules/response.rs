//! Conditions on the upstream's answer, for rules that act on it.

use http::header::HeaderName;

use super::value::Wanted;
use crate::diagnostics::node::{Node, Value};
use crate::faults::ResponseView;

/// What an answer must be like. All that is given must hold.
#[derive(Debug, Clone, Default)]
pub struct ResponseConditions {
    /// Statuses, of which one must be the answer's; none = any.
    pub(super) statuses: Vec<Statuses>,
    /// Headers of the answer.
    pub(super) headers: Vec<(HeaderName, Wanted)>,
}

/// A range of statuses, ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Statuses {
    from: u16,
    to: u16,
}

impl ResponseConditions {
    /// Whether the answer meets all conditions.
    pub fn hold(&self, response: &ResponseView<'_>) -> bool {
        let status = response.status.as_u16();
        (self.statuses.is_empty() || self.statuses.iter().any(|range| (range.from..=range.to).contains(&status)))
            && self
                .headers
                .iter()
                .all(|(name, wanted)| wanted.holds(response.headers.get_all(name).iter().map(|value| value.as_bytes())))
    }
}

impl Statuses {
    /// Reads `503`, `"503"`, `"5xx"` or `"500-504"`.
    pub(super) fn read(node: &Node) -> Option<Self> {
        let number = |text: &str| text.parse::<u16>().ok().filter(|status| (100..600).contains(status));
        match &node.value {
            Value::Integer(status) => number(&status.to_string()).map(|status| Self { from: status, to: status }),
            Value::Text(text) => {
                if let Some(hundreds) = text.strip_suffix("xx") {
                    let from = number(&format!("{hundreds}00"))?;
                    return Some(Self { from, to: from + 99 });
                }
                let (from, to) = text.split_once('-').unwrap_or((text, text));
                let (from, to) = (number(from.trim())?, number(to.trim())?);
                (from <= to).then_some(Self { from, to })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_one_a_hundred_or_a_range() {
        let read = |value| Statuses::read(&Node { line: None, set: None, value }).map(|range| (range.from, range.to));
        let text = |text: &str| read(Value::Text(text.to_owned()));
        assert_eq!(read(Value::Integer(503)), Some((503, 503)));
        assert_eq!((text("503"), text("5xx"), text("500-504")), (Some((503, 503)), Some((500, 599)), Some((500, 504))));
        for wrong in ["", "xx", "9xx", "504-500", "5", "600", "200-", "-"] {
            assert_eq!(text(wrong), None, "{wrong}");
        }
        assert_eq!(read(Value::Integer(99)), None);
    }
}
