//! Bad runs: when a bad window is more than chance. One definition serves baseline, onset, hold and relapse.

use super::gate::Gate;
use crate::results::Window;

/// One valid window as the rules about runs see it. Invalid windows are left out: they neither confirm nor break a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mark {
    /// Its place among all windows of the run.
    pub window: usize,
    /// Its start.
    pub start_s: f64,
    /// Its end.
    pub end_s: f64,
    /// The gate calls it bad.
    pub bad: bool,
    /// Bad, and so far down that it is a run by itself.
    pub severe: bool,
}

/// Consecutive marks that belong together, `first..end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadRun {
    /// The first bad mark.
    pub first: usize,
    /// The mark after its last: the first of two good ones in a row, or the end of the marks.
    pub end: usize,
}

/// The valid windows among these, judged by `judge` (bad, severe).
pub fn marks(windows: &[Window], judge: impl Fn(&Window) -> (bool, bool)) -> Vec<Mark> {
    let mark = |(window, w): (usize, &Window)| {
        let (bad, severe) = judge(w);
        Mark { window, start_s: w.start_s, end_s: w.start_s + w.width_s, bad, severe }
    };
    windows.iter().enumerate().filter(|(_, w)| w.valid).map(mark).collect()
}

/// The valid windows among these as the whole gate judges them.
pub fn gate_marks(windows: &[Window], gate: &Gate) -> Vec<Mark> {
    marks(windows, |w| (gate.is_bad(w), gate.is_severe(w)))
}

/// Whether a bad run starts at this mark: it is severe, or bad with another bad one among the next two.
pub fn starts_run(marks: &[Mark], at: usize) -> bool {
    match marks.get(at) {
        Some(mark) if mark.bad => mark.severe || marks[at + 1..].iter().take(2).any(|next| next.bad),
        _ => false,
    }
}

/// All bad runs in order. A run ends before the next two good marks in a row.
pub fn bad_runs(marks: &[Mark]) -> Vec<BadRun> {
    let mut runs = Vec::new();
    let mut at = 0;
    while at < marks.len() {
        if starts_run(marks, at) {
            let good_pair = |i: &usize| !marks[*i].bad && marks.get(i + 1).is_none_or(|next| !next.bad);
            let end = (at + 1..marks.len()).find(good_pair).unwrap_or(marks.len());
            runs.push(BadRun { first: at, end });
            at = end;
        } else {
            at += 1;
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `.` good, `x` bad, `X` severe.
    fn marks_of(text: &str) -> Vec<Mark> {
        let mark = |(i, c): (usize, char)| Mark {
            window: i,
            start_s: i as f64,
            end_s: i as f64 + 1.0,
            bad: c != '.',
            severe: c == 'X',
        };
        text.chars().enumerate().map(mark).collect()
    }

    #[test]
    fn a_run_is_two_bad_of_three_or_one_severe() {
        for (text, runs) in [
            ("......", vec![]),
            ("..x...", vec![]),
            ("..x..x", vec![]),
            ("..xx..", vec![(2, 4)]),
            ("..x.x.", vec![(2, 5)]),
            ("..X...", vec![(2, 3)]),
            ("xx.x.x..xx", vec![(0, 6), (8, 10)]),
            ("..x.xx", vec![(2, 6)]),
            (".x", vec![]),
            ("xx", vec![(0, 2)]),
            ("x.x", vec![(0, 3)]),
            ("XX.X", vec![(0, 4)]),
        ] {
            let found: Vec<(usize, usize)> =
                bad_runs(&marks_of(text)).into_iter().map(|run| (run.first, run.end)).collect();
            assert_eq!(found, runs, "{text}");
        }
    }

    proptest! {
        #[test]
        fn runs_are_in_order_begin_bad_and_leave_no_two_of_three_outside(text in "[.xX]{0,40}") {
            let marks = marks_of(&text);
            let runs = bad_runs(&marks);
            let inside = |i: usize| runs.iter().any(|run| (run.first..run.end).contains(&i));
            for run in &runs {
                prop_assert!(marks[run.first].bad && run.first < run.end);
            }
            prop_assert!(runs.windows(2).all(|pair| pair[0].end < pair[1].first));
            for i in 0..marks.len() {
                prop_assert!(inside(i) || !marks[i].severe);
                prop_assert!(inside(i) || !starts_run(&marks, i));
            }
        }
    }
}
