//! The charts of a run, one above the other over the same time: attainment, latency, requests, in flight.

use super::super::figures::quantile;
use super::super::words;
use super::markup::Text;
use super::plot::Plot;
use super::scale::{Scale, Time};
use super::timeline;
use crate::results::{PlanSummary, Run, Window};
use crate::units::{show_number, show_seconds, show_setting, show_share};

/// What all charts of a run have in common.
pub(super) struct Canvas<'a> {
    pub(super) run: &'a Run,
    pub(super) plan: &'a PlanSummary,
    pub(super) time: Time,
}

/// All charts of a run with their time axis; nothing when the run has no windows.
pub(super) fn charts(run: &Run, plan: &PlanSummary) -> String {
    let (Some(first), Some(last)) = (run.windows.first(), run.windows.last()) else {
        return "<p>There are no windows to draw.</p>".to_owned();
    };
    let time = Time { from: first.start_s, to: last.start_s + last.width_s };
    let canvas = Canvas { run, plan, time };
    let story = words::story(run, plan);
    format!(
        r#"<div class="charts" tabindex="0" role="group" data-from="{}" data-to="{}" aria-label="Charts over time. Arrow keys move from window to window.">{}<div class="readout" hidden></div>{}{}{}{}{}</div>"#,
        time.from,
        time.to,
        timeline::timeline(&canvas),
        canvas.attainment(&story),
        canvas.latency(),
        canvas.requests(),
        canvas.in_flight(),
        canvas.axis(),
    )
}

/// From, to and a value of each window.
fn spans<'a, T>(windows: &'a [Window], value: impl Fn(&Window) -> T + 'a) -> impl Iterator<Item = (f64, f64, T)> + 'a {
    windows.iter().map(move |w| (w.start_s, w.start_s + w.width_s, value(w)))
}

/// What became of the requests of a window.
struct Layer {
    class: &'static str,
    name: &'static str,
    count: fn(&Window) -> u64,
}

/// From the bottom to the top of the chart.
static LAYERS: [Layer; 5] = [
    Layer { class: "good", name: "good", count: |w| w.good },
    Layer { class: "late", name: "too late", count: |w| w.success.saturating_sub(w.good) },
    Layer { class: "error", name: "error", count: |w| w.errors },
    Layer { class: "timeout", name: "timeout", count: |w| w.timeouts },
    Layer { class: "missed", name: "not sent", count: |w| w.missed },
];

/// The lowest layers of a window on top of each other; a rate, so that windows of any width compare.
fn stacked(window: &Window, layers: usize) -> f64 {
    LAYERS[..layers].iter().map(|layer| (layer.count)(window)).sum::<u64>() as f64 / window.width_s
}

fn highest(values: impl Iterator<Item = f64>) -> f64 {
    values.filter(|value| value.is_finite()).fold(0.0, f64::max)
}

fn key(class: &str, name: &str) -> String {
    format!(r#"<span class="key {class}"><i></i>{}</span>"#, Text(name))
}

fn figure(name: &str, what: &str, keys: &[String], svg: &str) -> String {
    format!(
        r#"<figure class="chart"><figcaption><b>{}</b> <span>{}</span><span class="keys">{}</span></figcaption>{svg}</figure>"#,
        Text(name),
        Text(what),
        keys.concat()
    )
}

impl Canvas<'_> {
    /// When the fault was on, as far as the run went.
    pub(super) fn fault(&self) -> Option<(f64, f64)> {
        let (on, off) = (self.run.edges.t_on, self.run.edges.t_off.min(self.time.to));
        (on < off).then_some((on, off))
    }

    /// A plot with everything that does not depend on what it shows.
    fn plot(&self, scale: Scale, height: f64, show: impl Fn(f64) -> String) -> Plot {
        let mut plot = Plot::new(self.time, scale, height);
        if let Some((on, off)) = self.fault() {
            plot.band("fault", on, off);
        }
        if let (Some((low, high)), off) = (self.run.recovery.ttr_interval_s, self.run.edges.t_off) {
            plot.band("interval", off + low, off + high);
        }
        plot.grid(show);
        for w in self.run.windows.iter().filter(|w| !w.valid) {
            plot.band("invalid", w.start_s, w.start_s + w.width_s);
        }
        plot
    }

    /// Adds the moments in front of everything else.
    fn moments(&self, plot: &mut Plot) {
        let recovery = &self.run.recovery;
        for (class, t) in [("onset", recovery.onset_at_s), ("back", recovery.recovered_at_s)] {
            if let Some(t) = t {
                plot.moment(class, t);
            }
        }
    }

    fn attainment(&self, story: &str) -> String {
        let windows = &self.run.windows;
        let mut plot = self.plot(Scale::Linear(1.0), 150.0, |share| format!("{:.0}%", share * 100.0));
        let mut keys = vec![key("share", "attainment")];
        if let Some(base) = &self.run.baseline {
            let lost = windows.iter().filter(|w| w.valid && w.bad == Some(true));
            let lost = lost.filter_map(|w| Some((w.start_s, w.start_s + w.width_s, w.attainment?, base.attainment)));
            let lost: Vec<_> = lost.filter(|(_, _, low, high)| low < high).collect();
            if !lost.is_empty() {
                plot.area("loss", lost.into_iter());
                keys.push(key("loss", "resilience loss"));
            }
        }
        plot.steps("good", spans(windows, |w| w.attainment));
        if let Some(least) = self.run.gate.and_then(|gate| gate.attainment_min) {
            plot.limit("", least, &format!("good from {}", show_share(least)));
        }
        self.moments(&mut plot);
        figure(
            "Attainment",
            "share of requests that were good",
            &keys,
            &plot.svg(&format!("Attainment over time. {story}")),
        )
    }

    fn latency(&self) -> String {
        let windows = &self.run.windows;
        let judged = quantile(self.plan.quantile);
        let all = windows.iter().flat_map(|w| [w.p50_s, w.p_q_s]).flatten().filter(|latency| *latency > 0.0);
        let lowest = all.clone().fold(f64::MAX, f64::min);
        let most = highest(all).max(self.run.gate.and_then(|gate| gate.latency_max_s).unwrap_or(0.0));
        if most <= 0.0 {
            return figure("Latency", "nothing was answered: there is none", &[], "");
        }
        let mut plot = self.plot(Scale::log_over(lowest.min(most), most), 150.0, show_setting);
        plot.steps("p50", spans(windows, |w| w.p50_s));
        plot.steps("pq", spans(windows, |w| w.p_q_s));
        if let Some(limit) = self.run.gate.and_then(|gate| gate.latency_max_s) {
            plot.limit("", limit, &format!("good {judged} up to {}", show_seconds(Some(limit))));
        }
        self.moments(&mut plot);
        let what = format!("from the intended start; a timeout counts as {}", show_setting(self.plan.timeout_s));
        let summary = format!("p50 and {judged} latency over time, at most {}", show_seconds(Some(most)));
        figure("Latency", &what, &[key("p50", "p50"), key("pq", &judged)], &plot.svg(&summary))
    }

    fn requests(&self) -> String {
        let windows = &self.run.windows;
        let most = highest(windows.iter().map(|w| stacked(w, LAYERS.len())));
        let mut plot = self.plot(Scale::linear_over(most), 120.0, show_number_short);
        let mut keys = Vec::new();
        for (i, layer) in LAYERS.iter().enumerate() {
            if windows.iter().any(|w| (layer.count)(w) > 0) {
                let present = windows.iter().filter(|w| (layer.count)(w) > 0);
                plot.area(
                    layer.class,
                    present.map(|w| (w.start_s, w.start_s + w.width_s, stacked(w, i), stacked(w, i + 1))),
                );
                keys.push(key(layer.class, layer.name));
            }
        }
        self.moments(&mut plot);
        let good = self.run.baseline.as_ref().map_or("-".to_owned(), |base| show_number(base.goodput_per_s));
        let summary = format!("Requests a second by result; normally {good} good ones");
        figure("Requests a second", "by intended start", &keys, &plot.svg(&summary))
    }

    fn in_flight(&self) -> String {
        let windows = &self.run.windows;
        let limit = self.run.gate.and_then(|gate| gate.in_flight_max);
        let most = highest(windows.iter().map(|w| w.in_flight)).max(limit.unwrap_or(0.0));
        let mut plot = self.plot(Scale::linear_over(most), 100.0, show_number_short);
        plot.steps("flight", spans(windows, |w| Some(w.in_flight)));
        if let Some(limit) = limit {
            plot.limit("", limit, &format!("good up to {}", show_number(limit)));
        }
        self.moments(&mut plot);
        let summary = format!("Requests in flight over time, at most {}", show_number(most));
        figure("In flight", "mean of requests under way", &[key("flight", "in flight")], &plot.svg(&summary))
    }

    fn axis(&self) -> String {
        let labels: String = self
            .time
            .ticks(8)
            .into_iter()
            .map(|t| format!(r#"<span style="left:{:.3}%">{}</span>"#, self.time.percent(t), show_setting(t)))
            .collect();
        format!(r#"<div class="axis" aria-hidden="true">{labels}</div>"#)
    }
}

/// An axis label: no digits that a round number does not need.
fn show_number_short(number: f64) -> String {
    let text = show_number(number);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}
