//! The search for the window with which recovery begins.

use super::runs::{Mark, starts_run};

/// What a window must be followed by for recovery to begin with it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rule {
    /// Of so many windows, the candidate included, ...
    pub windows: usize,
    /// ... at most so many are bad.
    pub bad: usize,
    /// No bad run starts within so many seconds of the candidate's start.
    pub hold_s: f64,
}

/// Where recovery begins. The numbers are places among the marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// The first mark that meets the whole rule.
    At(usize),
    /// All windows that are left agree, but the watch ends before the rule could be tested to its end.
    TooLate(usize),
    /// No mark meets the rule.
    Never,
}

/// Comparisons of window edges: sums of widths differ from products by less than this.
pub const TICK_S: f64 = 1e-6;

/// The first good mark at or after `t_off` that meets the rule. A candidate that the watch leaves less than the hold is
/// too late; one that it leaves less than the rule's windows is none.
pub fn find(marks: &[Mark], t_off: f64, end_s: f64, rule: Rule) -> Found {
    for (at, mark) in marks.iter().enumerate() {
        if mark.bad || mark.start_s < t_off - TICK_S || !agrees(marks, at, rule) {
            continue;
        }
        let in_time = mark.start_s + rule.hold_s <= end_s + TICK_S;
        return if in_time { Found::At(at) } else { Found::TooLate(at) };
    }
    Found::Never
}

/// Whether everything that is known of the rule's windows and its hold speaks for the mark.
fn agrees(marks: &[Mark], at: usize, rule: Rule) -> bool {
    let Some(first) = marks.get(at..at + rule.windows) else { return false };
    let bad = first.iter().filter(|mark| mark.bad).count();
    let held_until = marks[at].start_s + rule.hold_s - TICK_S;
    let held = |from: usize| (from..marks.len()).take_while(|i| marks[*i].start_s < held_until);
    bad <= rule.bad && !held(at + 1).any(|i| starts_run(marks, i))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule = Rule { windows: 10, bad: 1, hold_s: 30.0 };

    /// Windows of a second from `t_off` = 0 on: `.` good, `x` bad, `X` severe, ` ` invalid.
    fn search(text: &str, rule: Rule) -> Found {
        let mark = |(i, c): (usize, char)| {
            (c != ' ').then_some(Mark {
                window: i,
                start_s: i as f64,
                end_s: i as f64 + 1.0,
                bad: c != '.',
                severe: c == 'X',
            })
        };
        let marks: Vec<Mark> = text.chars().enumerate().filter_map(mark).collect();
        find(&marks, 0.0, text.len() as f64, rule)
    }

    fn good(windows: usize) -> String {
        ".".repeat(windows)
    }

    #[test]
    fn recovery_begins_with_the_first_good_window() {
        assert_eq!(search(&good(60), RULE), Found::At(0));
        assert_eq!(search(&format!("xxxxx{}", good(60)), RULE), Found::At(5));
    }

    #[test]
    fn one_bad_window_among_the_first_ten_is_chance_two_are_not() {
        assert_eq!(search(&format!("xx..x{}", good(60)), RULE), Found::At(2));
        assert_eq!(search(&format!("xx..x...x{}", good(60)), RULE), Found::At(5));
        assert_eq!(search(&format!("xx.x{}", good(60)), RULE), Found::At(2));
    }

    #[test]
    fn a_severe_window_is_never_chance() {
        assert_eq!(search(&format!("xx..X{}", good(60)), RULE), Found::At(5));
        assert_eq!(search(&format!("xx{}X{}", good(20), good(60)), RULE), Found::At(23));
    }

    #[test]
    fn no_bad_run_may_start_within_the_hold() {
        let relapse_after = |windows| format!("xx{}xx{}", good(windows), good(60));
        assert_eq!(search(&relapse_after(29), RULE), Found::At(33));
        assert_eq!(search(&relapse_after(30), RULE), Found::At(2));
        // Without a hold the first ten windows are enough.
        assert_eq!(search(&relapse_after(29), Rule { hold_s: 0.0, ..RULE }), Found::At(2));
    }

    #[test]
    fn invalid_windows_neither_confirm_nor_break() {
        assert_eq!(search(&format!("xx  x{}", good(60)), RULE), Found::At(3));
        assert_eq!(search(&format!("xx..  x  x{}", good(60)), RULE), Found::At(6), "the two bad ones are neighbours");
    }

    #[test]
    fn a_candidate_must_leave_its_hold_before_the_end_of_the_watch() {
        assert_eq!(search(&format!("{}{}", "x".repeat(10), good(30)), RULE), Found::At(10));
        assert_eq!(search(&format!("{}{}", "x".repeat(11), good(29)), RULE), Found::TooLate(11));
        assert_eq!(search(&format!("{}{}", "x".repeat(38), good(9)), RULE), Found::Never);
        assert_eq!(search(&"x".repeat(40), RULE), Found::Never);
    }

    #[test]
    fn a_state_that_alternates_never_recovers() {
        assert_eq!(search(&"..x".repeat(20), RULE), Found::Never);
    }
}
