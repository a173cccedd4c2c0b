//! The section of one run, and what stands before and after all of them.

use std::fmt::Write;

use super::super::figures::{Figure, figures, quantile};
use super::super::words;
use super::markup::Text;
use super::plot::Plot;
use super::scale::{Scale, Time};
use super::{charts, list, tables, terms};
use crate::results::{ExperimentResult, PlanSummary, Recovery, Run};
use crate::units::{show_count, show_number, show_seconds, show_setting, show_share};

/// A table of all runs with a small chart each; nothing for a single one.
pub(super) fn overview(result: &ExperimentResult) -> String {
    if result.runs.len() < 2 {
        return String::new();
    }
    let mut rows = String::new();
    for run in &result.runs {
        let recovery = &run.recovery;
        let censored = recovery.censored_at_s.map(|at| format!("> {}", show_setting(at)));
        let interval = recovery
            .ttr_interval_s
            .map(|(low, high)| format!("{} to {}", show_seconds(Some(low)), show_seconds(Some(high))));
        let _ = write!(
            rows,
            "<tr><th scope=\"row\"><a href=\"#run-{0}\">run {0}</a></th><td>{1}</td><td>{2}</td><td>{3}</td><td>{4}</td><td class=\"small-chart\">{5}</td></tr>",
            run.index,
            recovery.outcome.name(),
            censored.unwrap_or_else(|| show_seconds(recovery.ttr_s)),
            interval.as_deref().unwrap_or("-"),
            recovery.depth.map_or("-".to_owned(), show_share),
            small_chart(run),
        );
    }
    format!(
        "<section><h2>Runs</h2><div class=\"scroll\"><table class=\"numbers overview\"><thead><tr><th scope=\"col\">run</th><th scope=\"col\">outcome</th><th scope=\"col\">time to recover</th><th scope=\"col\">95% interval</th><th scope=\"col\">depth</th><th scope=\"col\">attainment</th></tr></thead><tbody>{rows}</tbody></table></div></section>"
    )
}

fn small_chart(run: &Run) -> String {
    let (Some(first), Some(last)) = (run.windows.first(), run.windows.last()) else { return "-".to_owned() };
    let time = Time { from: first.start_s, to: last.start_s + last.width_s };
    let mut plot = Plot::new(time, Scale::Linear(1.0), 30.0);
    plot.band("fault", run.edges.t_on, run.edges.t_off);
    plot.steps("good", run.windows.iter().map(|w| (w.start_s, w.start_s + w.width_s, w.attainment)));
    if let Some(back) = run.recovery.recovered_at_s {
        plot.moment("back", back);
    }
    plot.svg(&format!("Attainment over time in run {}", run.index))
}

/// Everything about one run.
pub(super) fn section(run: &Run, result: &ExperimentResult) -> String {
    let plan = &result.plan;
    let several = result.runs.len() > 1;
    let head = if several {
        let line = words::run_headline(run, plan);
        format!("<h2 class=\"run-name\">Run {} <span>{}, seed {}</span></h2>", run.index, Text(line), run.seed)
    } else {
        String::new()
    };
    format!(
        concat!(
            "<section class=\"run\" id=\"run-{index}\">{head}{story}",
            "{tiles}{charts}",
            "<div class=\"columns\"><section><h3>Expectations</h3>{expectations}</section>",
            "<section><h3>Remarks</h3>{notes}</section></div>",
            "<section><h3>Did the fault hit?</h3>{rules}</section>",
            "<div class=\"columns\"><section><h3>Normal and good</h3>{gate}</section>",
            "<section><h3>Load driver</h3>{driver}</section></div>",
            "<details><summary>All {count} windows</summary>{windows}</details></section>"
        ),
        index = run.index,
        head = head,
        story = story(run, plan),
        tiles = tiles(run, plan),
        charts = charts::charts(run, plan),
        expectations = tables::expectations(run),
        notes = list(&remarks(run, result)),
        rules = tables::rules(run),
        gate = tables::gate(run, plan),
        driver = tables::driver(run),
        count = run.windows.len(),
        windows = tables::windows(&run.windows),
    )
}

/// What happened, for those who were not there; nothing where nothing could be told.
fn story(run: &Run, plan: &PlanSummary) -> String {
    let story = words::story(run, plan);
    if story.is_empty() { story } else { format!("<p class=\"story\">{}</p>", Text(story)) }
}

/// Why the outcome is what it is, unless the headline has said so, and all that qualifies the figures.
fn remarks(run: &Run, result: &ExperimentResult) -> Vec<String> {
    let Recovery { outcome, reason, .. } = &run.recovery;
    let said = result.reasons.iter().any(|said| said.contains(reason.as_str()));
    let why = (!said).then(|| format!("{}: {reason}", outcome.name()));
    why.into_iter().chain(run.notes.iter().cloned()).chain(words::caveats(&result.plan)).collect()
}

fn tiles(run: &Run, plan: &PlanSummary) -> String {
    let figures = figures(run, plan);
    let (columns, first) = columns(figures.len());
    let tile = |figure: &Figure| {
        let class = if figure.value == "-" { "tile none" } else { "tile" };
        let (value, note) = (Text(&figure.value), Text(&figure.note));
        format!("<div class=\"{class}\"><h4>{}</h4><b>{value}</b><p>{note}</p></div>", figure.label)
    };
    let tiles: String = figures.iter().map(tile).collect();
    format!("<div class=\"tiles\" style=\"--columns:{columns};--first:{first}\">{tiles}</div>")
}

/// How many tiles stand in a row, and how many places the first and most important of them takes: so that the last
/// row is as full as can be, rather with six in a row and two for the first.
fn columns(tiles: usize) -> (usize, usize) {
    let choices = [(6, 2), (6, 1), (6, 3), (5, 2), (5, 1), (5, 3)];
    let empty = |&(columns, first): &(usize, usize)| (columns - (tiles + first - 1) % columns) % columns;
    choices.into_iter().min_by_key(empty).unwrap_or((6, 2))
}

/// What was planned, after the defaults were filled in.
pub(super) fn plan(plan: &PlanSummary) -> String {
    let phases =
        [("warm-up", plan.warmup_s), ("steady", plan.steady_s), ("fault", plan.fault_s), ("watch", plan.recovery_s)];
    let phases = phases.map(|(name, length)| format!("{name} {}", show_setting(length))).join(", ");
    let windows =
        format!("{} of {} requests", show_setting(plan.window_s), show_count((plan.rate_per_s * plan.window_s) as u64));
    let confirmed = format!("{} windows, then a hold of {}", plan.confirm_windows, show_setting(plan.hold_s));
    let terms = terms(&[
        ("target", plan.target.clone()),
        ("load", format!("{} a second, {} arrivals", show_number(plan.rate_per_s), plan.arrivals)),
        ("client timeout", show_setting(plan.timeout_s)),
        ("a good answer takes at most", show_setting(plan.good_latency_s)),
        ("phases", phases),
        ("windows", windows),
        ("recovery is confirmed over", confirmed),
        ("windows are judged by", format!("{} gate, {}", plan.mode, quantile(plan.quantile))),
    ]);
    format!("{terms}<h4>Rules during the fault</h4>{}", list(&plan.rules))
}

#[cfg(test)]
mod tests {
    use super::columns;

    #[test]
    fn the_last_row_of_tiles_is_as_full_as_can_be() {
        for (tiles, expected) in [(7, (5, 3)), (9, (5, 2)), (10, (6, 3)), (11, (6, 2)), (12, (6, 1)), (13, (5, 3))] {
            assert_eq!(columns(tiles), expected, "{tiles} tiles");
        }
    }
}
