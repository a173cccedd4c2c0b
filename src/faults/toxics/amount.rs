//! Attributes that are numbers in Toxiproxy's API and may have their unit written out in a file.

use std::time::Duration;

use crate::diagnostics::node::Value;
use crate::diagnostics::{FromNode, Node, Reader};
use crate::units::{ByteRate, ByteSize};

/// What a bare number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Milliseconds.
    Milliseconds,
    /// Microseconds.
    Microseconds,
    /// Thousands of bytes a second.
    KilobytesPerSecond,
    /// Bytes.
    Bytes,
    /// A number of things.
    Count,
}

impl Unit {
    /// In words.
    pub fn word(self) -> &'static str {
        match self {
            Self::Milliseconds => "ms",
            Self::Microseconds => "us",
            Self::KilobytesPerSecond => "KB/s",
            Self::Bytes => "bytes",
            Self::Count => "a count",
        }
    }

    /// The number that a value stands for: itself, or a text with a unit.
    ///
    /// # Errors
    /// What was expected.
    pub(super) fn number(self, node: &Node) -> Result<f64, String> {
        let number = match (&node.value, self) {
            (Value::Integer(number), _) => Some(*number as f64),
            (Value::Float(number), _) if number.is_finite() => Some(*number),
            (Value::Text(_), Self::Milliseconds) => Duration::from_node(node).ok().map(|d| d.as_secs_f64() * 1e3),
            (Value::Text(_), Self::Microseconds) => Duration::from_node(node).ok().map(|d| d.as_secs_f64() * 1e6),
            (Value::Text(_), Self::KilobytesPerSecond) => {
                ByteRate::from_node(node).ok().map(|rate| rate.per_second() / 1e3)
            }
            (Value::Text(_), Self::Bytes) => ByteSize::from_node(node).ok().map(|size| size.0 as f64),
            _ => None,
        };
        number.ok_or_else(|| match self {
            Self::Milliseconds => "milliseconds, or a text such as \"250ms\"".to_owned(),
            Self::Microseconds => "microseconds, or a text such as \"250us\"".to_owned(),
            Self::KilobytesPerSecond => "thousands of bytes a second, or a text such as \"64KiB/s\"".to_owned(),
            Self::Bytes => "a number of bytes, or a text such as \"64KiB\"".to_owned(),
            Self::Count => "a whole number".to_owned(),
        })
    }
}

/// Reads a number; absent is 0, and so is a wrong one, which is recorded.
pub(super) fn number(reader: &mut Reader<'_>, key: &'static str, unit: Unit) -> f64 {
    let Some(node) = reader.node(key) else { return 0.0 };
    match unit.number(node) {
        Ok(number) => number,
        Err(expected) => {
            reader.reject(key, "is not valid", Some(&format!("expected {expected}")));
            0.0
        }
    }
}

/// Reads a time; below zero is none.
pub(super) fn time(reader: &mut Reader<'_>, key: &'static str, unit: Unit) -> Duration {
    let scale = if unit == Unit::Microseconds { 1e-6 } else { 1e-3 };
    seconds(number(reader, key, unit) * scale)
}

/// A duration of so many seconds, between none and a year.
pub(super) fn seconds(seconds: f64) -> Duration {
    Duration::from_nanos((seconds.clamp(0.0, 366.0 * 86_400.0) * 1e9).round() as u64)
}

/// Reads a count or a size; below zero is 0.
pub(super) fn count(reader: &mut Reader<'_>, key: &'static str, unit: Unit) -> u64 {
    number(reader, key, unit).max(0.0) as u64
}
