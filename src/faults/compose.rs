//! How the faults of several rules are put together: one law, in one place.
//!
//! Delays add. The first terminal effect wins. Head edits are made one after another, and so are changes of a body.
//! Of several body rates the slowest acts, of several cuts the earliest; every stall takes place. Everything else a
//! fault asked for is kept, so that it can take over when the winner's rule is released, and is counted as skipped if
//! it never did.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use smallvec::SmallVec;

use super::body::Rewrite;
use super::corrupt::Corruption;
use super::effect::{BodyEffect, CutAt, CutEnd, RequestEffect, ResponseEffect, Stall, Terminal};
use super::header::Edits;
use crate::units::ByteRate;

/// Which fault of which hit of a plan asked for something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Source {
    /// Index of the hit in its plan: composition order.
    pub hit: usize,
    /// Index of the fault in its rule.
    pub fault: usize,
}

/// One thing asked for, and by whom.
pub type Asked<T> = SmallVec<[(Source, T); 1]>;

/// What one request will suffer before the upstream is contacted, in this order, and on its way there.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RequestCourse {
    /// Who tells an HTTP/2 client that its connection ends.
    pub goaways: Asked<()>,
    /// Waits, one after another: they add.
    pub delays: Asked<Duration>,
    /// Terminal effects in composition order: the first whose rule is not released acts.
    pub terminals: Asked<Terminal>,
    /// Changes of the head, one after another; `false` for those that only prepare for what befalls the response.
    pub edits: Asked<(Arc<Edits>, bool)>,
    /// What happens to the body.
    pub body: BodyCourse,
    /// How many more times it is sent: they add.
    pub copies: Asked<u32>,
}

/// What one response will suffer, in this order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ResponseCourse {
    /// Waits, one after another: they add.
    pub delays: Asked<Duration>,
    /// Terminal effects in composition order: the first whose rule is not released acts.
    pub terminals: Asked<Terminal>,
    /// Changes of the head, one after another.
    pub edits: Asked<Arc<Edits>>,
    /// What happens to the body.
    pub body: BodyCourse,
    /// Fields for the trailers, one after another.
    pub trailers: Asked<Arc<HeaderMap>>,
    /// Who is to be asked about each WebSocket message.
    pub messages: Asked<()>,
}

/// What a body will suffer, in this order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BodyCourse {
    /// Changes of the whole body, one after another.
    pub rewrites: Asked<Arc<Rewrite>>,
    /// Changes of its bytes, one after another.
    pub corruptions: Asked<Corruption>,
    /// Rates with the size of a piece, slowest first: the first whose rule is not released acts.
    pub rates: Asked<(ByteRate, Option<u64>)>,
    /// Pauses, earliest first: all of them take place.
    pub stalls: Asked<Stall>,
    /// Ends by the number of bytes, earliest first: the first whose rule is not released acts.
    pub cuts: Asked<(u64, CutEnd)>,
    /// Ends by the time since the head, earliest first: the first whose rule is not released acts, unless a cut comes
    /// before.
    pub deadlines: Asked<(Duration, CutEnd)>,
}

/// Composes what was asked of a request.
pub fn request_course(effects: impl IntoIterator<Item = (Source, RequestEffect)>) -> RequestCourse {
    let mut course = RequestCourse::default();
    for (source, effect) in effects {
        course.delays.extend((!effect.delay.is_zero()).then_some((source, effect.delay)));
        course.goaways.extend(effect.goaway.then_some((source, ())));
        course.terminals.extend(effect.terminal.map(|t| (source, t)));
        course.edits.extend(effect.prepare.map(|e| (source, (e, false))));
        course.edits.extend(effect.edits.map(|e| (source, (e, true))));
        course.copies.extend((effect.copies > 0).then_some((source, effect.copies)));
        course.body.add(source, effect.body);
    }
    course.body.sort();
    course
}

/// Composes what was asked of a response.
pub fn response_course(effects: impl IntoIterator<Item = (Source, ResponseEffect)>) -> ResponseCourse {
    let mut course = ResponseCourse::default();
    for (source, effect) in effects {
        course.delays.extend((!effect.delay.is_zero()).then_some((source, effect.delay)));
        course.terminals.extend(effect.terminal.map(|t| (source, t)));
        course.edits.extend(effect.edits.map(|e| (source, e)));
        course.trailers.extend(effect.trailers.map(|t| (source, t)));
        course.messages.extend(effect.messages.then_some((source, ())));
        course.body.add(source, effect.body);
    }
    course.body.sort();
    course
}

impl BodyCourse {
    fn add(&mut self, source: Source, effect: BodyEffect) {
        self.rewrites.extend(effect.rewrite.map(|rewrite| (source, rewrite)));
        self.corruptions.extend(effect.corrupt.map(|corruption| (source, corruption)));
        self.rates.extend(effect.rate.map(|rate| (source, (rate, effect.chunk))));
        self.stalls.extend(effect.stall.map(|stall| (source, stall)));
        match effect.cut.map(|cut| (cut.at, cut.end)) {
            Some((CutAt::Bytes(after), end)) => self.cuts.push((source, (after, end))),
            Some((CutAt::Time(after), end)) => self.deadlines.push((source, (after, end))),
            None => {}
        }
    }

    fn sort(&mut self) {
        self.rates.sort_by(|(_, (a, _)), (_, (b, _))| a.per_second().total_cmp(&b.per_second()));
        self.stalls.sort_by_key(|(_, stall)| stall.after);
        self.cuts.sort_by_key(|(_, (after, _))| *after);
        self.deadlines.sort_by_key(|(_, (after, _))| *after);
    }

    /// The body passes as it is.
    pub fn is_empty(&self) -> bool {
        self.rewrites.is_empty() && self.shapes_nothing()
    }

    /// Whatever the body is, its bytes pass as they come.
    pub fn shapes_nothing(&self) -> bool {
        self.corruptions.is_empty()
            && self.rates.is_empty()
            && self.stalls.is_empty()
            && self.cuts.is_empty()
            && self.deadlines.is_empty()
    }

    /// Drops what these hits asked for.
    pub fn forget(&mut self, gone: impl Fn(usize) -> bool) {
        self.rewrites.retain(|(source, _)| !gone(source.hit));
        self.corruptions.retain(|(source, _)| !gone(source.hit));
        self.rates.retain(|(source, _)| !gone(source.hit));
        self.stalls.retain(|(source, _)| !gone(source.hit));
        self.cuts.retain(|(source, _)| !gone(source.hit));
        self.deadlines.retain(|(source, _)| !gone(source.hit));
    }

    /// Everybody who may still act on the bytes of this body.
    pub fn sources(&self) -> impl Iterator<Item = Source> + '_ {
        let corruptions = self.corruptions.iter().map(|(source, _)| *source);
        let rates = self.rates.iter().map(|(source, _)| *source);
        let stalls = self.stalls.iter().map(|(source, _)| *source);
        let cuts = self.cuts.iter().map(|(source, _)| *source);
        let deadlines = self.deadlines.iter().map(|(source, _)| *source);
        corruptions.chain(rates).chain(stalls).chain(cuts).chain(deadlines)
    }

    /// Those of them who win when nobody is released: they mark the head.
    pub fn winners(&self) -> impl Iterator<Item = Source> + '_ {
        let corruptions = self.corruptions.iter().map(|(source, _)| *source);
        let stalls = self.stalls.iter().map(|(source, _)| *source);
        let rate = self.rates.first().map(|(source, _)| *source);
        let cut = self.cuts.first().map(|(source, _)| *source);
        let deadline = self.deadlines.first().map(|(source, _)| *source);
        corruptions.chain(rate).chain(stalls).chain(cut).chain(deadline)
    }
}

/// Who acts when a request takes its course to the end, with a body long enough for everything.
pub fn acting(request: &RequestCourse, response: &ResponseCourse) -> Vec<Source> {
    fn of<T>(asked: &Asked<T>) -> impl Iterator<Item = Source> + '_ {
        asked.iter().map(|(source, _)| *source)
    }
    let mut acting: Vec<Source> = of(&request.delays).chain(of(&request.goaways)).collect();
    if let Some((source, _)) = request.terminals.first() {
        acting.push(*source);
        return distinct(acting);
    }
    acting.extend(request.edits.iter().filter(|(_, (_, counts))| *counts).map(|(source, _)| *source));
    acting.extend(of(&request.copies));
    acting.extend(of(&request.body.rewrites).chain(request.body.winners()));
    acting.extend(of(&response.delays));
    if let Some((source, _)) = response.terminals.first() {
        acting.push(*source);
        return distinct(acting);
    }
    acting.extend(of(&response.edits).chain(of(&response.trailers)).chain(of(&response.messages)));
    acting.extend(of(&response.body.rewrites).chain(response.body.winners()));
    distinct(acting)
}

fn distinct(mut sources: Vec<Source>) -> Vec<Source> {
    sources.sort_by_key(|source| (source.hit, source.fault));
    sources.dedup();
    sources
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::faults::testing::{compiled, dice, request, response};
    use crate::faults::{CloseHow, HangEnd};
    use crate::units::{ByteSize, show_duration};

    /// What a fault is called in the table, and how it is written.
    const FAULTS: &[(&str, &str)] = &[
        ("latency 100ms", "kind = \"latency\"\ndelay = \"100ms\""),
        ("latency 400ms", "kind = \"latency\"\ndelay = \"400ms\""),
        ("latency 50ms (response)", "kind = \"latency\"\ndelay = \"50ms\"\nside = \"response\""),
        ("error 503", "kind = \"error\"\nstatus = 503"),
        ("error 429", "kind = \"error\"\nstatus = 429"),
        ("error 500 (after_upstream)", "kind = \"error\"\nstatus = 500\nafter_upstream = true"),
        ("timeout", "kind = \"timeout\""),
        ("slow-body 64KiB/s", "kind = \"slow-body\"\nrate = \"64KiB/s\""),
        ("slow-body 1KiB/s", "kind = \"slow-body\"\nrate = \"1KiB/s\""),
        ("slow-body 1KiB/s (request)", "kind = \"slow-body\"\nrate = \"1KiB/s\"\ndirection = \"request\""),
        ("slow-body stall at 2KiB", "kind = \"slow-body\"\nstall_after = \"2KiB\"\nstall_for = \"5s\""),
        ("abort body at 4KiB", "kind = \"abort\"\nat = \"body\"\nafter_bytes = \"4KiB\""),
        ("abort body at 1KiB", "kind = \"abort\"\nat = \"body\"\nafter_bytes = \"1KiB\""),
        ("abort body after 2s", "kind = \"abort\"\nat = \"body\"\nafter = \"2s\""),
        ("abort request", "kind = \"abort\""),
        ("truncate at 2KiB", "kind = \"truncate\"\nafter_bytes = \"2KiB\"\nend = \"complete\""),
        ("corrupt 1%", "kind = \"corrupt\"\nshare = 0.01"),
        ("body merge a", "kind = \"body\"\nmerge = { a = 1 }"),
        ("body merge b", "kind = \"body\"\nmerge = { b = 1 }"),
        ("body replace", "kind = \"body\"\nreplace = \"x\""),
        ("header set a", "kind = \"header\"\nset = { a = \"1\" }"),
        ("header remove b", "kind = \"header\"\nremove = [\"b\"]"),
        ("header set c (request)", "kind = \"header\"\ndirection = \"request\"\nset = { c = \"1\" }"),
        ("duplicate 1", "kind = \"duplicate\""),
        ("duplicate 2", "kind = \"duplicate\"\ntimes = 2"),
        ("goaway", "kind = \"goaway\""),
    ];

    /// What the rules of one request ask for, in composition order, and what then happens: the law, row by row.
    pub(in super::super) const LAW: &[(&[&str], &str)] = &[
        (&["latency 100ms", "latency 400ms"], "waits 500ms; the upstream is asked; its answer is sent"),
        (
            &["latency 100ms", "latency 50ms (response)"],
            "waits 100ms; the upstream is asked; waits 50.0ms; its answer is sent",
        ),
        (&["error 503", "latency 100ms"], "waits 100ms; answers 503"),
        (&["error 503", "error 429"], "answers 503"),
        (&["timeout", "error 503"], "stays silent"),
        (&["abort request", "timeout"], "resets the connection"),
        (&["goaway", "error 503"], "says GOAWAY; answers 503"),
        (&["error 503", "slow-body 64KiB/s", "latency 50ms (response)"], "answers 503"),
        (&["error 500 (after_upstream)", "error 503"], "answers 503"),
        (&["error 503", "header set c (request)", "duplicate 1"], "answers 503"),
        (&["error 500 (after_upstream)", "slow-body 64KiB/s"], "the upstream is asked; answers 500"),
        (
            &["error 500 (after_upstream)", "latency 50ms (response)"],
            "the upstream is asked; waits 50.0ms; answers 500",
        ),
        (
            &["duplicate 1", "duplicate 2", "header set c (request)"],
            "the upstream is asked, c set, 4 times; its answer is sent",
        ),
        (
            &["slow-body 1KiB/s (request)", "slow-body 64KiB/s"],
            "the upstream is asked at 1KiB/s; its answer is sent at 64KiB/s",
        ),
        (&["header set a", "header remove b"], "the upstream is asked; its answer is sent, a set, b removed"),
        (&["slow-body 64KiB/s", "slow-body 1KiB/s"], "the upstream is asked; its answer is sent at 1KiB/s"),
        (
            &["slow-body stall at 2KiB", "slow-body 1KiB/s"],
            "the upstream is asked; its answer is sent at 1KiB/s with a pause after 2KiB",
        ),
        (&["body merge a", "body merge b"], "the upstream is asked; its answer is sent, a changed, b changed"),
        (
            &["corrupt 1%", "body merge a", "body replace"],
            "the upstream is asked; its answer is sent, a changed, replaced, then corrupted",
        ),
        (
            &["abort body at 4KiB", "abort body at 1KiB"],
            "the upstream is asked; its answer is sent; the connection is reset after 1KiB of the body",
        ),
        (
            &["truncate at 2KiB", "abort body at 4KiB"],
            "the upstream is asked; its answer is sent; it is complete after 2KiB of the body",
        ),
        (
            &["abort body at 4KiB", "slow-body 64KiB/s"],
            "the upstream is asked; its answer is sent at 64KiB/s; the connection is reset after 4KiB of the body",
        ),
        (
            &["abort body after 2s", "abort body at 4KiB"],
            "the upstream is asked; its answer is sent; \
             the connection is reset after 4KiB of the body, or after 2.00s",
        ),
    ];

    fn fault(words: &str) -> Arc<dyn crate::faults::Fault> {
        let found = FAULTS.iter().find(|(name, _)| *name == words);
        compiled(found.unwrap_or_else(|| panic!("{words} is not among the faults")).1)
    }

    fn courses(asked: &[&str]) -> (RequestCourse, ResponseCourse) {
        let faults = asked.iter().map(|words| fault(words)).collect::<Vec<_>>();
        let sources = || faults.iter().enumerate().map(|(hit, fault)| (Source { hit, fault: 0 }, fault));
        let before = request_course(sources().map(|(source, fault)| (source, fault.on_request(&request(), dice()))));
        let after = response_course(sources().map(|(source, fault)| (source, fault.on_response(&response(), dice()))));
        (before, after)
    }

    /// Plays the courses to their end, in words.
    fn played(asked: &[&str]) -> String {
        let (before, after) = courses(asked);
        let mut words = Vec::new();
        words.extend(before.goaways.first().map(|_| "says GOAWAY".to_owned()));
        words.extend(waits(&before.delays));
        if let Some((_, terminal)) = before.terminals.first() {
            words.push(ends(terminal));
            return words.join("; ");
        }
        let edits = before.edits.iter().filter(|(_, (_, counts))| *counts).map(|(_, (edits, _))| edited(edits));
        let times: u32 = before.copies.iter().map(|(_, times)| times).sum();
        let times = if times > 0 { format!(", {} times", times + 1) } else { String::new() };
        words.push(format!("the upstream is asked{}{}{times}", paced(&before.body), edits.collect::<String>()));
        words.extend(waits(&after.delays));
        if let Some((_, terminal)) = after.terminals.first() {
            words.push(ends(terminal));
            return words.join("; ");
        }
        let edits = after.edits.iter().map(|(_, edits)| edited(edits)).collect::<String>();
        words.push(format!("its answer is sent{}{edits}", paced(&after.body)));
        words.extend(cut(&after.body));
        words.join("; ")
    }

    fn waits(delays: &Asked<Duration>) -> Option<String> {
        let sum: Duration = delays.iter().map(|(_, delay)| *delay).sum();
        (!sum.is_zero()).then(|| format!("waits {}", show_duration(sum)))
    }

    fn edited(edits: &Arc<Edits>) -> String {
        let removed = edits.remove.iter().map(|name| format!(", {name} removed"));
        removed.chain(edits.set.keys().map(|name| format!(", {name} set"))).collect()
    }

    fn paced(body: &BodyCourse) -> String {
        let mut words = String::new();
        for (_, rewrite) in &body.rewrites {
            match &**rewrite {
                Rewrite::Replace { .. } => words.push_str(", replaced"),
                Rewrite::Merge { patch, .. } => {
                    patch.as_object().unwrap().keys().for_each(|key| words.push_str(&format!(", {key} changed")));
                }
            }
        }
        body.corruptions.iter().for_each(|_| words.push_str(", then corrupted"));
        body.rates.first().iter().for_each(|(_, (rate, _))| words.push_str(&format!(" at {rate}")));
        for (_, stall) in &body.stalls {
            words.push_str(&format!(" with a pause after {}", ByteSize(stall.after)));
        }
        words
    }

    fn cut(body: &BodyCourse) -> Option<String> {
        let (_, (after, end)) = body.cuts.first()?;
        let after = ByteSize(*after);
        let deadline = body.deadlines.first().map(|(_, (time, _))| format!(", or after {}", show_duration(*time)));
        Some(match end {
            CutEnd::Complete => format!("it is complete after {after} of the body"),
            CutEnd::Broken(_) => {
                format!("the connection is reset after {after} of the body{}", deadline.unwrap_or_default())
            }
        })
    }

    fn ends(terminal: &Terminal) -> String {
        match terminal {
            Terminal::Answer(answer) => format!("answers {}", answer.status.as_u16()),
            Terminal::Hang { wait: None, then: HangEnd::Close(CloseHow::Close) } => "stays silent".to_owned(),
            Terminal::Close(CloseHow::Reset) => "resets the connection".to_owned(),
            other => panic!("{other:?} has no words here"),
        }
    }

    #[test]
    fn the_law_holds_row_by_row() {
        for (asked, happens) in LAW {
            assert_eq!(played(asked), *happens, "{asked:?}");
        }
    }

    #[test]
    fn who_acts_is_who_is_not_hidden() {
        let hits = |asked: &[&str]| {
            let (before, after) = courses(asked);
            acting(&before, &after).iter().map(|source| source.hit).collect::<Vec<_>>()
        };
        assert_eq!(hits(&["latency 100ms", "error 503", "header set a", "duplicate 1"]), [0, 1]);
        assert_eq!(hits(&["body merge a", "corrupt 1%", "slow-body 64KiB/s", "slow-body 1KiB/s"]), [0, 1, 3]);
        assert_eq!(hits(&["abort body at 4KiB", "abort body at 1KiB", "abort body after 2s"]), [1, 2]);
    }

    #[test]
    fn those_who_lose_stay_in_line_for_when_the_winner_is_released() {
        let (_, course) =
            courses(&["slow-body 64KiB/s", "slow-body 1KiB/s", "abort body at 4KiB", "abort body at 1KiB"]);
        assert_eq!(course.body.rates.iter().map(|(source, _)| source.hit).collect::<Vec<_>>(), [1, 0]);
        assert_eq!(course.body.cuts.iter().map(|(source, _)| source.hit).collect::<Vec<_>>(), [3, 2]);
    }
}
