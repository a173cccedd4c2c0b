//! Which of its matching requests a rule hits.

use crate::diagnostics::Reader;
use crate::dice::Dice;
use crate::units::{Share, show_share};

/// The draw of a rule's own dice that its trigger uses.
const DRAW: u64 = 0;

/// Decides from the count of matches and the dice of this match, and from nothing else.
#[derive(Debug, Clone, PartialEq)]
pub enum Trigger {
    /// Each match with this probability.
    Probability(f64),
    /// The first so many matches.
    First(u64),
    /// Every N-th match: N, 2N, ...
    Every(u64),
    /// Match by match as in this list, which repeats.
    Sequence(Box<[bool]>),
}

impl Default for Trigger {
    /// Every match.
    fn default() -> Self {
        Self::Probability(1.0)
    }
}

impl Trigger {
    /// Reads the `trigger` table; a problem is recorded and read as the default.
    pub(super) fn read(mut reader: Reader<'_>) -> Self {
        let probability: Option<Share> = reader.optional("probability");
        let first: Option<u64> = reader.optional("first");
        let every: Option<u64> = reader.optional("every");
        let sequence: Option<String> = reader.optional("sequence");
        let given = ["probability", "first", "every", "sequence"].into_iter().filter(|key| reader.has(key));
        let given = given.collect::<Vec<_>>();
        if given.len() > 1 {
            reader.complain(format!("{} exclude each other", given.join(" and ")), Some("give one of them"));
        }
        for (key, count) in [("first", first), ("every", every)] {
            if count == Some(0) {
                reader.reject(key, "0 would never trigger", Some("a count from 1; enabled = false turns a rule off"));
            }
        }
        let sequence = sequence.map(|text| read_sequence(&mut reader, &text));
        reader.finish();
        None.or(first.map(Self::First))
            .or(every.map(|every| Self::Every(every.max(1))))
            .or(sequence.map(Self::Sequence))
            .unwrap_or_else(|| Self::Probability(probability.unwrap_or(Share::ALL).get()))
    }

    /// Whether the `n`-th match (from 0), which owns these dice, is hit.
    pub(super) fn decides(&self, n: u64, dice: Dice) -> bool {
        match self {
            Self::Probability(probability) => dice.happens(DRAW, *probability),
            Self::First(count) => n < *count,
            Self::Every(every) => (n + 1).is_multiple_of(*every),
            Self::Sequence(steps) => steps.get((n % steps.len().max(1) as u64) as usize).copied().unwrap_or(false),
        }
    }

    /// The share of matches that is hit in the long run; for `first` that of the beginning.
    pub fn share(&self) -> f64 {
        match self {
            Self::Probability(probability) => *probability,
            Self::First(_) => 1.0,
            Self::Every(every) => 1.0 / *every as f64,
            Self::Sequence(steps) => steps.iter().filter(|hit| **hit).count() as f64 / steps.len().max(1) as f64,
        }
    }

    /// In words: `25.0% of matches`.
    pub fn describe(&self) -> String {
        match self {
            Self::Probability(1.0) => "every match".to_owned(),
            Self::Probability(probability) => format!("{} of matches", show_share(*probability)),
            Self::First(count) => format!("the first {count} matches"),
            Self::Every(1) => "every match".to_owned(),
            Self::Every(every) => format!("one match in {every}"),
            Self::Sequence(_) => format!("{} of matches, in a fixed sequence", show_share(self.share())),
        }
    }
}

fn read_sequence(reader: &mut Reader<'_>, text: &str) -> Box<[bool]> {
    if text.chars().any(|c| !matches!(c, 'x' | '.')) {
        reader.reject("sequence", format!("{text:?} is not valid"), Some("x hits and . does not, such as \"..x\""));
    } else if !text.contains('x') {
        reader.reject("sequence", "would never trigger", Some("at least one x"));
    }
    text.chars().map(|c| c == 'x').collect()
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::diagnostics::Node;

    fn read(toml: &str) -> Result<Trigger, String> {
        let node = Node::from_toml("r.toml", toml).unwrap();
        let problems = RefCell::default();
        let trigger = Trigger::read(Reader::new("r.toml", &node, "trigger", &problems));
        problems.into_inner().or(trigger).map_err(|p| p.to_string())
    }

    fn hits(toml: &str) -> Vec<u64> {
        let trigger = read(toml).unwrap();
        (0..10).filter(|n| trigger.decides(*n, Dice::new(1, 2, *n))).map(|n| n + 1).collect()
    }

    #[test]
    fn counts_hit_the_matches_they_name() {
        assert_eq!(hits("first = 3"), [1, 2, 3]);
        assert_eq!(hits("every = 4"), [4, 8]);
        assert_eq!(hits("sequence = \"..x.x\""), [3, 5, 8, 10]);
        assert_eq!(hits("probability = 0"), [0; 0]);
        assert_eq!(hits("probability = \"100%\""), (1..=10).collect::<Vec<_>>());
        assert_eq!(hits(""), (1..=10).collect::<Vec<_>>());
    }

    #[test]
    fn the_share_is_that_of_the_long_run() {
        for (toml, share) in [("probability = 0.25", 0.25), ("every = 5", 0.2), ("sequence = \"x..x\"", 0.5)] {
            assert_eq!(read(toml).unwrap().share(), share, "{toml}");
        }
    }

    #[test]
    fn what_never_triggers_or_contradicts_itself_is_a_mistake() {
        for (toml, wanted) in [
            ("first = 0", "0 would never trigger"),
            ("every = 0", "0 would never trigger"),
            ("sequence = \"...\"", "at least one x"),
            ("sequence = \"x-x\"", "\"x-x\" is not valid"),
            ("sequence = \"\"", "would never trigger"),
            ("first = 1\nevery = 2", "first and every exclude each other"),
            ("probability = 1.5", "expected a share from 0 to 1"),
            ("sticky = \"header:x-user\"", "unknown key \"sticky\""),
        ] {
            let problems = read(toml).unwrap_err();
            assert!(problems.contains(wanted), "{toml}: {problems}");
        }
    }
}
