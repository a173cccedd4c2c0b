//! Texts with `{{variables}}` in them, filled in for each request.

use std::fmt::Write;
use std::num::NonZeroU64;

use crate::dice::{Dice, hash_name};

/// What a template may contain, for messages and help.
pub const VARIABLES: &str = "{{seq}}, {{id}}, {{id:N}}, {{uuid}}";

/// `{{id}}` without a bound.
const IDS: NonZeroU64 = match NonZeroU64::new(1_000_000) {
    Some(ids) => ids,
    None => unreachable!(),
};

/// A text whose variables are found once and filled in for each request.
///
/// `{{seq}}` is the request's number in the run, from 0; `{{id}}` a whole number from 1 to 1,000,000 (`{{id:50}}`:
/// to 50), drawn evenly; `{{uuid}}` a random UUID. All of them follow from the run's seed and the request's
/// number. A request has one id and one UUID, the same in its path, headers and body, except where bounds differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Sequence,
    Id(NonZeroU64),
    Uuid,
}

/// What the variables of one request stand for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Variables {
    seed: u64,
    sequence: u64,
}

impl Variables {
    /// Those of the request with this number, from 0.
    pub(super) fn new(seed: u64, sequence: u64) -> Self {
        Self { seed, sequence }
    }

    /// The chance of this request; draws 0 and 1 are the UUID's, 2 the id's, 3 the choice of the operation.
    pub(super) fn dice(self) -> Dice {
        Dice::new(self.seed, hash_name("request"), self.sequence)
    }
}

/// Why a text is no template: the piece that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no variable")]
pub(super) struct UnknownVariable(pub(super) String);

impl Template {
    /// Finds the variables of a text. `{{` without `}}` is text.
    ///
    /// # Errors
    /// Names the first variable that does not exist.
    pub(super) fn parse(text: &str) -> Result<Self, UnknownVariable> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, inside, after)) = next_variable(rest) {
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            pieces.push(variable(inside).ok_or_else(|| UnknownVariable(format!("{{{{{inside}}}}}")))?);
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Ok(Self { pieces })
    }

    /// The text itself when it has no variables: it needs to be made only once.
    pub(super) fn fixed(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Appends the text of one request.
    pub(super) fn render(&self, variables: Variables, out: &mut String) {
        for piece in &self.pieces {
            // Writing to a String does not fail.
            let _ = match piece {
                Piece::Text(text) => out.write_str(text),
                Piece::Sequence => write!(out, "{}", variables.sequence),
                Piece::Id(bound) => write!(out, "{}", evenly(variables.dice().bits(2), *bound)),
                Piece::Uuid => write_uuid(out, variables.dice()),
            };
        }
    }

    /// The text of one request.
    pub(super) fn rendered(&self, variables: Variables) -> String {
        let mut out = String::new();
        self.render(variables, &mut out);
        out
    }
}

/// The text before the first `{{...}}`, what stands inside, and the rest.
fn next_variable(text: &str) -> Option<(&str, &str, &str)> {
    let (before, tail) = text.split_once("{{")?;
    let (inside, after) = tail.split_once("}}")?;
    Some((before, inside, after))
}

fn variable(inside: &str) -> Option<Piece> {
    match inside.trim() {
        "seq" => Some(Piece::Sequence),
        "uuid" => Some(Piece::Uuid),
        "id" => Some(Piece::Id(IDS)),
        other => other.strip_prefix("id:")?.trim().parse().ok().map(Piece::Id),
    }
}

/// A number from 1 to the bound, by the high half of a product: no modulo bias worth speaking of.
fn evenly(bits: u64, bound: NonZeroU64) -> u64 {
    ((u128::from(bits) * u128::from(bound.get())) >> 64) as u64 + 1
}

/// A UUID of version 4 (RFC 9562, 5.4): 122 drawn bits.
fn write_uuid(out: &mut String, dice: Dice) -> std::fmt::Result {
    let (high, low) = (dice.bits(0), dice.bits(1));
    write!(
        out,
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xFFFF,
        high & 0xFFF,
        0x8000 | (low >> 50),
        low & 0xFFFF_FFFF_FFFF
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(text: &str, sequence: u64) -> String {
        Template::parse(text).unwrap().rendered(Variables::new(42, sequence))
    }

    #[test]
    fn a_text_without_variables_is_fixed() {
        for text in ["", "/", "/a?b={c}", "{\"a\":{\"b\":1}}", "/{{open"] {
            assert_eq!(Template::parse(text).unwrap().fixed(), Some(text));
        }
        assert_eq!(Template::parse("/{{seq}}").unwrap().fixed(), None);
    }

    #[test]
    fn variables_are_filled_in() {
        assert_eq!(render("/a/{{seq}}/b/{{ seq }}", 17), "/a/17/b/17");
        let id: u64 = render("{{id}}", 0).parse().unwrap();
        assert!((1..=1_000_000).contains(&id));
        assert_eq!(render("{{id:1}}", 5), "1");
        assert_eq!(render("/{{id}}", 9), render("/{{id}}", 9));
        assert_ne!(render("/{{id}}", 9), render("/{{id}}", 10));
    }

    #[test]
    fn ids_are_drawn_evenly_from_one_to_their_bound() {
        let mut counts = [0u32; 4];
        for sequence in 0..4_000 {
            counts[render("{{id:4}}", sequence).parse::<usize>().unwrap() - 1] += 1;
        }
        // Five standard deviations of a binomial with n = 4,000 and p = 1/4.
        assert!(counts.iter().all(|c| c.abs_diff(1_000) < 137), "{counts:?}");
    }

    #[test]
    fn a_uuid_has_its_version_and_variant() {
        for sequence in 0..100 {
            let uuid = render("{{uuid}}", sequence);
            let groups: Vec<&str> = uuid.split('-').collect();
            assert_eq!(groups.iter().map(|g| g.len()).collect::<Vec<_>>(), [8, 4, 4, 4, 12], "{uuid}");
            assert!(groups[2].starts_with('4') && "89ab".contains(&groups[3][..1]), "{uuid}");
        }
    }

    #[test]
    fn an_unknown_variable_is_named() {
        assert_eq!(Template::parse("/{{user}}/x"), Err(UnknownVariable("{{user}}".to_owned())));
        assert!(Template::parse("{{id:0}}").is_err());
        assert!(Template::parse("{{id:x}}").is_err());
    }
}
