//! Why a plan cannot be measured, tied to the key that would have to change.

use crate::diagnostics::node::{Node, Value};
use crate::diagnostics::{Problem, Problems};

/// One reason why a plan is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The table of the experiment file, such as `phases`.
    pub table: &'static str,
    /// The key in it.
    pub key: String,
    /// What is wrong, with the figures.
    pub message: String,
    /// What is needed.
    pub cure: String,
}

impl Refusal {
    pub(super) fn new(table: &'static str, key: &str, message: impl Into<String>, needed: impl Into<String>) -> Self {
        Self { table, key: key.to_owned(), message: message.into(), cure: format!("needed: {}", needed.into()) }
    }
}

/// The refusals as problems of the file that `root` was read from, each at the line of its key; at the line of its
/// table if the key's value was a default, without a line if the table is missing too.
pub fn problems(refusals: &[Refusal], file: &str, root: &Node) -> Problems {
    let find = |refusal: &Refusal| {
        let table = entry(root, refusal.table)?;
        entry(table, &refusal.key).unwrap_or(table).line
    };
    let problem = |refusal: &Refusal| Problem {
        file: file.to_owned(),
        line: find(refusal),
        message: format!("{}.{}: {}", refusal.table, refusal.key, refusal.message),
        cure: Some(refusal.cure.clone()),
    };
    Problems(refusals.iter().map(problem).collect())
}

fn entry<'a>(node: &'a Node, key: &str) -> Option<&'a Node> {
    match &node.value {
        Value::Table(table) => table.get(key),
        _ => None,
    }
}
