//! `latency`: a later first byte.

use std::sync::Arc;
use std::time::Duration;

use super::choice::choice;
use super::distribution::Distribution;
use super::toxics::{self, Stream, Toxic};
use super::{Fault, Kind, RequestEffect, RequestView, ResponseEffect, ResponseView, Side};
use crate::diagnostics::Reader;
use crate::dice::Dice;
use crate::units::show_duration;

pub(super) const KIND: Kind = Kind {
    name: "latency",
    summary: "a later first byte; the upstream idle (request) or held (response) meanwhile",
    parameters: "`delay` = duration or distribution (fixed, uniform, normal, lognormal, percentiles); `max`; \
                 `side` = request | response",
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
        let delay = self.delay.quantile(dice.uniform(0));
        self.max.map_or(delay, |max| delay.min(max))
    }
}

impl Fault for Latency {
    fn on_request(&self, _: &RequestView<'_>, dice: Dice) -> RequestEffect {
        match self.side {
            Side::Request => RequestEffect { delay: self.drawn(dice), terminal: None },
            Side::Response => RequestEffect::default(),
        }
    }

    fn on_response(&self, _: &ResponseView<'_>, dice: Dice) -> ResponseEffect {
        match self.side {
            Side::Request => ResponseEffect::default(),
            Side::Response => ResponseEffect { delay: self.drawn(dice), ..ResponseEffect::default() },
        }
    }

    fn on_connection(&self) -> Vec<(Stream, Arc<dyn Toxic>)> {
        let toxic = toxics::Latency::drawn(self.delay.clone(), self.max);
        vec![(Stream::from(self.side), Arc::new(toxic))]
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
}
