//! Delays that come and go: sine, square, saw.

use std::f64::consts::{PI, TAU};
use std::fmt;
use std::time::Duration;

use crate::diagnostics::Reader;
use crate::units::show_duration;

/// How a wave swings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Sine,
    /// High for the first half of each period, low for the second.
    Square,
    /// Rises evenly, then falls at once.
    Saw,
}

impl Shape {
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "sine" => Some(Self::Sine),
            "square" => Some(Self::Square),
            "saw" => Some(Self::Saw),
            _ => None,
        }
    }
}

/// A wave around a mean, in seconds. What falls below zero is no delay.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Wave {
    pub(super) shape: Shape,
    mean: f64,
    amplitude: f64,
    period: f64,
}

impl Wave {
    pub(super) fn read(table: &mut Reader<'_>, shape: Shape) -> Option<Self> {
        let mut seconds = |key, example| table.required::<Duration>(key, example).map(|d| d.as_secs_f64());
        let mean = seconds("mean", "\"100ms\"");
        let amplitude = seconds("amplitude", "\"80ms\"");
        let period = seconds("period", "\"30s\"");
        let (mean, amplitude, period) = (mean?, amplitude?, period?);
        if period <= 0.0 {
            table.reject("period", "is no time at all", Some("a time above zero such as \"30s\""));
            return None;
        }
        Some(Self { shape, mean, amplitude, period })
    }

    /// The delay in seconds, so long after the wave began.
    pub(super) fn at(&self, elapsed: Duration) -> f64 {
        let phase = (elapsed.as_secs_f64() / self.period).fract();
        let swing = match self.shape {
            Shape::Sine => (TAU * phase).sin(),
            Shape::Square if phase < 0.5 => 1.0,
            Shape::Square => -1.0,
            Shape::Saw => 2.0 * phase - 1.0,
        };
        self.mean + self.amplitude * swing
    }

    /// The delay in seconds below which the wave stays for the share `u` of the time.
    pub(super) fn quantile(&self, u: f64) -> f64 {
        let swing = match self.shape {
            Shape::Sine => (PI * (u - 0.5)).sin(),
            Shape::Square if u < 0.5 => -1.0,
            Shape::Square => 1.0,
            Shape::Saw => 2.0 * u - 1.0,
        };
        self.mean + self.amplitude * swing
    }
}

impl fmt::Display for Wave {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |seconds: f64| show_duration(Duration::from_secs_f64(seconds.max(0.0)));
        let shape = match self.shape {
            Shape::Sine => "sine",
            Shape::Square => "square",
            Shape::Saw => "saw",
        };
        let (low, high) = (show(self.mean - self.amplitude), show(self.mean + self.amplitude));
        write!(f, "{low} to {high} and back, a {shape} of {}", show(self.period))
    }
}
