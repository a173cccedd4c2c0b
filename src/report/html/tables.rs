//! The tables of a run: the proof that the fault hit, the driver, expectations, the gate, every window.

use std::fmt::Write;

use super::super::figures::quantile;
use super::super::{terminal::harmless, words};
use super::markup::Text;
use crate::results::{PlanSummary, Quantiles, Run, Window};
use crate::units::{show_count, show_moment, show_number, show_seconds, show_setting, show_share};

/// A table that scrolls sideways on its own when it is wider than the page.
fn table(class: &str, head: &[&str], rows: &str) -> String {
    let head: String = head.iter().map(|name| format!("<th scope=\"col\">{}</th>", Text(name))).collect();
    format!(
        r#"<div class="scroll"><table class="{class}"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"#
    )
}

fn cells(values: &[String]) -> String {
    values.iter().map(|value| format!("<td>{}</td>", Text(value))).collect()
}

fn dash<T>(value: Option<T>, show: impl Fn(T) -> String) -> String {
    value.map_or("-".to_owned(), show)
}

pub(super) fn rules(run: &Run) -> String {
    if run.rules.is_empty() {
        return "<p>No rule was in force.</p>".to_owned();
    }
    let mut rows = String::new();
    for rule in &run.rules {
        let counts =
            [rule.matched, rule.triggered, rule.injected, rule.limited, rule.skipped, rule.released, rule.departed];
        let trouble = harmless(rule).map_or(String::new(), |why| format!(r#"<strong class="fail">{why}</strong>"#));
        let _ = write!(
            rows,
            "<tr><th scope=\"row\">{}<small>{}</small>{trouble}</th>{}</tr>",
            Text(&rule.rule),
            Text(&rule.summary),
            cells(&counts.map(show_count))
        );
    }
    let head = ["rule", "matched", "triggered", "injected", "limited", "skipped", "released", "client left"];
    table("numbers rules", &head, &rows)
}

pub(super) fn expectations(run: &Run) -> String {
    let mut rows = String::new();
    for expectation in &run.expectations {
        let state = words::state(expectation.state);
        let _ = write!(
            rows,
            r#"<tr><td><strong class="state {state}">{state}</strong></td><td><code>{}</code></td><td>{}</td></tr>"#,
            Text(&expectation.text),
            Text(&expectation.measured)
        );
    }
    if rows.is_empty() {
        return "<p>None were written down: the outcome alone decides.</p>".to_owned();
    }
    table("words", &["", "expected", "measured"], &rows)
}

pub(super) fn driver(run: &Run) -> String {
    let load = &run.load;
    let (all, _, invalid) = words::judged(&run.windows);
    let health = if load.driver_limited {
        "<strong class=\"fail\">The driver was the limit for part of the time.</strong>"
    } else {
        "The driver was not the limit."
    };
    let mut text = format!(
        "<p>{health} It sent {} requests, {} a second ({} planned), over {} connections; {} arrivals could not be sent in time. {} of {} windows are invalid.</p>",
        show_count(load.requests),
        show_number(load.achieved_per_s),
        dash(load.offered_per_s, show_number),
        show_count(load.connections_opened),
        show_count(load.missed),
        show_count(invalid as u64),
        show_count(all as u64),
    );
    let mut rows = String::new();
    let named = [
        ("latency", "from the intended start", load.latency_s),
        ("service time", "from the actual send", load.service_s),
        ("lag", "actual after intended start", load.lag_s),
    ];
    for (name, what, quantiles) in named {
        let each = |q: Quantiles| [q.p50, q.p90, q.p99, q.p999, q.max].map(Some);
        let values = quantiles.map_or([None; 5], each).map(show_seconds);
        let _ = write!(rows, "<tr><th scope=\"row\">{name}<small>{what}</small></th>{}</tr>", cells(&values));
    }
    text += &table("numbers", &["", "p50", "p90", "p99", "p99.9", "max"], &rows);
    if !load.errors.is_empty() {
        let kinds: Vec<_> =
            load.errors.iter().map(|(kind, n)| format!("{} <code>{}</code>", show_count(*n), Text(kind))).collect();
        let _ = write!(text, "<p>Errors by kind: {}.</p>", kinds.join(", "));
    }
    text
}

/// What normal was and where good ends, by both gates.
pub(super) fn gate(run: &Run, plan: &PlanSummary) -> String {
    let Some(base) = &run.baseline else {
        return "<p>There is no baseline, so no window was judged.</p>".to_owned();
    };
    let other = if plan.mode == "slo" { "relative" } else { "slo" };
    let judged = format!("{} latency", quantile(plan.quantile));
    let limits = |of: fn(&crate::results::Thresholds) -> Option<f64>| {
        [run.gate, run.thresholds].map(|gate| gate.as_ref().and_then(of))
    };
    let share = limits(|gate| gate.attainment_min).map(|limit| dash(limit, |a| format!("at least {}", show_share(a))));
    let slow =
        limits(|gate| gate.latency_max_s).map(|limit| dash(limit, |s| format!("at most {}", show_seconds(Some(s)))));
    let many = limits(|gate| gate.in_flight_max).map(|limit| dash(limit, |n| format!("at most {}", show_number(n))));
    let rows: String = [
        ("attainment", show_share(base.attainment), share),
        (judged.as_str(), show_seconds(base.p_q_s), slow),
        ("in flight, 95% of windows", show_number(base.in_flight_p95), many),
        ("good requests a second", show_number(base.goodput_per_s), ["-".to_owned(), "-".to_owned()]),
    ]
    .into_iter()
    .map(|(name, normal, [gate, other])| {
        format!("<tr><th scope=\"row\">{name}</th>{}</tr>", cells(&[normal, gate, other]))
    })
    .collect();
    let judged_by = format!("good, {} gate", plan.mode);
    let compare = format!("{other} gate, not used");
    format!(
        "{}<p>Normal is the median of {} windows from {} to {}; attainment varied by {} in them. {}</p>",
        table("numbers", &["", "normal", &judged_by, &compare], &rows),
        base.windows,
        show_setting(base.from_s),
        show_setting(base.to_s),
        show_share(base.attainment_cv),
        match base.smallest_visible_drop {
            Some(drop) => format!("The smallest fall that could have been seen is {}.", words::points(drop)),
            None => "How small a fall could have been seen is not known.".to_owned(),
        }
    )
}

pub(super) fn windows(windows: &[Window]) -> String {
    let mut rows = String::new();
    for w in windows {
        let judged = match (w.valid, w.bad) {
            (false, _) => "invalid",
            (true, Some(true)) => "bad",
            (true, Some(false)) => "good",
            (true, None) => "-",
        };
        let counts = [w.sent, w.good, w.success.saturating_sub(w.good), w.errors, w.timeouts, w.missed].map(show_count);
        let mut values = vec![w.phase.name().to_owned(), judged.to_owned()];
        values.extend(counts);
        values.push(dash(w.attainment, show_share));
        values.extend([w.p50_s, w.p95_s, w.p99_s].map(show_seconds));
        values.extend([show_number(w.in_flight), show_seconds(Some(w.lag_p99_s))]);
        let _ = write!(rows, "<tr><th scope=\"row\">{}</th>{}</tr>", show_moment(w.start_s), cells(&values));
    }
    let head = [
        "start",
        "phase",
        "judged",
        "sent",
        "good",
        "too late",
        "errors",
        "timeouts",
        "not sent",
        "attainment",
        "p50",
        "p95",
        "p99",
        "in flight",
        "lag p99",
    ];
    table("numbers windows", &head, &rows)
}
