//! What a user is told about a mistake in a file: all mistakes at once, each with its place and its cure.
//!
//! [`node`] is a document with line numbers, whatever its syntax; [`reader`] takes a table of it apart and
//! complains about every key that is missing, unknown or wrong; [`shape`] is what may stand where, as data.

mod json_words;
pub mod node;
pub mod reader;
pub mod shape;

use std::fmt;

pub use node::Node;
pub use reader::{FromNode, Reader};

/// One mistake: where it stands, what is wrong and, if known, what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Problem {
    /// The file as the user named it, or what stands in for one (`PUT /api/v1/rules`, `--set`).
    pub file: String,
    /// The line, from 1; absent where the text has no lines (JSON bodies, flags).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// What is wrong: lower case, no full stop, naming the key and the value.
    pub message: String,
    /// What would be right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cure: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.message)?;
        match &self.cure {
            Some(cure) => write!(f, " ({cure})"),
            None => Ok(()),
        }
    }
}

/// Everything that is wrong with what was read, in reading order; an error when it is not empty.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
#[serde(transparent)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// A list of one.
    pub fn one(file: impl Into<String>, message: impl Into<String>, cure: Option<&str>) -> Self {
        Self(vec![Problem { file: file.into(), line: None, message: message.into(), cure: cure.map(str::to_owned) }])
    }

    /// Nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds all of another list.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// `Ok(value)` if nothing is wrong, else the problems.
    ///
    /// # Errors
    /// The problems themselves, if there are any.
    pub fn or<T>(self, value: T) -> Result<T, Self> {
        if self.is_empty() { Ok(value) } else { Err(self) }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// The candidate nearest to what was written, if it is near enough to be what was meant: less than a third of its
/// letters differ. Of short words one letter may, unless it is the first.
pub fn nearest<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let is_near = |distance: usize, candidate: &str| {
        let length = written.chars().count().max(candidate.chars().count());
        distance * 3 < length || (distance == 1 && length > 1 && written.chars().next() == candidate.chars().next())
    };
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(written, candidate), candidate))
        .filter(|(distance, candidate)| is_near(*distance, candidate))
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        let words = ["tcp", "http", "web", "half_close", "delay", "json", "a", "get", "set", "listen"];
        for (written, meant) in [
            ("tpc", Some("tcp")),
            ("htp", Some("http")),
            ("jsn", Some("json")),
            ("dely", Some("delay")),
            ("halfclose", Some("half_close")),
            ("lsiten", Some("listen")),
            ("api", None),
            ("let", None),
            ("b", None),
            ("host", None),
            ("", None),
        ] {
            assert_eq!(nearest(written, words), meant, "{written}");
        }
    }
}
