//! When a rule acts: after a while, for a while, again and again, from a date on, and ever more.

use std::time::{Duration, SystemTime};

use crate::clock::Instant;
use crate::diagnostics::Reader;
use crate::units::show_duration;

/// The times of a rule, counted from the moment at which it becomes enabled, or from `start`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Schedule {
    /// Nothing before this.
    pub start_after: Duration,
    /// It acts for so long; `None` = from then on.
    pub duration: Option<Duration>,
    /// It acts again each so often.
    pub period: Option<Duration>,
    /// How it grows at the beginning of each time that it acts.
    pub ramp: Option<Ramp>,
    /// Counted from this date, whenever the rule was enabled; one in the past is where it would be by now.
    pub start: Option<SystemTime>,
}

/// An even growth from nothing to all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ramp {
    /// How long it takes.
    pub over: Duration,
    /// What grows.
    pub of: RampOf,
}

/// What grows in a ramp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RampOf {
    /// The share of the chosen requests that are hit.
    Probability,
    /// Delays and the slowness of bodies.
    Strength,
}

/// The moment from which a schedule is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Origin {
    at: Instant,
    /// What lay behind already at that moment.
    elapsed: Duration,
}

/// Where a schedule stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Phase {
    /// It does not act now.
    Rests,
    /// It acts, so far grown: from 0 to 1.
    Acts(f64),
}

impl Schedule {
    /// Reads the `schedule` table.
    pub(super) fn read(mut reader: Reader<'_>) -> Self {
        let above_zero = |reader: &mut Reader<'_>, key| {
            let time: Option<Duration> = reader.optional(key);
            if time == Some(Duration::ZERO) {
                reader.reject(key, "0s is no time", Some("a duration above zero such as \"30s\", or leave it out"));
            }
            time.filter(|time| !time.is_zero())
        };
        let start_after: Option<Duration> = reader.optional("start_after");
        let duration = above_zero(&mut reader, "duration");
        let period = above_zero(&mut reader, "period");
        let ramp = above_zero(&mut reader, "ramp");
        let of = read_ramp_of(&mut reader, ramp.is_some());
        let start = read_start(&mut reader);
        match (duration, period) {
            (None, Some(_)) => reader.reject("period", "repeats nothing", Some("give duration, the time it acts")),
            (Some(duration), Some(period)) if duration >= period => {
                reader.reject("period", "is not longer than duration: it would never rest", Some("leave both out"));
            }
            _ => {}
        }
        if let (Some(duration), Some(ramp)) = (duration, ramp)
            && ramp > duration
        {
            reader.reject("ramp", "is longer than duration: it never gets to the top", Some("shorten it"));
        }
        reader.finish();
        let ramp = ramp.map(|over| Ramp { over, of });
        Self { start_after: start_after.unwrap_or_default(), duration, period, ramp, start }
    }

    /// The origin for a rule that becomes enabled now.
    pub(super) fn origin(&self, now: Instant, wall: SystemTime) -> Origin {
        match self.start.map(|start| start.duration_since(wall)) {
            None => Origin { at: now, elapsed: Duration::ZERO },
            Some(Ok(ahead)) => Origin { at: now + ahead, elapsed: Duration::ZERO },
            Some(Err(behind)) => Origin { at: now, elapsed: behind.duration() },
        }
    }

    /// For how long it has been acting this time; `None` while it rests.
    pub(super) fn acting_for(&self, origin: Origin, now: Instant) -> Option<Duration> {
        let age = self.age(origin, now)?;
        let within = self.period.map_or(age, |period| remainder(age, period));
        self.duration.is_none_or(|duration| within < duration).then_some(within)
    }

    /// Where it stands at this moment.
    pub(super) fn phase(&self, origin: Origin, now: Instant) -> Phase {
        let Some(within) = self.acting_for(origin, now) else { return Phase::Rests };
        Phase::Acts(self.ramp.map_or(1.0, |ramp| (within.as_secs_f64() / ramp.over.as_secs_f64()).min(1.0)))
    }

    /// How many times it has acted to the end.
    pub(super) fn ends(&self, origin: Origin, now: Instant) -> u64 {
        let (Some(duration), Some(age)) = (self.duration, self.age(origin, now)) else { return 0 };
        match self.period {
            None => u64::from(age >= duration),
            Some(period) => {
                let whole = (age.as_nanos() / period.as_nanos()) as u64;
                whole + u64::from(remainder(age, period) >= duration)
            }
        }
    }

    /// When it comes to an end next, after this moment.
    pub(super) fn next_end(&self, origin: Origin, now: Instant) -> Option<Instant> {
        let duration = self.duration?;
        let first = origin.at + self.start_after;
        let Some(age) = self.age(origin, now) else { return Some(first + duration) };
        let within = match self.period {
            None => age,
            Some(period) => remainder(age, period),
        };
        match (within < duration, self.period) {
            (true, _) => Some(now + (duration - within)),
            (false, Some(period)) => Some(now + (period - within) + duration),
            (false, None) => None,
        }
    }

    /// The time since it first began to act; `None` before.
    fn age(&self, origin: Origin, now: Instant) -> Option<Duration> {
        let since = now.checked_duration_since(origin.at)? + origin.elapsed;
        since.checked_sub(self.start_after)
    }

    /// In words: `from 10.0s on, for 30.0s, every 2m00s`.
    pub fn describe(&self) -> String {
        let mut parts = Vec::new();
        if let Some(start) = self.start {
            parts.push(format!("from {} on", humantime::format_rfc3339_seconds(start)));
        }
        if !self.start_after.is_zero() {
            parts.push(format!("after {}", show_duration(self.start_after)));
        }
        if let Some(duration) = self.duration {
            parts.push(format!("for {}", show_duration(duration)));
        }
        if let Some(period) = self.period {
            parts.push(format!("every {}", show_duration(period)));
        }
        if let Some(Ramp { over, of }) = self.ramp {
            let what = if of == RampOf::Probability { "probability" } else { "strength" };
            parts.push(format!("its {what} growing over {}", show_duration(over)));
        }
        parts.join(", ")
    }
}

fn remainder(age: Duration, period: Duration) -> Duration {
    let nanos = age.as_nanos() % period.as_nanos().max(1);
    Duration::new((nanos / 1_000_000_000) as u64, (nanos % 1_000_000_000) as u32)
}

fn read_ramp_of(reader: &mut Reader<'_>, has_ramp: bool) -> RampOf {
    const WORDS: Option<&str> = Some("\"probability\" or \"strength\"");
    let Some(text) = reader.optional::<String>("ramp_of") else { return RampOf::Probability };
    if !has_ramp {
        reader.reject("ramp_of", "there is no ramp", Some("for example ramp = \"5s\""));
    }
    match text.as_str() {
        "probability" => RampOf::Probability,
        "strength" => RampOf::Strength,
        _ => {
            reader.reject("ramp_of", format!("there is no {text:?}"), WORDS);
            RampOf::Probability
        }
    }
}

fn read_start(reader: &mut Reader<'_>) -> Option<SystemTime> {
    let text: String = reader.optional("start")?;
    let start = humantime::parse_rfc3339(&text).ok();
    if start.is_none() {
        let cure = Some("a date with its time in UTC, such as \"2026-03-01T09:00:00Z\"");
        reader.reject("start", format!("{text:?} is not valid"), cure);
    }
    start
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::clock;
    use crate::diagnostics::Node;

    fn read(toml: &str) -> Result<Schedule, String> {
        let node = Node::from_toml("r.toml", toml).unwrap();
        let problems = RefCell::default();
        let schedule = Schedule::read(Reader::new("r.toml", &node, "schedule", &problems));
        problems.into_inner().or(schedule).map_err(|p| p.to_string())
    }

    /// Where it stands each second: `.` rests, else its growth in tenths.
    fn seconds(toml: &str, until: u64) -> String {
        let (schedule, now) = (read(toml).unwrap(), clock::now());
        let origin = schedule.origin(now, SystemTime::now());
        let phase = |s| match schedule.phase(origin, now + Duration::from_secs(s)) {
            Phase::Rests => '.',
            Phase::Acts(1.0) => 'x',
            Phase::Acts(grown) => char::from_digit((grown * 10.0).round() as u32, 10).unwrap(),
        };
        (0..until).map(phase).collect()
    }

    #[test]
    fn it_acts_from_its_beginning_for_its_duration_and_again_each_period() {
        assert_eq!(seconds("", 5), "xxxxx");
        assert_eq!(seconds("start_after = \"3s\"", 6), "...xxx");
        assert_eq!(seconds("duration = \"2s\"", 5), "xx...");
        assert_eq!(seconds("start_after = \"1s\"\nduration = \"2s\"\nperiod = \"5s\"", 13), ".xx...xx...xx");
    }

    #[test]
    fn a_ramp_grows_evenly_at_each_beginning() {
        assert_eq!(seconds("start_after = \"1s\"\nramp = \"5s\"", 8), ".02468xx");
        assert_eq!(seconds("ramp = \"2s\"\nduration = \"4s\"\nperiod = \"6s\"", 10), "05xx..05xx");
    }

    #[test]
    fn a_date_counts_whenever_the_rule_was_enabled() {
        let (now, wall) = (clock::now(), SystemTime::now());
        let schedule =
            |start| Schedule { start: Some(start), duration: Some(Duration::from_secs(10)), ..read("").unwrap() };
        let second = Duration::from_secs(1);
        let ahead = schedule(wall + second * 5);
        let origin = ahead.origin(now, wall);
        assert_eq!(ahead.phase(origin, now + second * 4), Phase::Rests);
        assert_eq!(ahead.phase(origin, now + second * 14), Phase::Acts(1.0));
        assert_eq!(ahead.next_end(origin, now), Some(now + second * 15));
        let behind = schedule(wall - second * 4);
        let origin = behind.origin(now, wall);
        assert_eq!(behind.phase(origin, now + second * 5), Phase::Acts(1.0));
        assert_eq!(behind.phase(origin, now + second * 6), Phase::Rests);
        assert_eq!(behind.next_end(origin, now), Some(now + second * 6));
        assert!(
            read("start = 2026-03-01T09:00:00Z").unwrap().start
                == read("start = \"2026-03-01T09:00:00Z\"").unwrap().start
        );
    }

    #[test]
    fn ends_are_known_before_and_counted_after() {
        let schedule = read("start_after = \"1s\"\nduration = \"2s\"\nperiod = \"5s\"").unwrap();
        let now = clock::now();
        let origin = schedule.origin(now, SystemTime::now());
        let at = |s| now + Duration::from_secs(s);
        for (second, ends, next) in [(0, 0, 3), (1, 0, 3), (2, 0, 3), (3, 1, 8), (6, 1, 8), (8, 2, 13)] {
            assert_eq!(schedule.ends(origin, at(second)), ends, "{second} s");
            assert_eq!(schedule.next_end(origin, at(second)), Some(at(next)), "{second} s");
        }
        let once = read("duration = \"2s\"").unwrap();
        let origin = once.origin(now, SystemTime::now());
        assert_eq!((once.ends(origin, at(2)), once.next_end(origin, at(2))), (1, None));
        assert_eq!(read("").unwrap().next_end(origin, at(9)), None);
    }

    #[test]
    fn a_schedule_that_makes_no_sense_is_a_mistake() {
        for (toml, wanted) in [
            ("period = \"1m\"", "repeats nothing"),
            ("duration = \"1m\"\nperiod = \"1m\"", "never rest"),
            ("duration = \"0s\"", "0s is no time"),
            ("ramp = \"5s\"\nduration = \"4s\"", "never gets to the top"),
            ("ramp_of = \"strength\"", "there is no ramp"),
            ("ramp = \"5s\"\nramp_of = \"power\"", "there is no \"power\""),
            ("start = \"tomorrow\"", "\"tomorrow\" is not valid"),
            ("start_afer = \"1s\"", "did you mean \"start_after\"?"),
        ] {
            let problems = read(toml).unwrap_err();
            assert!(problems.contains(wanted), "{toml}: {problems}");
        }
    }

    #[test]
    fn a_schedule_reads_like_this() {
        let words =
            read("start_after = \"10s\"\nduration = \"30s\"\nperiod = \"2m\"\nramp = \"5s\"").unwrap().describe();
        assert_eq!(words, "after 10.0s, for 30.0s, every 2m00s, its probability growing over 5.00s");
    }
}
