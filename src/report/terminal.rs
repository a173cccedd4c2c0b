//! The summary on the terminal: the verdict in words first, then what it rests on, in 80 columns.

mod page;
mod strip;

use std::io::{self, Write};
use std::path::PathBuf;

use page::{NO_BREAK, WIDTH, clip};
pub(super) use page::{Page, Style};
use strip::Column;

use super::{Format, figures, words};
use crate::results::{ExpectationState, ExperimentResult, LoadTotals, Outcome, PlanSummary, RuleReport, Run, Verdict};
use crate::units::{show_count, show_number, show_seconds, show_setting, show_share};

/// Writes the summary.
#[derive(Debug, Clone, Default)]
pub struct Terminal {
    /// Whether to write colour codes. The caller looks at `--color`, `NO_COLOR` and the kind of output.
    pub colour: bool,
    /// Where the page for people is, to be named in the last line.
    pub report: Option<PathBuf>,
}

impl Terminal {
    /// Without colour, without a report to name.
    pub const PLAIN: Self = Self { colour: false, report: None };
}

impl Format for Terminal {
    fn name(&self) -> &'static str {
        "terminal"
    }

    fn file(&self) -> Option<&'static str> {
        None
    }

    fn write(&self, result: &ExperimentResult, out: &mut dyn Write) -> io::Result<()> {
        let page = &mut Page::new(out, self.colour);
        verdict(page, result)?;
        if result.runs.len() > 1 {
            list_of_runs(page, result)?;
        }
        if let Some(run) = telling(&result.runs) {
            let remark = if result.runs.len() > 1 { format!("run {}: ", run.index) } else { String::new() };
            recovery(page, run, result, &remark)?;
            attainment(page, run)?;
            rules(page, &run.rules)?;
            driver(page, run)?;
            expectations(page, run)?;
            remarks(page, run, &result.plan)?;
        }
        if let Some(path) = &self.report {
            page.heading("Report", "")?;
            // Never broken, however long: a path is there to be copied.
            page.line(&format!("    {}", path.display()))?;
        }
        Ok(())
    }
}

fn style_of(verdict: Verdict) -> Style {
    match verdict {
        Verdict::Pass => Style::Good,
        Verdict::Fail => Style::Bad,
        Verdict::Inconclusive | Verdict::Invalid | Verdict::Interrupted => Style::Unsure,
    }
}

fn verdict(page: &mut Page<'_>, result: &ExperimentResult) -> io::Result<()> {
    page.text(0, &result.name)?;
    page.blank()?;
    let word = words::verdict(result.verdict);
    let headline = words::headline(result);
    page.hanging(&format!("  {word}  "), &headline, style_of(result.verdict))?;
    let indent = word.len() + 4;
    for reason in &result.reasons {
        page.text(indent, reason)?;
    }
    Ok(())
}

/// The run that a reader must see: the first that did not come back, else the one that took longest.
fn telling(runs: &[Run]) -> Option<&Run> {
    let came_back = |run: &&Run| matches!(run.recovery.outcome, Outcome::Recovered | Outcome::Withstood);
    let time = |run: &Run| run.recovery.ttr_s.unwrap_or(0.0);
    runs.iter().find(|run| !came_back(run)).or_else(|| runs.iter().max_by(|a, b| time(a).total_cmp(&time(b))))
}

fn list_of_runs(page: &mut Page<'_>, result: &ExperimentResult) -> io::Result<()> {
    page.heading("Runs", "")?;
    page.line(&format!("    {:>3}  {:<20}{:>10}  {:<23}{:>8}", "run", "outcome", "recovery", "95% interval", "depth"))?;
    for run in &result.runs {
        let recovery = &run.recovery;
        let time = recovery.censored_at_s.map(|at| format!("> {}", show_seconds(Some(at))));
        let interval = recovery.ttr_interval_s.map_or("-".to_owned(), |(low, high)| {
            format!("{} to {}", show_seconds(Some(low)), show_seconds(Some(high)))
        });
        page.line(&format!(
            "    {:>3}  {:<20}{:>10}  {interval:<23}{:>8}",
            run.index,
            recovery.outcome.name(),
            time.unwrap_or_else(|| show_seconds(recovery.ttr_s)),
            recovery.depth.map_or("-".to_owned(), show_share),
        ))?;
    }
    Ok(())
}

fn recovery(page: &mut Page<'_>, run: &Run, result: &ExperimentResult, remark: &str) -> io::Result<()> {
    page.heading("Recovery", &format!("{remark}{}", run.recovery.outcome.name()))?;
    if !result.reasons.contains(&run.recovery.reason) {
        page.text(4, &run.recovery.reason)?;
    }
    for figure in figures::figures(run, &result.plan) {
        page.row(figure.label, &figure.value, &figure.note)?;
    }
    if let (Outcome::Withstood, Some(base)) = (run.recovery.outcome, &run.baseline) {
        let drop = base.smallest_visible_drop.map_or("-".to_owned(), |drop| show_number(drop * 100.0));
        page.row("visible fall", &drop, "points: the smallest that would have been seen")?;
    }
    Ok(())
}

fn attainment(page: &mut Page<'_>, run: &Run) -> io::Result<()> {
    let Some(strip) = strip::strip(run) else { return Ok(()) };
    let scale = show_setting(strip.column_s);
    page.heading("Attainment", &format!("share of good requests; a column is {scale}, ━ the fault"))?;
    let blocks: String = strip.columns.chunk_by(|a, b| a.bad == b.bad).map(|same| colour(page, same)).collect();
    page.line(&format!("    {blocks}"))?;
    let fault = page.paint(Style::Unsure, strip.fault.trim_end());
    page.line(&format!("    {fault}"))?;
    for mark in &strip.marks {
        page.line(&format!("    {mark}"))?;
    }
    Ok(())
}

fn colour(page: &Page<'_>, same: &[Column]) -> String {
    let text: String = same.iter().map(|column| column.block).collect();
    if same.iter().any(|column| column.bad) { page.paint(Style::Bad, &text) } else { text }
}

fn rules(page: &mut Page<'_>, rules: &[RuleReport]) -> io::Result<()> {
    page.heading("Faults", "what each rule did, as the proxy counted")?;
    if rules.is_empty() {
        page.text(4, "no rule was in force")?;
    }
    for rule in rules {
        page.text(4, &format!("{}: {}", rule.rule, rule.summary))?;
        let always = [("matched", rule.matched), ("triggered", rule.triggered), ("injected", rule.injected)];
        let seldom = [
            ("limited", rule.limited),
            ("skipped", rule.skipped),
            ("released", rule.released),
            ("departed", rule.departed),
        ];
        let counts = always.into_iter().chain(seldom.into_iter().filter(|(_, n)| *n > 0));
        let line = counts.map(|(name, n)| format!("{name}{NO_BREAK}{}", show_count(n))).collect::<Vec<_>>().join(", ");
        page.text(6, &line)?;
        if let Some(trouble) = harmless(rule) {
            page.hanging("      ", trouble, Style::Bad)?;
        }
    }
    Ok(())
}

/// Why a rule did nothing, if it did nothing.
pub(super) fn harmless(rule: &RuleReport) -> Option<&'static str> {
    match (rule.matched, rule.triggered, rule.injected) {
        (0, _, _) => Some("it matched no request: the fault did not hit"),
        (_, 0, _) => Some("its trigger chose no request: the fault did not hit"),
        (_, _, 0) => Some("it injected nothing: the fault did not hit"),
        _ => None,
    }
}

fn driver(page: &mut Page<'_>, run: &Run) -> io::Result<()> {
    let LoadTotals { requests, missed, lag_s, driver_limited, .. } = &run.load;
    let (all, _, invalid) = words::judged(&run.windows);
    let health = if *driver_limited { "it was the limit for part of the time" } else { "it was not the limit" };
    page.heading("Driver", health)?;
    page.row("sent", &show_count(*requests), &format!("{} more could not be sent in time", show_count(*missed)))?;
    let lag = lag_s.map(|lag| lag.p99);
    let worst = show_seconds(lag_s.map(|lag| lag.max));
    page.row("lag p99", &show_seconds(lag), &format!("actual after intended send; worst {worst}"))?;
    page.row(
        "invalid windows",
        &show_count(invalid as u64),
        &format!("of {}; they are not judged", show_count(all as u64)),
    )
}

fn expectations(page: &mut Page<'_>, run: &Run) -> io::Result<()> {
    if run.expectations.is_empty() {
        return Ok(());
    }
    page.heading("Expectations", "")?;
    for expectation in &run.expectations {
        let style = match expectation.state {
            ExpectationState::Pass => Style::Good,
            ExpectationState::Fail => Style::Bad,
            ExpectationState::Inconclusive => Style::Unsure,
        };
        let state = page.paint(style, &format!("{:<9}", words::state(expectation.state)));
        page.line(&format!("    {state}{}", clip(&expectation.text, WIDTH - 13)))?;
        page.text(13, &format!("measured {}", expectation.measured))?;
    }
    Ok(())
}

fn remarks(page: &mut Page<'_>, run: &Run, plan: &PlanSummary) -> io::Result<()> {
    page.heading("Remarks", "")?;
    for remark in run.notes.iter().cloned().chain(words::caveats(plan)) {
        page.hanging("    - ", &remark, Style::Dim)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    fn written(terminal: &Terminal, result: &ExperimentResult) -> String {
        let mut out = Vec::new();
        terminal.write(result, &mut out).expect("a vector takes everything");
        String::from_utf8(out).expect("text")
    }

    fn without_codes(text: &str) -> String {
        let mut plain = String::new();
        let mut rest = text;
        while let Some((before, code)) = rest.split_once('\x1b') {
            plain.push_str(before);
            rest = code.split_once('m').map_or("", |(_, after)| after);
        }
        plain + rest
    }

    #[test]
    fn every_result_fits_eighty_columns() {
        for (name, result) in fixture::all() {
            for line in written(&Terminal::PLAIN, &result).lines() {
                assert!(line.chars().count() <= WIDTH, "{name}: {line}");
            }
        }
    }

    #[test]
    fn colour_changes_nothing_but_colour() {
        for (name, result) in fixture::all() {
            let coloured = written(&Terminal { colour: true, report: None }, &result);
            assert!(coloured.contains('\x1b'), "{name}");
            assert_eq!(without_codes(&coloured), written(&Terminal::PLAIN, &result), "{name}");
        }
    }

    #[test]
    fn a_name_from_a_file_cannot_send_codes_to_the_terminal() {
        assert!(!written(&Terminal::PLAIN, &fixture::awkward_names()).contains('\x1b'));
    }

    #[test]
    fn the_report_is_named_last_and_whole() {
        let path = PathBuf::from(format!("/somewhere/{}/report.html", "deep/".repeat(20)));
        let terminal = Terminal { colour: false, report: Some(path.clone()) };
        let text = written(&terminal, &fixture::withstood());
        assert_eq!(text.lines().last().map(str::trim), path.to_str());
    }

    #[test]
    fn a_late_recovery_reads_like_this() {
        insta::assert_snapshot!(written(&Terminal::PLAIN, &fixture::recovered_late()));
    }

    #[test]
    fn a_fault_that_was_withstood_reads_like_this() {
        insta::assert_snapshot!(written(&Terminal::PLAIN, &fixture::withstood()));
    }

    #[test]
    fn a_system_that_stays_down_reads_like_this() {
        insta::assert_snapshot!(written(&Terminal::PLAIN, &fixture::never_recovered()));
    }

    #[test]
    fn a_run_without_a_steady_state_reads_like_this() {
        insta::assert_snapshot!(written(&Terminal::PLAIN, &fixture::no_steady_state()));
    }

    #[test]
    fn an_interrupted_run_reads_like_this() {
        insta::assert_snapshot!(written(&Terminal::PLAIN, &fixture::interrupted()));
    }

    #[test]
    fn several_runs_read_like_this() {
        insta::assert_snapshot!(written(&Terminal::PLAIN, &fixture::repeated()));
    }
}
