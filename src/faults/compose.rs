//! How the faults of several rules are put together: one law, in one place.
//!
//! Delays add. The first terminal effect wins. Of several body rates the slowest acts, of several cuts the
//! earliest. Everything else a fault asked for is kept, so that it can take over when the winner's rule is
//! released, and is counted as skipped if it never did.

use std::time::Duration;

use smallvec::SmallVec;

use super::effect::{Cut, RequestEffect, ResponseEffect, Terminal};
use crate::units::ByteRate;

/// Which fault of which hit of a plan asked for something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Source {
    /// Index of the hit in its plan: composition order.
    pub hit: usize,
    /// Index of the fault in its rule.
    pub fault: usize,
}

/// One thing asked for, and by whom.
pub type Asked<T> = SmallVec<[(Source, T); 1]>;

/// What one request will suffer before the upstream is contacted, in this order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RequestCourse {
    /// Waits, one after another: they add.
    pub delays: Asked<Duration>,
    /// Terminal effects in composition order: the first whose rule is not released acts.
    pub terminals: Asked<Terminal>,
}

/// What one response will suffer, in this order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ResponseCourse {
    /// Waits, one after another: they add.
    pub delays: Asked<Duration>,
    /// Terminal effects in composition order: the first whose rule is not released acts.
    pub terminals: Asked<Terminal>,
    /// Body rates with the size of a piece, slowest first: the first whose rule is not released acts.
    pub rates: Asked<(ByteRate, Option<u64>)>,
    /// Cuts, earliest first: the first whose rule is not released acts.
    pub cuts: Asked<Cut>,
}

/// Composes what was asked of a request.
pub fn request_course(effects: impl IntoIterator<Item = (Source, RequestEffect)>) -> RequestCourse {
    let mut course = RequestCourse::default();
    for (source, effect) in effects {
        if !effect.delay.is_zero() {
            course.delays.push((source, effect.delay));
        }
        course.terminals.extend(effect.terminal.map(|t| (source, t)));
    }
    course
}

/// Composes what was asked of a response.
pub fn response_course(effects: impl IntoIterator<Item = (Source, ResponseEffect)>) -> ResponseCourse {
    let mut course = ResponseCourse::default();
    for (source, effect) in effects {
        if !effect.delay.is_zero() {
            course.delays.push((source, effect.delay));
        }
        course.terminals.extend(effect.terminal.map(|t| (source, t)));
        course.rates.extend(effect.body.rate.map(|rate| (source, (rate, effect.body.chunk))));
        course.cuts.extend(effect.body.cut.map(|cut| (source, cut)));
    }
    course.rates.sort_by(|(_, (a, _)), (_, (b, _))| a.per_second().total_cmp(&b.per_second()));
    course.cuts.sort_by_key(|(_, cut)| cut.after);
    course
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::testing::{compiled, dice, request, response};
    use crate::faults::{CloseHow, HangEnd};
    use crate::units::show_duration;

    const LATE: &str = "latency 100ms";
    const LATER: &str = "latency 400ms";
    const LATE_ANSWER: &str = "latency 50ms (response)";
    const E503: &str = "error 503";
    const E429: &str = "error 429";
    const E500: &str = "error 500 (after_upstream)";
    const HANG: &str = "timeout";
    const SLOW: &str = "slow-body 64KiB/s";
    const SLOWER: &str = "slow-body 1KiB/s";
    const CUT: &str = "abort body at 4KiB";
    const EARLY: &str = "abort body at 1KiB";
    const RESET: &str = "abort request";

    /// What the rules of one request ask for, in composition order, and what then happens: the law, row by row.
    const LAW: &[(&[&str], &str)] = &[
        (&[LATE, LATER], "waits 500ms; the upstream is asked; its answer is sent"),
        (&[LATE, LATE_ANSWER], "waits 100ms; the upstream is asked; waits 50.0ms; its answer is sent"),
        (&[E503, LATE], "waits 100ms; answers 503"),
        (&[E503, E429], "answers 503"),
        (&[HANG, E503], "stays silent"),
        (&[RESET, HANG], "resets the connection"),
        (&[E503, SLOW, LATE_ANSWER], "answers 503"),
        (&[E500, E503], "answers 503"),
        (&[E500, SLOW], "the upstream is asked; answers 500"),
        (&[E500, LATE_ANSWER], "the upstream is asked; waits 50.0ms; answers 500"),
        (&[SLOW, SLOWER], "the upstream is asked; its answer is sent at 1KiB/s"),
        (&[CUT, EARLY], "the upstream is asked; its answer is sent; the connection is reset after 1KiB of the body"),
        (
            &[CUT, SLOW],
            "the upstream is asked; its answer is sent at 64KiB/s; the connection is reset after 4KiB of the body",
        ),
    ];

    fn toml(words: &str) -> &'static str {
        match words {
            LATE => "kind = \"latency\"\ndelay = \"100ms\"",
            LATER => "kind = \"latency\"\ndelay = \"400ms\"",
            LATE_ANSWER => "kind = \"latency\"\ndelay = \"50ms\"\nside = \"response\"",
            E503 => "kind = \"error\"\nstatus = 503",
            E429 => "kind = \"error\"\nstatus = 429",
            E500 => "kind = \"error\"\nstatus = 500\nafter_upstream = true",
            HANG => "kind = \"timeout\"",
            SLOW => "kind = \"slow-body\"\nrate = \"64KiB/s\"",
            SLOWER => "kind = \"slow-body\"\nrate = \"1KiB/s\"",
            CUT => "kind = \"abort\"\nat = \"body\"\nafter_bytes = \"4KiB\"",
            EARLY => "kind = \"abort\"\nat = \"body\"\nafter_bytes = \"1KiB\"",
            RESET => "kind = \"abort\"",
            other => panic!("{other}"),
        }
    }

    /// Plays the courses to their end, in words.
    fn played(asked: &[&str]) -> String {
        let faults = asked.iter().map(|words| compiled(toml(words))).collect::<Vec<_>>();
        let sources = || faults.iter().enumerate().map(|(hit, fault)| (Source { hit, fault: 0 }, fault));
        let before = request_course(sources().map(|(source, fault)| (source, fault.on_request(&request(), dice()))));
        let after = response_course(sources().map(|(source, fault)| (source, fault.on_response(&response(), dice()))));
        let mut words = Vec::new();
        let waits = |delays: &Asked<Duration>| {
            let sum: Duration = delays.iter().map(|(_, delay)| *delay).sum();
            (!sum.is_zero()).then(|| format!("waits {}", show_duration(sum)))
        };
        words.extend(waits(&before.delays));
        match before.terminals.first() {
            Some((_, terminal)) => words.push(ends(terminal)),
            None => {
                words.push("the upstream is asked".to_owned());
                words.extend(waits(&after.delays));
                words.push(match (after.terminals.first(), after.rates.first()) {
                    (Some((_, terminal)), _) => ends(terminal),
                    (None, Some((_, (rate, _)))) => format!("its answer is sent at {rate}"),
                    (None, None) => "its answer is sent".to_owned(),
                });
                if let (None, Some((_, cut))) = (after.terminals.first(), after.cuts.first()) {
                    let after = crate::units::ByteSize(cut.after);
                    words.push(format!("the connection is reset after {after} of the body"));
                }
            }
        }
        words.join("; ")
    }

    fn ends(terminal: &Terminal) -> String {
        match terminal {
            Terminal::Answer(answer) => format!("answers {}", answer.status.as_u16()),
            Terminal::Hang { wait: None, then: HangEnd::Close(CloseHow::Close) } => "stays silent".to_owned(),
            Terminal::Close(CloseHow::Reset) => "resets the connection".to_owned(),
            other => panic!("{other:?} has no words here"),
        }
    }

    #[test]
    fn the_law_holds_row_by_row() {
        for (asked, happens) in LAW {
            assert_eq!(played(asked), *happens, "{asked:?}");
        }
    }

    #[test]
    fn the_manual_has_the_table_of_the_law_and_of_the_kinds() {
        let row = |(asked, happens): &(&[&str], &str)| format!("| {} | {happens} |\n", asked.join(", "));
        let law = LAW.iter().map(row).collect::<String>();
        let law = format!("| faults, in composition order | what happens |\n|---|---|\n{law}");
        let manual = include_str!("../../docs/faults.md");
        for table in [law, crate::faults::markdown_table()] {
            assert!(manual.contains(&table), "docs/faults.md lacks this table, put it in:\n{table}");
        }
        let readme = include_str!("../../README.md");
        let kinds = crate::faults::markdown_table();
        assert!(readme.contains(&kinds), "README.md lacks this table, put it in:\n{kinds}");
        for kind in crate::faults::KINDS {
            assert!(
                manual.contains(kind.example),
                "docs/faults.md lacks the example of {}:\n{}",
                kind.name,
                kind.example
            );
        }
    }

    #[test]
    fn those_who_lose_stay_in_line_for_when_the_winner_is_released() {
        let faults = [toml(SLOW), toml(SLOWER), toml(CUT), toml(EARLY)].map(compiled);
        let sources = faults.iter().enumerate().map(|(hit, fault)| (Source { hit, fault: 0 }, fault));
        let course = response_course(sources.map(|(source, fault)| (source, fault.on_response(&response(), dice()))));
        assert_eq!(course.rates.iter().map(|(source, _)| source.hit).collect::<Vec<_>>(), [1, 0]);
        assert_eq!(course.cuts.iter().map(|(source, _)| source.hit).collect::<Vec<_>>(), [3, 2]);
    }
}
