//! One chart as inline SVG that fills any width: positions in percent, text and strokes in pixels.
//!
//! Data lies in an inner picture that is stretched to the width; its strokes do not stretch. So a chart needs no
//! script, no measuring and one markup for phone, desk and paper.

use std::fmt::Write;

use super::markup::Text;
use super::scale::{Scale, Time};

/// Width of the inner picture in its own units.
const INNER: f64 = 1000.0;

/// A chart under construction. Layers are drawn in the order in which they were added.
pub(super) struct Plot {
    time: Time,
    scale: Scale,
    height: f64,
    back: String,
    data: String,
    front: String,
}

impl Plot {
    pub(super) fn new(time: Time, scale: Scale, height: f64) -> Self {
        Self { time, scale, height, back: String::new(), data: String::new(), front: String::new() }
    }

    fn y(&self, value: f64) -> f64 {
        // Half a pixel keeps a stroke at either edge inside the picture.
        0.5 + (1.0 - self.scale.height(value)) * (self.height - 1.0)
    }

    fn x(&self, t: f64) -> f64 {
        self.time.percent(t) / 100.0 * INNER
    }

    /// A shaded time span behind the data.
    pub(super) fn band(&mut self, class: &str, from: f64, to: f64) {
        let (x, end) = (self.time.percent(from), self.time.percent(to));
        let _ = write!(
            self.back,
            r#"<rect class="{class}" x="{x:.3}%" y="0" width="{:.3}%" height="{}"/>"#,
            end - x,
            self.height
        );
    }

    /// Lines and labels of both axes.
    pub(super) fn grid(&mut self, show: impl Fn(f64) -> String) {
        for tick in self.scale.ticks() {
            let y = self.y(tick);
            let _ = write!(
                self.back,
                r#"<line class="grid" x1="0" x2="100%" y1="{y:.1}" y2="{y:.1}"/><text class="tick" x="-8" y="{:.1}">{}</text>"#,
                y + 3.5,
                Text(show(tick))
            );
        }
        for tick in self.time.ticks(8) {
            let x = self.time.percent(tick);
            let _ = write!(self.back, r#"<line class="grid" x1="{x:.3}%" x2="{x:.3}%" y1="0" y2="{}"/>"#, self.height);
        }
    }

    /// A value per span of time as a step line; a span without a value is a gap.
    pub(super) fn steps(&mut self, class: &str, values: impl Iterator<Item = (f64, f64, Option<f64>)>) {
        let mut path = String::new();
        let mut connected = false;
        for (from, to, value) in values {
            let Some(value) = value else {
                connected = false;
                continue;
            };
            let (x, end, y) = (self.x(from), self.x(to), self.y(value));
            let _ = if connected { write!(path, "V{y:.1}") } else { write!(path, "M{x:.2} {y:.1}") };
            let _ = write!(path, "H{end:.2}");
            connected = true;
        }
        let _ = write!(self.data, r#"<path class="line {class}" d="{path}"/>"#);
    }

    /// The space between two values per span of time.
    pub(super) fn area(&mut self, class: &str, spans: impl Iterator<Item = (f64, f64, f64, f64)>) {
        let mut path = String::new();
        for (from, to, low, high) in spans {
            let (x, end, bottom, top) = (self.x(from), self.x(to), self.y(low), self.y(high));
            let _ = write!(path, "M{x:.2} {bottom:.1}H{end:.2}V{top:.1}H{x:.2}Z");
        }
        let _ = write!(self.data, r#"<path class="area {class}" d="{path}"/>"#);
    }

    /// A limit across the whole chart, named at its left end above the line, or below where there is no room above.
    pub(super) fn limit(&mut self, class: &str, value: f64, name: &str) {
        let y = self.y(value);
        let label = if y > 16.0 { y - 4.0 } else { y + 12.0 };
        let _ = write!(
            self.front,
            r#"<line class="limit {class}" x1="0" x2="100%" y1="{y:.1}" y2="{y:.1}"/><text class="limit-name {class}" x="4" y="{label:.1}">{}</text>"#,
            Text(name)
        );
    }

    /// A moment across the whole chart.
    pub(super) fn moment(&mut self, class: &str, t: f64) {
        let x = self.time.percent(t);
        let _ = write!(
            self.front,
            r#"<line class="moment {class}" x1="{x:.3}%" x2="{x:.3}%" y1="0" y2="{}"/>"#,
            self.height
        );
    }

    /// The picture; `summary` is what someone who cannot see it is told.
    pub(super) fn svg(&self, summary: &str) -> String {
        let Self { height, back, data, front, .. } = self;
        format!(
            concat!(
                r#"<svg class="plot" width="100%" height="{height}" role="img" aria-label="{summary}">{back}"#,
                r#"<svg viewBox="0 0 {inner} {height}" width="100%" height="{height}" preserveAspectRatio="none">{data}</svg>"#,
                r#"{front}<line class="cross" x1="0" x2="0" y1="0" y2="{height}"/></svg>"#
            ),
            height = height,
            summary = Text(summary),
            back = back,
            inner = INNER,
            data = data,
            front = front,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_without_a_value_leaves_a_gap() {
        let mut plot = Plot::new(Time { from: 0.0, to: 4.0 }, Scale::Linear(1.0), 101.0);
        let values = [Some(1.0), Some(0.5), None, Some(0.0)];
        plot.steps("a", values.into_iter().enumerate().map(|(i, v)| (i as f64, i as f64 + 1.0, v)));
        assert_eq!(plot.data, r#"<path class="line a" d="M0.00 0.5H250.00V50.5H500.00M750.00 100.5H1000.00"/>"#);
    }

    #[test]
    fn a_summary_cannot_break_out_of_its_attribute() {
        let plot = Plot::new(Time { from: 0.0, to: 1.0 }, Scale::Linear(1.0), 10.0);
        assert!(plot.svg("\"><script>").contains("&quot;&gt;&lt;script&gt;"));
    }
}
