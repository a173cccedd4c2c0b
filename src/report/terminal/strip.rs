//! Attainment over time as one line of blocks, with the fault and what was found under it.

use crate::results::{Run, Window};
use crate::units::show_seconds;

/// Columns of the strip.
const COLUMNS: usize = 72;
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The strip's lines, without indent. Empty when there are no windows.
pub(super) struct Strip {
    pub(super) columns: Vec<Column>,
    /// Where the fault was on.
    pub(super) fault: String,
    /// Onset and recovery, each with its time.
    pub(super) marks: Vec<String>,
    /// Time that one column stands for.
    pub(super) column_s: f64,
}

/// One column of the strip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Column {
    /// Its attainment; never a full block when one of its windows is bad.
    pub(super) block: char,
    pub(super) bad: bool,
}

/// Draws the run, or nothing when it has no windows.
pub(super) fn strip(run: &Run) -> Option<Strip> {
    let (first, last) = (run.windows.first()?, run.windows.last()?);
    let (from, to) = (first.start_s, last.start_s + last.width_s);
    // A column never stands for less than a window, else a gap would look like a fault.
    let columns = run.windows.len().min(COLUMNS);
    let column_s = (to - from) / columns as f64;
    let at = |t: f64| (((t - from) / column_s).floor().max(0.0) as usize).min(columns - 1);
    let mut grouped: Vec<Vec<&Window>> = vec![Vec::new(); columns];
    for window in &run.windows {
        grouped[at(window.start_s + window.width_s / 2.0)].push(window);
    }
    let reached = |t: f64| t < to;
    let fault = (0..columns)
        .map(|i| match from + (i as f64 + 0.5) * column_s {
            t if reached(run.edges.t_on) && (run.edges.t_on..run.edges.t_off).contains(&t) => '━',
            t if t < run.edges.t_on => '·',
            _ => ' ',
        })
        .collect();
    let recovery = &run.recovery;
    let onset = format!("onset {} after fault-on", show_seconds(recovery.tti_s));
    let back = match recovery.recovered_at_s {
        Some(t) if t < run.edges.t_off => "recovered while the fault was on".to_owned(),
        _ => format!("recovered {} after fault-off", show_seconds(recovery.ttr_s)),
    };
    let marks = [(onset, recovery.onset_at_s), (back, recovery.recovered_at_s)];
    let marks = marks.iter().map(|(text, t)| t.map(|t| label(at(t), text)));
    Some(Strip {
        columns: grouped.iter().map(|windows| column(windows)).collect(),
        fault,
        marks: marks.flatten().collect(),
        column_s,
    })
}

fn column(windows: &[&Window]) -> Column {
    Column { block: block(windows), bad: windows.iter().any(|w| w.valid && w.bad == Some(true)) }
}

/// The attainment of some windows: `?` when none of them can be judged, a blank when nothing was sent.
fn block(windows: &[&Window]) -> char {
    let valid: Vec<_> = windows.iter().filter(|w| w.valid).collect();
    if valid.is_empty() {
        return if windows.iter().any(|w| w.planned > 0) { '?' } else { ' ' };
    }
    let sent: u64 = valid.iter().map(|w| w.sent).sum();
    let good: u64 = valid.iter().map(|w| w.good).sum();
    if sent == 0 {
        return ' ';
    }
    let level = (good as f64 / sent as f64 * LEVELS.len() as f64) as usize;
    let top = if valid.iter().any(|w| w.bad == Some(true)) { LEVELS.len() - 2 } else { LEVELS.len() - 1 };
    LEVELS[level.min(top)]
}

/// An arrow under a column with its text on the side that has room.
fn label(column: usize, text: &str) -> String {
    let length = text.chars().count();
    if column + 2 + length <= COLUMNS {
        format!("{}↑ {text}", " ".repeat(column))
    } else {
        format!("{}{text} ↑", " ".repeat(column.saturating_sub(length + 1)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::fixture;
    use super::*;

    #[test]
    fn a_run_without_windows_has_no_strip() {
        let mut run = fixture::recovered_late().runs.remove(0);
        run.windows.clear();
        assert!(strip(&run).is_none());
    }

    #[test]
    fn a_short_run_gets_one_column_per_window() {
        let mut run = fixture::recovered_late().runs.remove(0);
        run.windows.truncate(5);
        let blocks: String = strip(&run).expect("a strip").columns.iter().map(|column| column.block).collect();
        assert_eq!(blocks, "█████");
    }

    #[test]
    fn a_bad_window_never_looks_full_and_an_invalid_one_says_so() {
        let run = fixture::recovered_late().runs.remove(0);
        let mut window = run.windows[20].clone();
        assert_eq!(block(&[&window]), '█');
        window.bad = Some(true);
        assert_eq!(block(&[&window]), '▇');
        window.valid = false;
        assert_eq!(block(&[&window]), '?');
        window.planned = 0;
        assert_eq!(block(&[&window]), ' ');
    }
}
