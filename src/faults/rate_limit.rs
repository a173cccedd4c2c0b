//! `rate-limit`: 429, with the headers that tell a client when to come back; whether it obeys is counted.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, StatusCode};

use super::memory::Memory;
use super::{Answer, Fault, Figure, Kind, RequestEffect, RequestView, Terminal};
use crate::clock::Instant;
use crate::diagnostics::Reader;
use crate::dice::Dice;
use crate::units::Rate;

pub(super) const KIND: Kind = Kind {
    name: "rate-limit",
    summary: "429 with `Retry-After`, `RateLimit` and `RateLimit-Policy` beyond the rate; who comes back too early is \
              counted (`returned_early`, `returned_in_time` in `/api/v1/rules`)",
    parameters: "`rate`; `burst` (default: one second's worth, at least 1); `by` = all | client | header:NAME, whose \
                 requests share one budget (default all)",
    example: "kind = \"rate-limit\"\n\
              rate = \"10/s\"\n\
              burst = 20\n\
              by = \"header:x-api-key\"\n",
    compile,
};

const LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// More budgets than this are not kept apart: those that are full again are forgotten first.
const BUDGETS: usize = 10_000;

/// Whose requests share a budget.
#[derive(Debug, Clone, PartialEq, Eq)]
enum By {
    All,
    Client,
    Header(HeaderName),
}

#[derive(Debug)]
struct RateLimit {
    /// Requests a second.
    rate: f64,
    burst: u32,
    by: By,
}

/// What is remembered: the budgets, by the hash of whose they are, and who came back when.
#[derive(Default)]
struct Known {
    hasher: RandomState,
    budgets: HashMap<u64, Budget>,
    early: u64,
    in_time: u64,
}

/// A token bucket.
struct Budget {
    tokens: f64,
    at: Instant,
    /// Until when it was told to stay away.
    told: Option<Instant>,
}

fn compile(reader: &mut Reader<'_>) -> Option<Arc<dyn Fault>> {
    let rate: Option<Rate> = reader.required("rate", "\"10/s\"");
    let burst: Option<u32> = reader.optional("burst");
    if burst == Some(0) {
        reader.reject("burst", "0 lets nothing through", Some("a count from 1; fault \"error\" answers everything"));
    }
    let by = by(reader);
    let rate = rate?.per_second();
    if rate <= 0.0 {
        reader.reject("rate", "lets nothing through", Some("more than 0; fault \"error\" answers everything"));
    }
    Some(Arc::new(RateLimit { rate, burst: burst.unwrap_or(rate.ceil().max(1.0) as u32), by: by? }))
}

fn by(reader: &mut Reader<'_>) -> Option<By> {
    let text: String = reader.or("by", "all".to_owned());
    let by = match (text.as_str(), text.strip_prefix("header:")) {
        ("all", _) => Some(By::All),
        ("client", _) => Some(By::Client),
        (_, Some(name)) => HeaderName::try_from(name).ok().map(By::Header),
        _ => None,
    };
    if by.is_none() {
        reader.reject("by", format!("\"{text}\" is not valid"), Some("\"all\", \"client\" or \"header:x-api-key\""));
    }
    by
}

impl RateLimit {
    /// Whose request it is. Those without the header share a budget.
    fn key(&self, hasher: &RandomState, request: &RequestView<'_>) -> u64 {
        match &self.by {
            By::All => 0,
            By::Client => hasher.hash_one(request.client),
            By::Header(name) => hasher.hash_one(request.headers.get(name).map(HeaderValue::as_bytes)),
        }
    }

    /// `None` if the request is within its budget, else how long it should have waited.
    fn judge(&self, known: &mut Known, request: &RequestView<'_>, now: Instant) -> Option<Duration> {
        let key = self.key(&known.hasher, request);
        let full = f64::from(self.burst);
        if known.budgets.len() >= BUDGETS && !known.budgets.contains_key(&key) {
            let refilled =
                |b: &Budget| b.tokens + now.saturating_duration_since(b.at).as_secs_f64() * self.rate >= full;
            known.budgets.retain(|_, budget| !refilled(budget));
            if known.budgets.len() >= BUDGETS {
                known.budgets.clear();
            }
        }
        let budget = known.budgets.entry(key).or_insert(Budget { tokens: full, at: now, told: None });
        let earned = now.saturating_duration_since(budget.at).as_secs_f64() * self.rate;
        (budget.tokens, budget.at) = ((budget.tokens + earned).min(full), now);
        match budget.told {
            Some(until) if now < until => known.early += 1,
            Some(_) => {
                known.in_time += 1;
                budget.told = None;
            }
            None => {}
        }
        if budget.tokens >= 1.0 {
            budget.tokens -= 1.0;
            return None;
        }
        // Whole seconds, as the header has it: what a client is told is what it is held to.
        let wait = Duration::from_secs(((1.0 - budget.tokens) / self.rate).ceil().clamp(1.0, 1e9) as u64);
        budget.told = Some(budget.told.unwrap_or(now).max(now + wait));
        Some(wait)
    }

    fn answer(&self, wait: Duration) -> Answer {
        let seconds = wait.as_secs();
        let window = (f64::from(self.burst) / self.rate).ceil().clamp(1.0, 1e9) as u64;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        let fields = [
            (LIMIT, format!("\"brownout\";r=0;t={seconds}")),
            (POLICY, format!("\"brownout\";q={};w={window}", self.burst)),
        ];
        for (name, value) in fields {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        }
        let body = Bytes::from_static(b"too many requests\n");
        Answer { status: StatusCode::TOO_MANY_REQUESTS, headers, body, template: None }
    }
}

impl Fault for RateLimit {
    /// What it may do to a request: whether it does depends on those before.
    fn on_request(&self, _: &RequestView<'_>, _: Dice) -> RequestEffect {
        let wait = Duration::from_secs_f64((1.0 / self.rate).clamp(1.0, 1e9));
        RequestEffect { terminal: Some(Terminal::Answer(self.answer(wait))), ..RequestEffect::default() }
    }

    fn on_request_knowing(&self, request: &RequestView<'_>, _: Dice, memory: &Memory, now: Instant) -> RequestEffect {
        let wait = memory.with(|known: &mut Known| self.judge(known, request, now));
        RequestEffect { terminal: wait.map(|wait| Terminal::Answer(self.answer(wait))), ..RequestEffect::default() }
    }

    fn is_certain(&self) -> bool {
        false
    }

    fn figures(&self, memory: &Memory) -> Vec<Figure> {
        let (early, in_time) = memory.with(|known: &mut Known| (known.early, known.in_time));
        vec![("returned_early", early), ("returned_in_time", in_time)]
    }

    fn describe(&self) -> String {
        let whose = match &self.by {
            By::All => String::new(),
            By::Client => " of a client".to_owned(),
            By::Header(name) => format!(" with the same {name}"),
        };
        format!("answers 429 to requests{whose} beyond {:.3}/s, {} at once", self.rate, self.burst)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{compiled, dice, problems_of, request};
    use super::*;

    /// The seconds after which each request comes; `None` passes, else the Retry-After.
    fn told(fault: &Arc<dyn Fault>, memory: &Memory, after: &[f64]) -> Vec<Option<String>> {
        let start = Instant::now();
        let tell = |after: &f64| {
            let now = start + Duration::from_secs_f64(*after);
            match fault.on_request_knowing(&request(), dice(), memory, now).terminal {
                Some(Terminal::Answer(answer)) => Some(answer.headers["retry-after"].to_str().unwrap().to_owned()),
                _ => None,
            }
        };
        after.iter().map(tell).collect()
    }

    #[test]
    fn beyond_the_burst_requests_are_told_when_to_come_back_and_counted_when_they_do() {
        let fault = compiled("kind = \"rate-limit\"\nrate = \"1/s\"\nburst = 2");
        let memory = Memory::default();
        let told = told(&fault, &memory, &[0.0, 0.1, 0.2, 0.5, 1.6, 2.6]);
        let second = || Some("1".to_owned());
        assert_eq!(told, [None, None, second(), second(), None, None]);
        // 0.5 and nothing else came within the second that was told at 0.2, then again at 0.5.
        assert_eq!(fault.figures(&memory), [("returned_early", 1), ("returned_in_time", 1)]);
        assert!(!fault.is_certain());
    }

    #[test]
    fn the_headers_name_the_policy() {
        let fault = compiled(KIND.example);
        let Some(Terminal::Answer(answer)) = fault.on_request(&request(), dice()).terminal else { panic!() };
        assert_eq!(answer.headers["ratelimit-policy"], "\"brownout\";q=20;w=2");
        assert_eq!(answer.headers["ratelimit"], "\"brownout\";r=0;t=1");
        assert_eq!(fault.describe(), "answers 429 to requests with the same x-api-key beyond 10.000/s, 20 at once");
    }

    #[test]
    fn each_key_has_a_budget_of_its_own() {
        let fault = compiled("kind = \"rate-limit\"\nrate = \"1/s\"\nby = \"header:x-user\"");
        let (memory, now) = (Memory::default(), Instant::now());
        let asks = |user: &'static str| {
            let headers = HeaderMap::from_iter([(HeaderName::from_static("x-user"), HeaderValue::from_static(user))]);
            let view = RequestView { headers: &headers, ..request() };
            fault.on_request_knowing(&view, dice(), &memory, now).terminal.is_none()
        };
        assert_eq!(["ann", "bob", "ann"].map(asks), [true, true, false]);
    }

    #[test]
    fn budgets_do_not_grow_without_end() {
        let limit = RateLimit { rate: 1.0, burst: 1, by: By::Header(HeaderName::from_static("k")) };
        let (mut known, now) = (Known::default(), Instant::now());
        for n in 0..2 * BUDGETS {
            let headers = HeaderMap::from_iter([(HeaderName::from_static("k"), HeaderValue::from(n))]);
            limit.judge(&mut known, &RequestView { headers: &headers, ..request() }, now);
        }
        assert!(known.budgets.len() <= BUDGETS);
    }

    #[test]
    fn mistakes_name_the_key_and_the_cure() {
        for (rest, wanted) in [
            ("", "\"rate\" is missing"),
            ("rate = \"1/s\"\nburst = 0", "burst: 0 lets nothing through"),
            ("rate = \"1/s\"\nby = \"user\"", "by: \"user\" is not valid"),
        ] {
            let problems = problems_of(&format!("kind = \"rate-limit\"\n{rest}"));
            assert!(problems.contains(wanted), "{rest}: {problems}");
        }
    }
}
