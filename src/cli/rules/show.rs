//! Rules on a screen.

use std::fmt::Write;

use super::no_such_rule;
use crate::cli::remote::failed;
use crate::cli::{Outcome, output};
use crate::client::Client;
use crate::client::wire::{Rule, Rules};
use crate::diagnostics::nearest;
use crate::units::{show_count, show_duration, show_seconds};

/// One line for each rule.
pub(super) fn table(rules: &Rules) -> String {
    if rules.rules.is_empty() {
        return "no rules".to_owned();
    }
    let head = ["LAYER", "RULE", "STATE", "MATCHED", "INJECTED", "ACTIVE", "LAST MATCH"].map(str::to_owned);
    let rows = rules.rules.iter().map(|rule| {
        [
            rule.layer.clone(),
            rule.name.clone(),
            state(rule, rules.off),
            show_count(rule.counts.matched),
            show_count(rule.counts.injected),
            show_count(rule.counts.active),
            rule.last_matched_s_ago
                .map_or_else(|| "never".to_owned(), |ago| format!("{} ago", show_seconds(Some(ago)))),
        ]
    });
    let rows: Vec<[String; 7]> = std::iter::once(head).chain(rows).collect();
    let mut widths = [0; 7];
    for row in &rows {
        widths.iter_mut().zip(row).for_each(|(width, cell)| *width = cell.chars().count().max(*width));
    }
    let line = |row: &[String; 7]| {
        let cells = row.iter().zip(widths).enumerate().map(|(at, (cell, width))| match at {
            3..=5 => format!("{cell:>width$}"),
            _ => format!("{cell:<width$}"),
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Why a rule acts or does not.
fn state(rule: &Rule, off: bool) -> String {
    match (rule.enabled, rule.expired) {
        (false, _) => "disabled".to_owned(),
        (true, true) => "expired".to_owned(),
        (true, false) if off => "off".to_owned(),
        (true, false) if rule.resting => "resting".to_owned(),
        (true, false) => match rule.lease_left_s {
            Some(left) => format!("on, {} left", show_seconds(Some(left))),
            None => "on".to_owned(),
        },
    }
}

/// What somebody who looks at the list should know.
pub(super) fn warn(rules: &Rules) {
    if rules.off {
        output::note("note: all faults are off: nothing acts until \"brownout on\"");
    }
    if !rules.idle.is_empty() {
        let minute = show_duration(crate::rules::IDLE_AFTER);
        output::note(format_args!("note: nothing has matched for {minute}: {}", rules.idle.join(", ")));
    }
    if let Some(reload) = rules.last_reload.as_ref().filter(|reload| !reload.successful) {
        for problem in &reload.problems {
            output::note(format_args!("note: not taken over: {problem}"));
        }
    }
}

/// Shows one rule.
pub(super) async fn show(client: Client, name: String, layer: Option<String>) -> Outcome {
    let rules = client.rules().await.map_err(failed)?;
    let is_it = |rule: &&Rule| rule.name == name && layer.as_ref().is_none_or(|layer| *layer == rule.layer);
    let found: Vec<&Rule> = rules.rules.iter().filter(is_it).collect();
    if found.is_empty() {
        let cure = match nearest(&name, rules.rules.iter().map(|rule| rule.name.as_str())) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => "`brownout rules list` shows all".to_owned(),
        };
        return Err(no_such_rule(&name, &cure));
    }
    let pages: Vec<String> = found.into_iter().map(|rule| page(rule, rules.off)).collect();
    output::print(pages.join("\n\n"))?;
    Ok(0)
}

fn page(rule: &Rule, off: bool) -> String {
    let mut page = format!("{}/{}: {} ({})\n", rule.layer, rule.name, state(rule, off), rule.origin);
    let counts = |c: &crate::client::wire::Counts| {
        format!(
            "matched {}, triggered {}, limited {}, injected {}, skipped {}, released {}, departed {}, active {}",
            c.matched, c.triggered, c.limited, c.injected, c.skipped, c.released, c.departed, c.active
        )
    };
    // Writing to a String cannot fail.
    let _ = writeln!(page, "  {}", counts(&rule.counts));
    for fault in &rule.faults {
        let _ = writeln!(page, "  {}: {}\n    {}", fault.kind, fault.does, counts(&fault.counts));
    }
    if rule.idle {
        let _ = writeln!(page, "  nothing has matched it for {}", show_duration(crate::rules::IDLE_AFTER));
    }
    let json = serde_json::to_string_pretty(&rule.rule).unwrap_or_default();
    page.push_str(&json);
    page
}
