//! How long a delay is: a duration, or a distribution that is sampled by its inverse, one draw a sample.

use std::fmt;
use std::time::Duration;

use super::normal::inverse_normal;
use super::wave::{Shape, Wave};
use crate::diagnostics::node::Value;
use crate::diagnostics::reader::shown;
use crate::diagnostics::{FromNode, Reader, nearest};
use crate::units::show_duration;

/// No delay is longer, whatever a tail says.
const LONGEST: f64 = 86_400.0;
const NAMES: [&str; 10] =
    ["fixed", "uniform", "normal", "lognormal", "exponential", "pareto", "percentiles", "sine", "square", "saw"];

/// A random duration, in seconds inside.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Distribution {
    /// Always the same.
    Fixed(f64),
    /// Even between two ends.
    Uniform { min: f64, max: f64 },
    /// Normal; what falls below zero is zero.
    Normal { mean: f64, sd: f64 },
    /// `exp` of a normal with this mean and deviation, both of the natural logarithm of seconds.
    Lognormal { mu: f64, sigma: f64 },
    /// Memoryless, with this mean.
    Exponential { mean: f64 },
    /// Never below `min`, with a tail that falls like a power: the smaller `shape`, the heavier.
    Pareto { min: f64, shape: f64 },
    /// Not of chance but of time.
    Wave(Wave),
    /// Points `(share, seconds)` from share 0 to 1, joined by straight lines.
    Percentiles(Box<[(f64, f64)]>),
}

impl Distribution {
    /// Reads a duration or a table with `distribution` under `key`; `None` when a problem was recorded.
    pub(super) fn read(reader: &mut Reader<'_>, key: &'static str) -> Option<Self> {
        if !matches!(reader.node(key).map(|node| &node.value), Some(Value::Table(_))) {
            return reader.required::<Duration>(key, "\"80ms\"").map(|d| Self::Fixed(d.as_secs_f64()));
        }
        let mut table = reader.table(key)?;
        let name: String = table.required("distribution", "\"lognormal\"")?;
        let distribution = match name.as_str() {
            "fixed" => seconds(&mut table, "value").map(Self::Fixed),
            "uniform" => uniform(&mut table),
            "normal" => normal(&mut table),
            "lognormal" => lognormal(&mut table),
            "exponential" => seconds(&mut table, "mean").map(|mean| Self::Exponential { mean }),
            "pareto" => pareto(&mut table),
            "percentiles" => percentiles(&mut table),
            wave if Shape::named(wave).is_some() => {
                Shape::named(wave).and_then(|shape| Wave::read(&mut table, shape)).map(Self::Wave)
            }
            _ => {
                let cure = match nearest(&name, NAMES) {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None => format!("known distributions: {}", NAMES.join(", ")),
                };
                table.reject("distribution", format!("there is no \"{name}\""), Some(&cure));
                return None;
            }
        };
        table.finish();
        distribution
    }

    /// The duration below which the share `u` of all samples lies; sampling is this with an even `u` in `[0, 1)`.
    pub(super) fn quantile(&self, u: f64) -> Duration {
        // The ends of an unbounded tail would be infinite.
        let inner = u.clamp(f64::EPSILON / 4.0, 1.0 - f64::EPSILON);
        let seconds = match self {
            Self::Fixed(value) => *value,
            Self::Uniform { min, max } => min + (max - min) * u,
            Self::Normal { mean, sd } => mean + sd * inverse_normal(inner),
            Self::Lognormal { mu, sigma } => (mu + sigma * inverse_normal(inner)).exp(),
            Self::Exponential { mean } => -mean * (1.0 - inner).ln(),
            Self::Pareto { min, shape } => min * (1.0 - inner).powf(-1.0 / shape),
            Self::Wave(wave) => wave.quantile(u),
            Self::Percentiles(points) => interpolate(points, u),
        };
        Self::duration(seconds)
    }

    /// A wave's delay, so long after it began; `None` for what is a matter of chance.
    pub(super) fn at(&self, elapsed: Duration) -> Option<Duration> {
        match self {
            Self::Wave(wave) => Some(Self::duration(wave.at(elapsed))),
            _ => None,
        }
    }

    fn duration(seconds: f64) -> Duration {
        // Nanoseconds are whole: rounded, so that "80ms" stays 80 ms.
        Duration::from_nanos((seconds.clamp(0.0, LONGEST) * 1e9).round() as u64)
    }
}

fn seconds(table: &mut Reader<'_>, key: &'static str) -> Option<f64> {
    table.required::<Duration>(key, "\"80ms\"").map(|d| d.as_secs_f64())
}

fn uniform(table: &mut Reader<'_>) -> Option<Distribution> {
    let (min, max) = (table.or("min", Duration::ZERO).as_secs_f64(), seconds(table, "max"));
    let max = max?;
    if min > max {
        table.reject("min", "lies above max", Some("min is at most max"));
        return None;
    }
    Some(Distribution::Uniform { min, max })
}

fn normal(table: &mut Reader<'_>) -> Option<Distribution> {
    let (mean, sd) = (seconds(table, "mean"), seconds(table, "sd"));
    Some(Distribution::Normal { mean: mean?, sd: sd? })
}

fn pareto(table: &mut Reader<'_>) -> Option<Distribution> {
    let (min, shape) = (seconds(table, "min"), table.required::<f64>("shape", "1.5"));
    let (min, shape) = (min?, shape?);
    if shape <= 0.0 {
        table.reject("shape", "is not above zero", Some("between 1 and 3 for most tails"));
        return None;
    }
    Some(Distribution::Pareto { min, shape })
}

fn lognormal(table: &mut Reader<'_>) -> Option<Distribution> {
    if table.has("mu") || table.has("sigma") {
        let mu: Option<f64> = table.required("mu", "-2.5 (of the natural logarithm of seconds)");
        let sigma: Option<f64> = table.required("sigma", "0.5");
        let (mu, sigma) = (mu?, sigma?);
        if sigma < 0.0 {
            table.reject("sigma", "is below zero", Some("a deviation is zero or more"));
            return None;
        }
        return Some(Distribution::Lognormal { mu, sigma });
    }
    let (p50, p99) = (seconds(table, "p50"), seconds(table, "p99"));
    let (p50, p99) = (p50?, p99?);
    if p50 <= 0.0 || p99 < p50 {
        table.reject("p99", "does not lie above p50, or p50 is zero", Some("0 < p50 <= p99"));
        return None;
    }
    // The p99 of a normal lies 2.33 deviations above its median.
    Some(Distribution::Lognormal { mu: p50.ln(), sigma: (p99 / p50).ln() / inverse_normal(0.99) })
}

/// Reads `p50 = "80ms"`, `"p99.9" = "2s"` and the like. Below the lowest share the delay falls evenly to `p0`
/// (0 s unless given); above the highest it stays there.
fn percentiles(table: &mut Reader<'_>) -> Option<Distribution> {
    let mut points: Vec<(f64, f64)> = Vec::new();
    let mut sound = true;
    for (key, node) in table.entries() {
        if key == "distribution" {
            continue;
        }
        let mut complain = |message: String, cure: &str| {
            table.complain_at(node.line, message, Some(cure));
            sound = false;
        };
        let share = share_of(key);
        match (share, Duration::from_node(node)) {
            (None, _) => complain(format!("\"{key}\" is not a percentile"), "write p50, p99 or, in quotes, \"p99.9\""),
            (_, Err(_)) if matches!(node.value, Value::Table(_)) => {
                complain(format!("{key} is a table"), "a percentile with a dot needs quotes: \"p99.9\"");
            }
            (_, Err(expected)) => {
                complain(format!("{key} = {} is not valid", shown(node)), &format!("expected {expected}"));
            }
            (Some(share), Ok(delay)) => points.push((share, delay.as_secs_f64())),
        }
    }
    points.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    if sound && points.is_empty() {
        table.complain("has no percentile".to_owned(), Some("for example p50 = \"80ms\", p99 = \"900ms\""));
        return None;
    }
    if let Some(pair) = points.windows(2).find(|pair| pair[1].1 < pair[0].1 || pair[1].0 == pair[0].0) {
        let (low, high) = (show_percentile(pair[0].0), show_percentile(pair[1].0));
        table.complain(format!("{high} lies below {low}, or is given twice"), Some("percentiles never fall"));
        return None;
    }
    if points.first().is_some_and(|(share, _)| *share > 0.0) {
        points.insert(0, (0.0, 0.0));
    }
    sound.then(|| Distribution::Percentiles(points.into()))
}

/// The share that `p50`, `p99.9` or `p999` stands for: three digits and more count as 99.9 and so on.
fn share_of(key: &str) -> Option<f64> {
    let digits = key.strip_prefix('p').filter(|d| d.bytes().all(|b| b.is_ascii_digit() || b == b'.'))?;
    let percent: f64 = digits.parse().ok()?;
    let percent = if digits.len() > 2 && !digits.contains('.') && digits != "100" {
        percent / 10f64.powi(digits.len() as i32 - 2)
    } else {
        percent
    };
    (0.0..=100.0).contains(&percent).then_some(percent / 100.0)
}

fn show_percentile(share: f64) -> String {
    // Ten digits are more than anyone writes and hide what binary fractions do to 0.999.
    format!("p{}", (share * 1e12).round() / 1e10)
}

fn interpolate(points: &[(f64, f64)], u: f64) -> f64 {
    let above = points.partition_point(|(share, _)| *share <= u);
    match (above.checked_sub(1).and_then(|below| points.get(below)), points.get(above)) {
        (Some((p0, d0)), Some((p1, d1))) => d0 + (d1 - d0) * (u - p0) / (p1 - p0),
        (Some((_, delay)), None) | (None, Some((_, delay))) => *delay,
        (None, None) => 0.0,
    }
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |seconds: f64| show_duration(Duration::from_secs_f64(seconds.clamp(0.0, LONGEST)));
        match self {
            Self::Fixed(value) => f.write_str(&show(*value)),
            Self::Uniform { min, max } => write!(f, "{} to {}, evenly", show(*min), show(*max)),
            Self::Normal { mean, sd } => write!(f, "a normal delay, mean {}, deviation {}", show(*mean), show(*sd)),
            Self::Lognormal { .. } => write!(
                f,
                "a lognormal delay, p50 {}, p99 {}",
                show_duration(self.quantile(0.5)),
                show_duration(self.quantile(0.99))
            ),
            Self::Exponential { mean } => write!(f, "an exponential delay, mean {}", show(*mean)),
            Self::Pareto { min, shape } => write!(f, "a Pareto delay from {} on, shape {shape}", show(*min)),
            Self::Wave(wave) => wave.fmt(f),
            Self::Percentiles(points) => {
                let given = points.iter().filter(|(share, delay)| *share > 0.0 || *delay > 0.0);
                let texts = given.map(|(share, delay)| format!("{} {}", show_percentile(*share), show(*delay)));
                f.write_str(&texts.collect::<Vec<_>>().join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use proptest::prelude::*;

    use super::*;
    use crate::diagnostics::Node;
    use crate::dice::Dice;

    fn read(delay: &str) -> Result<Distribution, String> {
        let node = Node::from_toml("r.toml", &format!("delay = {delay}")).unwrap();
        let problems = RefCell::default();
        let mut reader = Reader::new("r.toml", &node, "", &problems);
        let distribution = Distribution::read(&mut reader, "delay");
        reader.finish();
        problems.into_inner().or(()).map_err(|p| p.to_string())?;
        Ok(distribution.unwrap())
    }

    fn ms(distribution: &Distribution, u: f64) -> f64 {
        distribution.quantile(u).as_secs_f64() * 1e3
    }

    #[test]
    fn each_distribution_has_the_quantiles_it_was_given() {
        assert_eq!(ms(&read("\"80ms\"").unwrap(), 0.3), 80.0);
        assert_eq!(ms(&read("{ distribution = \"fixed\", value = \"80ms\" }").unwrap(), 0.3), 80.0);
        let uniform = read("{ distribution = \"uniform\", min = \"10ms\", max = \"30ms\" }").unwrap();
        assert_eq!([ms(&uniform, 0.0), ms(&uniform, 0.5)], [10.0, 20.0]);
        let normal = read("{ distribution = \"normal\", mean = \"100ms\", sd = \"20ms\" }").unwrap();
        assert!((ms(&normal, 0.975) - (100.0 + 20.0 * 1.959_964)).abs() < 1e-4);
        assert_eq!(ms(&normal, 0.0), 0.0, "a normal delay is never negative");
        let lognormal = read("{ distribution = \"lognormal\", p50 = \"80ms\", p99 = \"900ms\" }").unwrap();
        assert!((ms(&lognormal, 0.5) - 80.0).abs() < 1e-3 && (ms(&lognormal, 0.99) - 900.0).abs() < 1e-3);
        let by_logs = read("{ distribution = \"lognormal\", mu = -2.0, sigma = 0.5 }").unwrap();
        assert!((ms(&by_logs, 0.5) - 1e3 * (-2.0f64).exp()).abs() < 1e-3);
        let exponential = read("{ distribution = \"exponential\", mean = \"100ms\" }").unwrap();
        assert!((ms(&exponential, 0.5) - 100.0 * 2f64.ln()).abs() < 1e-3);
        let pareto = read("{ distribution = \"pareto\", min = \"10ms\", shape = 2 }").unwrap();
        assert!((ms(&pareto, 0.0) - 10.0).abs() < 1e-3 && (ms(&pareto, 0.99) - 100.0).abs() < 1e-3);
    }

    #[test]
    fn waves_swing_with_the_time() {
        let wave = |name: &str| {
            let keys = "mean = \"100ms\", amplitude = \"60ms\", period = \"8s\"";
            read(&format!("{{ distribution = \"{name}\", {keys} }}")).unwrap()
        };
        for (name, expected) in [
            ("sine", [100.0, 160.0, 100.0, 40.0]),
            ("square", [160.0, 160.0, 40.0, 40.0]),
            ("saw", [40.0, 70.0, 100.0, 130.0]),
        ] {
            let wave = wave(name);
            for (quarter, expected) in [0u64, 2, 4, 6, 8].into_iter().zip(expected.into_iter().cycle()) {
                let delay = wave.at(Duration::from_secs(quarter)).unwrap().as_secs_f64() * 1e3;
                assert!((delay - expected).abs() < 1e-3, "{name} after {quarter} s: {delay}");
            }
            assert!((ms(&wave, 0.0) - 40.0).abs() < 1e-3 && (ms(&wave, 1.0) - 160.0).abs() < 1e-3, "{name}");
        }
        assert_eq!(wave("saw").to_string(), "40.0ms to 160ms and back, a saw of 8.00s");
        assert_eq!(read("\"1s\"").unwrap().at(Duration::ZERO), None);
    }

    #[test]
    fn percentiles_are_joined_by_lines_and_never_go_beyond_the_highest() {
        let table = "{ distribution = \"percentiles\", p50 = \"80ms\", p90 = \"200ms\", \"p99.9\" = \"900ms\" }";
        let delay = read(table).unwrap();
        let wanted = [(0.0, 0.0), (0.25, 40.0), (0.5, 80.0), (0.7, 140.0), (0.9, 200.0), (0.9995, 900.0)];
        for (u, expected) in wanted {
            assert!((ms(&delay, u) - expected).abs() < 1e-6, "{u}: {}", ms(&delay, u));
        }
        assert_eq!(delay.to_string(), "p50 80.0ms, p90 200ms, p99.9 900ms");
        assert_eq!(read("{ distribution = \"percentiles\", p0 = \"1ms\", p999 = \"2ms\" }").unwrap().to_string(), {
            "p0 1.00ms, p99.9 2.00ms"
        });
    }

    #[test]
    fn mistakes_name_the_key_and_the_cure() {
        for (delay, wanted) in [
            ("5", "delay = 5 is not valid (expected a duration with its unit"),
            ("{ distribution = \"gauss\" }", "known distributions: fixed, uniform"),
            ("{ distribution = \"norml\" }", "did you mean \"normal\"?"),
            ("{ distribution = \"uniform\", min = \"2s\", max = \"1s\" }", "min is at most max"),
            ("{ distribution = \"normal\", mean = \"2s\" }", "\"sd\" is missing"),
            ("{ distribution = \"lognormal\", p50 = \"2s\", p99 = \"1s\" }", "0 < p50 <= p99"),
            ("{ distribution = \"percentiles\", p50 = \"2s\", p90 = \"1s\" }", "p90 lies below p50"),
            ("{ distribution = \"percentiles\", p99.9 = \"2s\" }", "needs quotes"),
            ("{ distribution = \"percentiles\", q50 = \"2s\" }", "\"q50\" is not a percentile"),
            ("{ distribution = \"percentiles\" }", "has no percentile"),
            ("{ distribution = \"pareto\", min = \"1s\", shape = 0 }", "shape: is not above zero"),
            ("{ distribution = \"sine\", mean = \"1s\", amplitude = \"1s\", period = \"0s\" }", "period: is no time"),
            ("{ distribution = \"fixed\", value = \"1s\", max = \"2s\" }", "unknown key \"max\""),
        ] {
            let problems = read(delay).unwrap_err();
            assert!(problems.contains(wanted), "{delay}: {problems}");
        }
    }

    proptest! {
        #[test]
        fn a_higher_share_never_gives_a_shorter_delay(u in 0.0f64..1.0, v in 0.0f64..1.0) {
            for delay in [
                Distribution::Uniform { min: 0.1, max: 0.3 },
                Distribution::Normal { mean: 0.1, sd: 5.0 },
                Distribution::Lognormal { mu: -2.0, sigma: 40.0 },
                Distribution::Exponential { mean: 0.1 },
                Distribution::Pareto { min: 0.1, shape: 0.2 },
                Distribution::Percentiles([(0.0, 0.0), (0.5, 0.1), (0.9, 0.1), (0.99, 2.0)].into()),
            ] {
                let (low, high) = (delay.quantile(u.min(v)), delay.quantile(u.max(v)));
                prop_assert!(low <= high, "{delay:?}");
            }
        }
    }

    #[test]
    fn ten_thousand_samples_have_the_quantiles_of_their_distribution() {
        let delay = Distribution::Lognormal { mu: -2.0, sigma: 0.7 };
        let mut samples: Vec<Duration> = (0..10_000).map(|n| delay.quantile(Dice::new(3, 4, n).uniform(0))).collect();
        samples.sort();
        for share in [0.1, 0.5, 0.9] {
            // Five standard errors of an empirical quantile, as a band of shares.
            let band = 5.0 * (share * (1.0 - share) / 10_000.0f64).sqrt();
            let sample = samples[(share * 10_000.0) as usize];
            assert!(sample >= delay.quantile(share - band) && sample <= delay.quantile(share + band), "{share}");
        }
    }
}
