//! `report.html`: one file, no network, to be read on any screen and on paper, and kept with a post-mortem.
//!
//! Everything is drawn here; the script only adds the read-out, and the page says the same without it. The whole
//! result travels in the page as JSON.

mod charts;
mod markup;
mod plot;
mod run;
mod scale;
mod tables;
mod timeline;

use std::io::{self, Write};

use markup::Text;

use super::{Format, words};
use crate::results::{ExperimentResult, Verdict};

/// Writes the page.
pub struct Html;

impl Format for Html {
    fn name(&self) -> &'static str {
        "html"
    }

    fn file(&self) -> Option<&'static str> {
        Some("report.html")
    }

    fn write(&self, result: &ExperimentResult, out: &mut dyn Write) -> io::Result<()> {
        let word = words::verdict(result.verdict);
        let values = [
            ("title", Text(format!("{word}: {}", result.name)).to_string()),
            ("style", include_str!("html/style.css").to_owned()),
            ("class", class(result.verdict).to_owned()),
            ("symbol", symbol(result.verdict).to_owned()),
            ("verdict", word.to_owned()),
            ("name", Text(&result.name).to_string()),
            ("headline", Text(words::headline(result)).to_string()),
            ("reasons", list(&result.reasons)),
            ("facts", facts(result)),
            ("overview", run::overview(result)),
            ("runs", result.runs.iter().map(|run| run::section(run, result)).collect()),
            ("plan", run::plan(&result.plan)),
            ("environment", environment(result)),
            ("command", Text(words::command(&result.environment.command)).to_string()),
            ("seed", result.seed.to_string()),
            ("version", Text(&result.environment.version).to_string()),
            ("schema", Text(&result.schema).to_string()),
            ("data", markup::data(result)?),
            ("script", include_str!("html/read_out.js").to_owned()),
        ];
        let values: Vec<(&str, &str)> = values.iter().map(|(name, value)| (*name, value.as_str())).collect();
        out.write_all(markup::fill(TEMPLATE, &values).as_bytes())
    }
}

const TEMPLATE: &str = include_str!("html/template.html");

fn class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Fail => "fail",
        Verdict::Inconclusive | Verdict::Invalid | Verdict::Interrupted => "unsure",
    }
}

/// Tells verdicts apart where colour does not.
fn symbol(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "✓",
        Verdict::Fail => "✕",
        Verdict::Inconclusive => "?",
        Verdict::Invalid => "∅",
        Verdict::Interrupted => "■",
    }
}

fn list(items: &[String]) -> String {
    let items: String = items.iter().map(|item| format!("<li>{}</li>", Text(item))).collect();
    if items.is_empty() { items } else { format!("<ul>{items}</ul>") }
}

/// Names and values, one below the other or side by side as there is room.
fn terms(pairs: &[(&str, String)]) -> String {
    let pairs: String = pairs
        .iter()
        .map(|(name, value)| format!("<div><dt>{}</dt><dd>{}</dd></div>", Text(name), Text(value)))
        .collect();
    format!("<dl class=\"terms\">{pairs}</dl>")
}

fn facts(result: &ExperimentResult) -> String {
    let runs = if result.runs.len() == 1 { "1 run".to_owned() } else { format!("{} runs", result.runs.len()) };
    let facts = [result.started_at.clone(), runs, format!("exit code {}", result.exit_code), words::load(&result.plan)];
    facts.iter().map(|fact| format!("<span>{}</span>", Text(fact))).collect()
}

fn environment(result: &ExperimentResult) -> String {
    let environment = &result.environment;
    terms(&[
        ("brownout", environment.version.clone()),
        ("system", environment.os.clone()),
        ("processor", environment.cpu.clone().unwrap_or_else(|| "not told by the system".to_owned())),
        ("cores for this process", environment.cores.to_string()),
        ("started", result.started_at.clone()),
    ])
}

#[cfg(test)]
mod tests;
