//! Quantities as a user writes them: parsing, printing and the types that carry the unit.
//!
//! Every number that leaves the program leaves through this module. Durations are written
//! `250ms`, `1.5s`, `2m`; sizes `64KiB`, `10MB`; rates `500/s`, `64KiB/s`; shares `0.25` or `25%`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Serialize, Serializer};

/// Why a text is not a quantity: what was expected, ready to be shown after the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnitError(pub String);

fn expected(what: &str) -> UnitError {
    UnitError(what.to_owned())
}

/// Splits `1.5KiB` into its number and its unit. Whitespace between the two is allowed.
fn number_and_unit(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '_')).unwrap_or(text.len());
    let number: f64 = text[..end].replace('_', "").parse().ok()?;
    Some((number, text[end..].trim()))
}

/// Parses a duration: a sum of numbers with a unit each (`1m 30s`, `1.5s`, `250ms`), at most a year.
///
/// # Errors
/// Says which form was expected when the text is none, or is longer than a year.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    const EXPECTED: &str = "a duration such as \"250ms\", \"1.5s\" or \"2m\"";
    const YEAR: f64 = 366.0 * 86_400.0;
    let mut rest = text.trim();
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    let mut total = 0.0;
    if rest.is_empty() {
        return Err(expected(EXPECTED));
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).ok_or_else(|| expected(EXPECTED))?;
        let after = rest[digits..].trim_start();
        let letters = after.find(|c: char| !c.is_alphabetic()).unwrap_or(after.len());
        let number: f64 = rest[..digits].parse().map_err(|_| expected(EXPECTED))?;
        let scale = match &after[..letters] {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" | "sec" | "secs" => 1.0,
            "m" | "min" | "mins" => 60.0,
            "h" | "hr" | "hour" | "hours" => 3_600.0,
            "d" | "day" | "days" => 86_400.0,
            _ => return Err(expected(EXPECTED)),
        };
        total += number * scale;
        rest = after[letters..].trim_start();
    }
    if total > YEAR {
        return Err(expected("a duration of at most a year"));
    }
    // Whole nanoseconds, so that "1ms" is exactly 1 ms and not 0.999999 ms.
    Ok(Duration::from_nanos((total * 1e9).round() as u64))
}

/// Prints a duration with three significant digits in the unit that suits it: `950us`, `12.5ms`, `1.50s`, `2m05s`.
pub fn show_duration(duration: Duration) -> String {
    let s = duration.as_secs_f64();
    let ms = s * 1e3;
    if duration.is_zero() {
        "0s".to_owned()
    } else if ms < 0.9995 {
        format!("{:.0}us", s * 1e6)
    } else if ms < 9.995 {
        format!("{ms:.2}ms")
    } else if ms < 99.95 {
        format!("{ms:.1}ms")
    } else if ms < 999.5 {
        format!("{ms:.0}ms")
    } else if s < 9.995 {
        format!("{s:.2}s")
    } else if s < 59.95 {
        format!("{s:.1}s")
    } else {
        let whole = s.round() as u64;
        let (h, m, s) = (whole / 3600, whole / 60 % 60, whole % 60);
        if h > 0 { format!("{h}h{m:02}m{s:02}s") } else { format!("{m}m{s:02}s") }
    }
}

/// As [`show_duration`], for seconds that come out of a computation; `-` when absent.
pub fn show_seconds(seconds: Option<f64>) -> String {
    match seconds {
        Some(s) if s.is_finite() && s >= 0.0 => show_duration(Duration::from_secs_f64(s)),
        Some(s) if s.is_finite() => format!("-{}", show_duration(Duration::from_secs_f64(-s))),
        _ => "-".to_owned(),
    }
}

/// Prints a duration that somebody set: without the zeros that only a measurement needs (`30s`, `1.5s`, `1m12s`).
pub fn show_setting(seconds: f64) -> String {
    let text = show_seconds(Some(seconds));
    match text.split_once('.') {
        Some((whole, rest)) => {
            let digits = rest.trim_end_matches(|c: char| c.is_ascii_alphabetic());
            let (kept, unit) = (digits.trim_end_matches('0'), &rest[digits.len()..]);
            if kept.is_empty() { format!("{whole}{unit}") } else { format!("{whole}.{kept}{unit}") }
        }
        None => {
            let text = text.strip_suffix("m00s").map_or(text.clone(), |whole| format!("{whole}m"));
            text.strip_suffix("h00m").map_or(text.clone(), |hours| format!("{hours}h"))
        }
    }
}

/// Prints a moment on a run's clock in seconds, with tenths where there are any: `48s`, `148.4s`.
pub fn show_moment(seconds: f64) -> String {
    format!("{}s", (seconds * 10.0).round() / 10.0)
}

/// Prints a share as a percentage with as many digits as it takes to tell 99.95 % from 100 %.
pub fn show_share(share: f64) -> String {
    let percent = share * 100.0;
    if percent == 0.0 || percent == 100.0 {
        format!("{percent:.0}%")
    } else if !(1.0..=99.0).contains(&percent) {
        format!("{percent:.2}%")
    } else {
        format!("{percent:.1}%")
    }
}

/// Prints a count with its thousands apart: `11,620`.
pub fn show_count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Prints how many times one thing is another, or any other number without a unit, with three digits: `1.08x` is
/// `show_number(1.08)` and an `x`.
pub fn show_number(number: f64) -> String {
    match number.abs() {
        size if !size.is_finite() => "-".to_owned(),
        size if size < 9.995 => format!("{number:.2}"),
        size if size < 99.95 => format!("{number:.1}"),
        size if number >= 0.0 => show_count(size.round() as u64),
        size => format!("-{}", show_count(size.round() as u64)),
    }
}

/// A number of bytes: `512B`, `64KiB`, `10MB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteSize(pub u64);

fn byte_scale(unit: &str) -> Option<f64> {
    Some(match unit {
        "" | "B" => 1.0,
        "kB" | "KB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        "KiB" => 1024.0,
        "MiB" => 1024.0 * 1024.0,
        "GiB" => 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    })
}

impl FromStr for ByteSize {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let bytes = number_and_unit(text).and_then(|(n, unit)| Some(n * byte_scale(unit)?));
        match bytes {
            Some(bytes) if bytes <= u64::MAX as f64 && bytes.fract() == 0.0 => Ok(Self(bytes as u64)),
            _ => Err(expected("a size in whole bytes such as \"512B\", \"64KiB\" or \"10MB\"")),
        }
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0;
        for (unit, scale) in [("GiB", 1u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
            if bytes >= scale && bytes.is_multiple_of(scale) {
                return write!(f, "{}{unit}", bytes / scale);
            }
        }
        write!(f, "{bytes}B")
    }
}

/// Bytes a second, above zero: `64KiB/s`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct ByteRate(f64);

impl ByteRate {
    /// `None` unless the rate is finite and above zero.
    pub fn new(bytes_per_second: f64) -> Option<Self> {
        (bytes_per_second.is_finite() && bytes_per_second > 0.0).then_some(Self(bytes_per_second))
    }

    /// Bytes a second.
    pub fn per_second(self) -> f64 {
        self.0
    }
}

impl FromStr for ByteRate {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        const EXPECTED: &str = "a rate in bytes such as \"64KiB/s\" or \"1MB/s\", above zero";
        let size = text.trim().strip_suffix("/s").ok_or_else(|| expected(EXPECTED))?;
        number_and_unit(size).and_then(|(n, unit)| Self::new(n * byte_scale(unit)?)).ok_or_else(|| expected(EXPECTED))
    }
}

impl fmt::Display for ByteRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.fract() == 0.0 { write!(f, "{}/s", ByteSize(self.0 as u64)) } else { write!(f, "{:.1}B/s", self.0) }
    }
}

/// Events a second, above zero: `500/s`, `30/m`, or a bare number of events a second.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Rate(f64);

impl Rate {
    /// `None` unless the rate is finite and above zero.
    pub fn new(per_second: f64) -> Option<Self> {
        (per_second.is_finite() && per_second > 0.0).then_some(Self(per_second))
    }

    /// Events a second.
    pub fn per_second(self) -> f64 {
        self.0
    }
}

impl FromStr for Rate {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let (number, scale) = match text.trim().split_once('/') {
            None => (text.trim(), Some(1.0)),
            Some((number, unit)) => (
                number.trim(),
                match unit.trim() {
                    "s" => Some(1.0),
                    "m" | "min" => Some(1.0 / 60.0),
                    "h" => Some(1.0 / 3600.0),
                    _ => None,
                },
            ),
        };
        scale
            .and_then(|scale| Self::new(number.replace('_', "").parse::<f64>().ok()? * scale))
            .ok_or_else(|| expected("a rate such as \"500/s\" or \"30/m\", above zero"))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.fract() == 0.0 { write!(f, "{:.0}/s", self.0) } else { write!(f, "{:.2}/s", self.0) }
    }
}

/// A share of a whole, from 0 to 1: `0.25` or `25%`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Share(f64);

impl Share {
    /// Everything.
    pub const ALL: Self = Self(1.0);

    /// `None` unless the share lies in `[0, 1]`.
    pub fn new(share: f64) -> Option<Self> {
        (0.0..=1.0).contains(&share).then_some(Self(share))
    }

    /// The share as a number from 0 to 1.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl FromStr for Share {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let text = text.trim();
        let share = match text.strip_suffix('%') {
            Some(percent) => percent.trim().parse::<f64>().ok().map(|p| p / 100.0),
            None => text.parse::<f64>().ok(),
        };
        share.and_then(Self::new).ok_or_else(|| expected("a share from 0 to 1 such as 0.25 or \"25%\""))
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&show_share(self.0))
    }
}

macro_rules! serialize_as_text {
    ($($unit:ty),*) => {$(
        impl Serialize for $unit {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )*};
}
serialize_as_text!(ByteSize, ByteRate, Rate, Share);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_are_read_with_their_unit_and_never_without() {
        for (text, nanos) in [
            ("250ms", 250_000_000),
            ("1.5s", 1_500_000_000),
            ("2m", 120_000_000_000),
            ("1m 30s", 90_000_000_000),
            ("1h2m3s", 3_723_000_000_000),
            ("0", 0),
            ("0s", 0),
            ("40us", 40_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
        for text in ["", "5", "ms", "1 parsec", "-1s", "1.2.3s", "NaNs", "9999d", "1s x"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_are_shown_with_three_digits() {
        for (micros, text) in [
            (0, "0s"),
            (950, "950us"),
            (1_000, "1.00ms"),
            (12_500, "12.5ms"),
            (250_000, "250ms"),
            (999_900, "1.00s"),
            (1_500_000, "1.50s"),
            (125_000_000, "2m05s"),
        ] {
            assert_eq!(show_duration(Duration::from_micros(micros)), text);
        }
    }

    #[test]
    fn settings_are_shown_as_they_were_written() {
        for (seconds, text) in [
            (30.0, "30s"),
            (1.0, "1s"),
            (1.5, "1.5s"),
            (0.2, "200ms"),
            (72.0, "1m12s"),
            (60.0, "1m"),
            (7_200.0, "2h"),
            (0.0, "0s"),
        ] {
            assert_eq!(show_setting(seconds), text);
        }
    }

    #[test]
    fn moments_stay_apart_however_long_a_run_is() {
        for (seconds, text) in [(0.0, "0s"), (48.0, "48s"), (148.4, "148.4s"), (148.600_000_1, "148.6s")] {
            assert_eq!(show_moment(seconds), text);
        }
    }

    #[test]
    fn counts_and_numbers_are_shown_to_be_read() {
        for (count, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (12_345_678, "12,345,678")] {
            assert_eq!(show_count(count), text);
        }
        for (number, text) in
            [(0.0, "0.00"), (1.084, "1.08"), (32.26, "32.3"), (1_234.5, "1,235"), (-150.0, "-150"), (f64::NAN, "-")]
        {
            assert_eq!(show_number(number), text);
        }
    }

    #[test]
    fn sizes_rates_and_shares_are_read() {
        assert_eq!("64KiB".parse(), Ok(ByteSize(65_536)));
        assert_eq!("10 MB".parse(), Ok(ByteSize(10_000_000)));
        assert!("1.5B".parse::<ByteSize>().is_err());
        assert_eq!("64KiB/s".parse::<ByteRate>().map(ByteRate::per_second), Ok(65_536.0));
        assert!("0B/s".parse::<ByteRate>().is_err());
        assert!("64KiB".parse::<ByteRate>().is_err());
        assert_eq!("500/s".parse::<Rate>().map(Rate::per_second), Ok(500.0));
        assert_eq!("30/m".parse::<Rate>().map(Rate::per_second), Ok(0.5));
        assert!("0/s".parse::<Rate>().is_err());
        assert_eq!("25%".parse::<Share>().map(Share::get), Ok(0.25));
        assert!("1.01".parse::<Share>().is_err());
        assert!("-1%".parse::<Share>().is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_a_parser_panic(text in "\\PC{0,24}") {
            let _ = parse_duration(&text);
            let _ = text.parse::<ByteSize>();
            let _ = text.parse::<ByteRate>();
            let _ = text.parse::<Rate>();
            let _ = text.parse::<Share>();
        }

        #[test]
        fn a_printed_size_reads_back(bytes in 0u64..1 << 50) {
            prop_assert_eq!(ByteSize(bytes).to_string().parse(), Ok(ByteSize(bytes)));
        }
    }
}
