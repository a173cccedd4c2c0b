//! Which of its matching requests a rule hits.

use std::sync::Arc;

use super::sticky::Sticky;
use crate::diagnostics::Reader;
use crate::dice::Dice;
use crate::units::{Share, show_share};

/// The draw of a rule's own dice that its trigger uses.
const DRAW: u64 = 0;
/// The draw by which a ramp lets some of a fixed choice through.
const RAMP_DRAW: u64 = 1;

/// Which matches are hit, by whom they were sent, and beside which other rule.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Trigger {
    /// Which of the matches.
    pub how: How,
    /// What decides in the place of the count of matches.
    pub sticky: Option<Sticky>,
    /// Only matches that this rule of the same layer hits too are counted and chosen from.
    pub with: Option<Arc<str>>,
}

/// Decides from the count of matches and the dice of this match, and from nothing else.
#[derive(Debug, Clone, PartialEq)]
pub enum How {
    /// Each match with this probability.
    Probability(f64),
    /// The first so many matches.
    First(u64),
    /// Every N-th match: N, 2N, ...
    Every(u64),
    /// Match by match as in this list, which repeats.
    Sequence(Box<[bool]>),
}

impl Default for How {
    /// Every match.
    fn default() -> Self {
        Self::Probability(1.0)
    }
}

impl Trigger {
    /// Reads the `trigger` table; a problem is recorded and read as the default.
    pub(super) fn read(mut reader: Reader<'_>) -> Self {
        let how = How::read(&mut reader);
        let sticky = Sticky::read(&mut reader);
        let with: Option<String> = reader.optional("with");
        if sticky.is_some() && !matches!(how, How::Probability(_)) {
            let cure = Some("a count is kept for all requests together: give probability, or leave sticky out");
            reader.reject("sticky", "goes with probability only", cure);
        }
        reader.finish();
        Self { how, sticky, with: with.map(Into::into) }
    }

    /// The share of matches that is hit in the long run, those of another rule not looked at.
    pub fn share(&self) -> f64 {
        self.how.share()
    }

    /// In words: `25.0% of matches, by header x-user`.
    pub fn describe(&self) -> String {
        let mut text = self.how.describe();
        if let Some(sticky) = &self.sticky {
            text.push_str(&format!(", by {sticky}"));
        }
        if let Some(with) = &self.with {
            text.push_str(&format!(", of those that \"{with}\" hits"));
        }
        text
    }
}

impl How {
    fn read(reader: &mut Reader<'_>) -> Self {
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
        let sequence = sequence.map(|text| read_sequence(reader, &text));
        None.or(first.map(Self::First))
            .or(every.map(|every| Self::Every(every.max(1))))
            .or(sequence.map(Self::Sequence))
            .unwrap_or_else(|| Self::Probability(probability.unwrap_or(Share::ALL).get()))
    }

    /// Whether the `n`-th match (from 0), which owns these dice, is hit, when the probability has grown so far (from 0
    /// to 1). Who is hit early in a ramp is hit later in it too.
    pub(super) fn decides(&self, n: u64, dice: Dice, grown: f64) -> bool {
        let chosen = match self {
            Self::Probability(probability) => return dice.happens(DRAW, *probability * grown),
            Self::First(count) => n < *count,
            Self::Every(every) => (n + 1).is_multiple_of(*every),
            Self::Sequence(steps) => steps.get((n % steps.len().max(1) as u64) as usize).copied().unwrap_or(false),
        };
        chosen && dice.happens(RAMP_DRAW, grown)
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
        (0..10).filter(|n| trigger.how.decides(*n, Dice::new(1, 2, *n), 1.0)).map(|n| n + 1).collect()
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
            ("sticky = \"header:x-user\"\nfirst = 3", "goes with probability only"),
            ("sticky = \"user\"", "\"user\" is not valid"),
            ("wth = \"a\"", "did you mean \"with\"?"),
        ] {
            let problems = read(toml).unwrap_err();
            assert!(problems.contains(wanted), "{toml}: {problems}");
        }
    }

    #[test]
    fn a_trigger_says_in_words_what_it_does() {
        for (toml, words) in [
            ("", "every match"),
            ("probability = 0.25\nsticky = \"cookie:session\"", "25.0% of matches, by cookie session"),
            ("first = 3\nwith = \"slow\"", "the first 3 matches, of those that \"slow\" hits"),
        ] {
            assert_eq!(read(toml).unwrap().describe(), words);
        }
    }

    #[test]
    fn what_a_ramp_hits_early_it_hits_later_too() {
        for toml in ["probability = 0.8", "every = 2"] {
            let how = read(toml).unwrap().how;
            let hits =
                |grown| (0..1_000u64).filter(|n| how.decides(*n, Dice::new(1, 2, *n), grown)).collect::<Vec<_>>();
            let (none, half, all) = (hits(0.0), hits(0.5), hits(1.0));
            assert!(none.is_empty() && half.iter().all(|n| all.contains(n)), "{toml}");
            assert!((half.len() as f64 / all.len() as f64 - 0.5).abs() < 0.1, "{toml}: {} {}", half.len(), all.len());
        }
    }
}
