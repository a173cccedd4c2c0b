//! `slow-body`: the header at once, then a drip.

use std::sync::Arc;
use std::time::Duration;

use super::choice::choice;
use super::{BodyEffect, Fault, Kind, RequestEffect, RequestView, ResponseEffect, ResponseView, Side, Stall};
use crate::diagnostics::Reader;
use crate::dice::Dice;
use crate::units::{ByteRate, ByteSize, show_duration};

pub(super) const KIND: Kind = Kind {
    name: "slow-body",
    summary: "the header at once, then an even drip at the rate, or a pause in the middle",
    parameters: "`rate` (64KiB/s) with `chunk`, the size of a piece (default: 10 ms worth of bytes); `stall_after` so \
                 many bytes, with `stall_for` (default: until the client leaves); `direction` = response | request",
    example: "kind = \"slow-body\"\n\
              rate = \"64KiB/s\"\n\
              chunk = \"1KiB\"\n\
              stall_after = \"256KiB\"\n\
              stall_for = \"5s\"\n",
    compile,
};

#[derive(Debug)]
struct SlowBody {
    rate: Option<ByteRate>,
    chunk: Option<u64>,
    stall: Option<Stall>,
    side: Side,
}

fn compile(reader: &mut Reader<'_>) -> Option<Arc<dyn Fault>> {
    let rate: Option<ByteRate> = reader.optional("rate");
    let chunk: Option<ByteSize> = reader.optional("chunk");
    let after: Option<ByteSize> = reader.optional("stall_after");
    let time: Option<Duration> = reader.optional("stall_for");
    let side = choice(reader, "direction", &[("response", Side::Response), ("request", Side::Request)], Side::Response);
    if chunk == Some(ByteSize(0)) {
        reader.reject("chunk", "is empty", Some("a size above zero such as \"1KiB\""));
    }
    if time.is_some_and(|time| time.is_zero()) {
        reader.reject("stall_for", "is no time at all", Some("a time above zero such as \"5s\""));
    }
    for (key, of) in [("chunk", "rate"), ("stall_for", "stall_after")] {
        if reader.has(key) && !reader.has(of) {
            reader.reject(key, format!("has no effect without {of}"), Some(&format!("add {of}, or leave {key} out")));
        }
    }
    if !reader.has("rate") && !reader.has("stall_after") {
        reader.complain("says not how slow".to_owned(), Some("add rate = \"64KiB/s\" or stall_after = \"1KiB\""));
    }
    let stall = after.map(|after| Stall { after: after.0, time });
    Some(Arc::new(SlowBody { rate, chunk: chunk.map(|size| size.0), stall, side }))
}

impl SlowBody {
    fn on(&self, side: Side) -> BodyEffect {
        if side != self.side {
            return BodyEffect::default();
        }
        BodyEffect { rate: self.rate, chunk: self.chunk, stall: self.stall, ..BodyEffect::default() }
    }
}

impl Fault for SlowBody {
    fn on_request(&self, _: &RequestView<'_>, _: Dice) -> RequestEffect {
        RequestEffect { body: self.on(Side::Request), ..RequestEffect::default() }
    }

    fn on_response(&self, _: &ResponseView<'_>, _: Dice) -> ResponseEffect {
        ResponseEffect { body: self.on(Side::Response), ..ResponseEffect::default() }
    }

    fn describe(&self) -> String {
        let whose = if self.side == Side::Request { "the request's body" } else { "the body" };
        let pieces = self.chunk.map(|chunk| format!(" in pieces of {}", ByteSize(chunk))).unwrap_or_default();
        let rate = self.rate.map(|rate| format!(" at {rate}{pieces}")).unwrap_or_default();
        let stall = self.stall.map(|Stall { after, time }| {
            let time = time.map_or("until the client leaves".to_owned(), |t| format!("for {}", show_duration(t)));
            format!(", with a pause after {} {time}", ByteSize(after))
        });
        format!("sends {whose}{rate}{}", stall.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{compiled, dice, problems_of, request, response};
    use super::*;

    #[test]
    fn only_the_body_of_its_direction_is_slowed() {
        let fault = compiled(KIND.example);
        assert_eq!(fault.on_request(&request(), dice()), RequestEffect::default());
        let stall = Some(Stall { after: 262_144, time: Some(Duration::from_secs(5)) });
        let rate = ByteRate::new(65_536.0);
        let body = BodyEffect { rate, chunk: Some(1024), stall, ..BodyEffect::default() };
        assert_eq!(fault.on_response(&response(), dice()), ResponseEffect { body, ..ResponseEffect::default() });
        let words = "sends the body at 64KiB/s in pieces of 1KiB, with a pause after 256KiB for 5.00s";
        assert_eq!(fault.describe(), words);
        let fault = compiled("kind = \"slow-body\"\nrate = \"1KiB/s\"\ndirection = \"request\"");
        assert_eq!(fault.on_response(&response(), dice()), ResponseEffect::default());
        assert_eq!(fault.on_request(&request(), dice()).body.rate, ByteRate::new(1024.0));
    }

    #[test]
    fn mistakes_name_the_key_and_the_cure() {
        for (rest, wanted) in [
            ("", "says not how slow"),
            ("rate = \"1B/s\"\nchunk = \"0B\"", "chunk: is empty"),
            ("stall_after = 1\nchunk = \"1B\"", "chunk: has no effect without rate"),
            ("rate = \"1B/s\"\nstall_for = \"1s\"", "stall_for: has no effect without stall_after"),
            ("rate = \"1B/s\"\ndirection = \"up\"", "\"up\" is not valid"),
        ] {
            let problems = problems_of(&format!("kind = \"slow-body\"\n{rest}"));
            assert!(problems.contains(wanted), "{rest}: {problems}");
        }
    }
}
