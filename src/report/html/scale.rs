//! Values to heights, times to positions, and the round numbers to label them with.

/// How values map to the height of a plot.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Scale {
    /// From 0 to this.
    Linear(f64),
    /// Between two positive values, equal ratios equally far apart.
    Log(f64, f64),
}

impl Scale {
    /// From 0 to a round number that holds the highest value.
    pub(super) fn linear_over(highest: f64) -> Self {
        let highest = if highest > 0.0 { highest } else { 1.0 };
        let step = nice_step(highest, 4);
        Self::Linear((highest / step).ceil() * step)
    }

    /// Between 1, 2 or 5 times a power of ten on both sides. Values must be positive.
    pub(super) fn log_over(lowest: f64, highest: f64) -> Self {
        let below = marks(lowest).filter(|mark| *mark <= lowest).fold(f64::MIN_POSITIVE, f64::max);
        let above = marks(highest).filter(|mark| *mark >= highest).fold(f64::MAX, f64::min);
        Self::Log(below, above.max(below * 10.0))
    }

    /// The height of a value, 0 at the bottom and 1 at the top; outside values stay at the edge.
    pub(super) fn height(self, value: f64) -> f64 {
        let height = match self {
            Self::Linear(top) => value / top,
            Self::Log(bottom, _) if value <= 0.0 => return if bottom > 0.0 { 0.0 } else { 1.0 },
            Self::Log(bottom, top) => (value / bottom).ln() / (top / bottom).ln(),
        };
        height.clamp(0.0, 1.0)
    }

    /// Round values to label, lowest first.
    pub(super) fn ticks(self) -> Vec<f64> {
        match self {
            Self::Linear(top) => {
                let step = nice_step(top, 4);
                (0..=(top / step).round() as usize).map(|i| i as f64 * step).collect()
            }
            Self::Log(bottom, top) => {
                let within = |mark: &f64| (bottom * 0.999..=top * 1.001).contains(mark);
                let decades = (top / bottom).log10();
                let every: Vec<f64> = decades_from(bottom)
                    .take(decades.ceil() as usize + 2)
                    .flat_map(|ten| if decades <= 2.0 { vec![ten, 2.0 * ten, 5.0 * ten] } else { vec![ten] })
                    .filter(within)
                    .collect();
                every
            }
        }
    }
}

fn decades_from(value: f64) -> impl Iterator<Item = f64> {
    let first = value.log10().floor() as i32;
    (first..).map(|exponent| 10f64.powi(exponent))
}

/// The marks 1, 2, 5 times a power of ten around a value.
fn marks(value: f64) -> impl Iterator<Item = f64> {
    decades_from(value / 10.0).take(3).flat_map(|ten| [ten, 2.0 * ten, 5.0 * ten])
}

/// 1, 2 or 5 times a power of ten, such that a span holds about `count` of them.
pub(super) fn nice_step(span: f64, count: usize) -> f64 {
    let rough = span / count as f64;
    let ten = 10f64.powf(rough.log10().floor());
    let factor = match rough / ten {
        r if r <= 1.0 => 1.0,
        r if r <= 2.0 => 2.0,
        r if r <= 5.0 => 5.0,
        _ => 10.0,
    };
    factor * ten
}

/// The time that all charts of a run share.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Time {
    pub(super) from: f64,
    pub(super) to: f64,
}

impl Time {
    /// Position of a moment in percent of the width; outside moments stay at the edge.
    pub(super) fn percent(self, t: f64) -> f64 {
        ((t - self.from) / (self.to - self.from) * 100.0).clamp(0.0, 100.0)
    }

    /// Round moments to label, about `count` of them.
    pub(super) fn ticks(self, count: usize) -> Vec<f64> {
        let span = self.to - self.from;
        // Minutes divide into 15 and 30 s, not into 20 and 50.
        let steps = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0];
        let step = steps.into_iter().find(|step| span / step <= count as f64).unwrap_or_else(|| nice_step(span, count));
        let first = (self.from / step).ceil() as i64;
        (first..).map(|i| i as f64 * step).take_while(|t| *t <= self.to + step * 1e-6).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linear_scale_ends_at_a_round_number() {
        assert_eq!(Scale::linear_over(640.0), Scale::Linear(800.0));
        assert_eq!(Scale::linear_over(0.0), Scale::Linear(1.0));
        assert_eq!(Scale::Linear(800.0).ticks(), [0.0, 200.0, 400.0, 600.0, 800.0]);
        assert_eq!(Scale::Linear(800.0).height(200.0), 0.25);
        assert_eq!(Scale::Linear(800.0).height(900.0), 1.0);
    }

    #[test]
    fn a_log_scale_holds_its_values_and_labels_decades() {
        let scale = Scale::log_over(0.0163, 2.0);
        let Scale::Log(bottom, top) = scale else { panic!("not a log scale") };
        assert!((bottom - 0.01).abs() < 1e-12 && (top - 2.0).abs() < 1e-12, "{scale:?}");
        assert!((scale.height(0.1) - 0.4346).abs() < 1e-3);
        assert_eq!(scale.ticks().len(), 3, "{:?}", scale.ticks());
        assert_eq!(scale.height(0.0), 0.0);
    }

    #[test]
    fn a_log_scale_over_one_value_spans_a_decade() {
        let Scale::Log(bottom, top) = Scale::log_over(0.05, 0.05) else { panic!("not a log scale") };
        assert!((top / bottom - 10.0).abs() < 1e-9);
    }

    #[test]
    fn times_are_labelled_at_steps_of_a_clock() {
        let time = Time { from: 0.0, to: 140.0 };
        assert_eq!(time.ticks(6), [0.0, 30.0, 60.0, 90.0, 120.0]);
        assert_eq!(time.percent(35.0), 25.0);
        assert_eq!(time.percent(-5.0), 0.0);
    }
}
