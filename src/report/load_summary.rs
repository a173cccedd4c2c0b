//! What `brownout load` prints at its end: a summary in 80 columns, or [`LoadTotals`] as JSON.

use std::io::{self, Write};

use super::terminal::{Page, Style};
use crate::results::{LoadTotals, Quantiles};
use crate::units::{show_count, show_number, show_seconds, show_share};

/// One load command: what was asked for and what came of it.
#[derive(Debug, Clone, Copy)]
pub struct LoadSummary<'a> {
    /// Where the load went.
    pub target: &'a str,
    /// How long requests were sent for, in seconds.
    pub seconds: f64,
    /// What the driver counted.
    pub totals: &'a LoadTotals,
}

impl LoadSummary<'_> {
    /// The totals as they are, indented, with a line's end.
    ///
    /// # Errors
    /// Only those of `out`.
    pub fn write_json(&self, out: &mut dyn Write) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut *out, self.totals)?;
        out.write_all(b"\n")
    }

    /// The summary for people; `colour` as in [`Terminal`](super::terminal::Terminal).
    ///
    /// # Errors
    /// Only those of `out`.
    pub fn write_text(&self, colour: bool, out: &mut dyn Write) -> io::Result<()> {
        let page = &mut Page::new(out, colour);
        page.text(0, &format!("{} for {}", self.target, show_seconds(Some(self.seconds))))?;
        self.requests(page)?;
        self.latency(page)?;
        self.errors(page)?;
        self.trouble(page)
    }

    fn requests(&self, page: &mut Page<'_>) -> io::Result<()> {
        let totals = self.totals;
        let offered = totals.offered_per_s.map_or("closed loop: as fast as answers came".to_owned(), |rate| {
            format!("a second; {} a second were offered", show_number(rate))
        });
        page.heading("Requests", "")?;
        page.row("sent", &show_count(totals.requests), "requests issued by the driver")?;
        page.row("achieved", &show_number(totals.achieved_per_s), &offered)?;
        page.row("good", &share(totals.good, totals.requests), &format!("{} requests", show_count(totals.good)))?;
        page.row("missed", &show_count(totals.missed), "arrivals that could not be sent in time")?;
        page.row("connections", &show_count(totals.connections_opened), "opened")
    }

    fn latency(&self, page: &mut Page<'_>) -> io::Result<()> {
        page.heading("Latency", "")?;
        page.line(&format!("    {:<10}{:>10}{:>10}{:>10}{:>10}{:>10}", "", "p50", "p90", "p99", "p99.9", "max"))?;
        let rows = [("latency", self.totals.latency_s), ("service", self.totals.service_s), ("lag", self.totals.lag_s)];
        for (name, quantiles) in rows {
            let cells: String = cells(quantiles).iter().map(|cell| format!("{cell:>10}")).collect();
            page.line(&format!("    {name:<10}{cells}"))?;
        }
        page.text(4, "latency counts from the intended start, service from the actual send,")?;
        page.text(4, "lag lies between the two")
    }

    fn errors(&self, page: &mut Page<'_>) -> io::Result<()> {
        if self.totals.errors.is_empty() {
            return Ok(());
        }
        page.heading("Errors", "")?;
        for (kind, count) in &self.totals.errors {
            page.hanging(&format!("    {:>12}  ", show_count(*count)), kind, Style::Bad)?;
        }
        Ok(())
    }

    fn trouble(&self, page: &mut Page<'_>) -> io::Result<()> {
        if self.totals.driver_limited {
            let text = "the driver, not the target, was the limit for part of the time: these figures are its own";
            page.blank()?;
            page.hanging("  ", text, Style::Bad)?;
        }
        Ok(())
    }
}

fn cells(quantiles: Option<Quantiles>) -> [String; 5] {
    let each = |q: Quantiles| [q.p50, q.p90, q.p99, q.p999, q.max].map(Some);
    quantiles.map_or([None; 5], each).map(show_seconds)
}

fn share(part: u64, whole: u64) -> String {
    if whole == 0 { "-".to_owned() } else { show_share(part as f64 / whole as f64) }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    fn text(totals: &LoadTotals, target: &str) -> String {
        let mut out = Vec::new();
        LoadSummary { target, seconds: 140.0, totals }.write_text(false, &mut out).expect("a vector takes everything");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn a_load_with_errors_reads_like_this() {
        let run = fixture::recovered_late().runs.remove(0);
        insta::assert_snapshot!(text(&run.load, "http://127.0.0.1:8080/checkout"));
    }

    #[test]
    fn a_load_without_an_answer_has_no_latency_and_no_share() {
        let totals = LoadTotals { driver_limited: true, ..LoadTotals::default() };
        insta::assert_snapshot!(text(&totals, "http://127.0.0.1:1/"));
    }

    #[test]
    fn long_names_stay_within_eighty_columns() {
        let run = fixture::awkward_names().runs.remove(0);
        for line in text(&run.load, &fixture::awkward_names().plan.target).lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }

    #[test]
    fn the_json_has_the_documented_keys_and_reads_back() {
        let run = fixture::recovered_late().runs.remove(0);
        let mut out = Vec::new();
        let summary = LoadSummary { target: "http://127.0.0.1:8080", seconds: 1.0, totals: &run.load };
        summary.write_json(&mut out).expect("a vector takes everything");
        let value: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
        for key in ["offered_per_s", "achieved_per_s", "requests", "good", "missed", "errors", "driver_limited"] {
            assert!(!value[key].is_null(), "{key}");
        }
        for block in ["latency_s", "service_s", "lag_s"] {
            for quantile in ["p50", "p90", "p99", "p999", "max"] {
                assert!(value[block][quantile].is_f64(), "{block}.{quantile}");
            }
        }
        assert_eq!(serde_json::from_value::<LoadTotals>(value).expect("totals"), run.load);
    }
}
