//! `latency`: a later first byte.

use std::sync::Arc;
use std::time::Duration;

use super::choice::choice;
use super::distribution::Distribution;
use super::memory::Memory;
use super::{Fault, Kind, RequestEffect, RequestView, ResponseEffect, ResponseView, Side};
use crate::clock::Instant;
use crate::diagnostics::Reader;
use crate::dice::Dice;
use crate::units::show_duration;

pub(super) const KIND: Kind = Kind {
    name: "latency",
    summary: "a later first byte; the upstream idle (request) or held (response) meanwhile",
    parameters: "`delay` = duration or distribution (fixed, uniform, normal, lognormal, exponential, pareto, \
                 percentiles, sine, square, saw); `max`; `side` = request | response",
    example: "kind = \"latency\"\n\
              delay = { distribution = \"percentiles\", p50 = \"80ms\", p90 = \"200ms\", p99 = \"900ms\" }\n\
              max = \"2s\"\n\
              side = \"request\"\n",
    compile,
};

#[derive(Debug)]
struct Latency {
    delay: Distribution,
    max: Option<Duration>,
    side: Side,
}

fn compile(reader: &mut Reader<'_>) -> Option<Arc<dyn Fault>> {
    let delay = Distribution::read(reader, "delay");
    let max: Option<Duration> = reader.optional("max");
    let side = choice(reader, "side", &[("request", Side::Request), ("response", Side::Response)], Side::Request);
    let delay = delay?;
    if max.is_some_and(|max| matches!(&delay, Distribution::Fixed(_)) && delay.quantile(0.0) > max) {
        reader.reject("max", "lies below the fixed delay", Some("leave max out, or shorten delay"));
    }
    Some(Arc::new(Latency { delay, max, side }))
}

impl Latency {
    fn drawn(&self, dice: Dice) -> Duration {
        self.capped(self.delay.quantile(dice.uniform(0)))
    }

    /// A wave's delay now: it began when it was first asked.
    fn swung(&self, memory: &Memory, now: Instant) -> Option<Duration> {
        self.delay.at(Duration::ZERO)?; // no lock for what is a matter of chance
        let began = memory.with(|began: &mut Option<Instant>| *began.get_or_insert(now));
        self.delay.at(now.saturating_duration_since(began)).map(|delay| self.capped(delay))
    }

    fn capped(&self, delay: Duration) -> Duration {
        self.max.map_or(delay, |max| delay.min(max))
    }

    fn request(&self, delay: impl FnOnce() -> Duration) -> RequestEffect {
        match self.side {
            Side::Request => RequestEffect { delay: delay(), ..RequestEffect::default() },
            Side::Response => RequestEffect::default(),
        }
    }

    fn response(&self, delay: impl FnOnce() -> Duration) -> ResponseEffect {
        match self.side {
            Side::Request => ResponseEffect::default(),
            Side::Response => ResponseEffect { delay: delay(), ..ResponseEffect::default() },
        }
    }
}

impl Fault for Latency {
    fn on_request(&self, _: &RequestView<'_>, dice: Dice) -> RequestEffect {
        self.request(|| self.drawn(dice))
    }

    fn on_request_knowing(&self, _: &RequestView<'_>, dice: Dice, memory: &Memory, now: Instant) -> RequestEffect {
        self.request(|| self.swung(memory, now).unwrap_or_else(|| self.drawn(dice)))
    }

    fn on_response(&self, _: &ResponseView<'_>, dice: Dice) -> ResponseEffect {
        self.response(|| self.drawn(dice))
    }

    fn on_response_knowing(&self, _: &ResponseView<'_>, dice: Dice, memory: &Memory, now: Instant) -> ResponseEffect {
        self.response(|| self.swung(memory, now).unwrap_or_else(|| self.drawn(dice)))
    }

    fn describe(&self) -> String {
        let what = match self.side {
            Side::Request => "request",
            Side::Response => "response",
        };
        let max = self.max.map(|max| format!(", at most {}", show_duration(max))).unwrap_or_default();
        format!("delays the {what} by {}{max}", self.delay)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{compiled, dice, problems_of, request, response};
    use super::*;

    #[test]
    fn a_delay_falls_on_its_side_only() {
        let fault = compiled("kind = \"latency\"\ndelay = \"80ms\"");
        assert_eq!(fault.on_request(&request(), dice()).delay, Duration::from_millis(80));
        assert_eq!(fault.on_response(&response(), dice()), ResponseEffect::default());
        assert_eq!(fault.describe(), "delays the request by 80.0ms");
        let fault = compiled("kind = \"latency\"\ndelay = \"80ms\"\nside = \"response\"");
        assert_eq!(fault.on_request(&request(), dice()), RequestEffect::default());
        assert_eq!(fault.on_response(&response(), dice()).delay, Duration::from_millis(80));
    }

    #[test]
    fn max_caps_every_sample() {
        let fault = compiled(
            "kind = \"latency\"\ndelay = { distribution = \"normal\", mean = \"1s\", sd = \"1s\" }\nmax = \"1s\"",
        );
        let delays = (0..100).map(|n| fault.on_request(&request(), Dice::new(1, 1, n)).delay).collect::<Vec<_>>();
        assert!(delays.iter().all(|delay| *delay <= Duration::from_secs(1)));
        assert!(delays.iter().any(|delay| *delay < Duration::from_secs(1)));
        assert!(problems_of("kind = \"latency\"\ndelay = \"2s\"\nmax = \"1s\"").contains("max: lies below"));
    }

    #[test]
    fn a_wave_begins_when_it_is_first_asked() {
        let wave = "{ distribution = \"square\", mean = \"100ms\", amplitude = \"60ms\", period = \"8s\" }";
        let fault = compiled(&format!("kind = \"latency\"\ndelay = {wave}\nmax = \"150ms\""));
        let (memory, start) = (Memory::default(), Instant::now());
        let after = |seconds| {
            fault
                .on_request_knowing(&request(), dice(), &memory, start + Duration::from_secs(seconds))
                .delay
                .as_millis()
        };
        assert_eq!([1, 4, 5, 8, 9].map(after), [150, 150, 40, 40, 150]);
    }
}
