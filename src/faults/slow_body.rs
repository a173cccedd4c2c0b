//! `slow-body`: the header at once, then a drip.

use std::sync::Arc;

use super::toxics::{self, Stream, Toxic};
use super::{BodyEffect, Fault, Kind, ResponseEffect, ResponseView};
use crate::diagnostics::Reader;
use crate::dice::Dice;
use crate::units::{ByteRate, ByteSize};

pub(super) const KIND: Kind = Kind {
    name: "slow-body",
    summary: "the header at once, then an even drip at the rate",
    parameters: "`rate` (64KiB/s); `chunk`, the size of a piece (default: 10 ms worth of bytes)",
    example: "kind = \"slow-body\"\n\
              rate = \"64KiB/s\"\n\
              chunk = \"1KiB\"\n",
    compile,
};

#[derive(Debug)]
struct SlowBody {
    rate: ByteRate,
    chunk: Option<u64>,
}

fn compile(reader: &mut Reader<'_>) -> Option<Arc<dyn Fault>> {
    let rate: Option<ByteRate> = reader.required("rate", "\"64KiB/s\"");
    let chunk: Option<ByteSize> = reader.optional("chunk");
    if chunk == Some(ByteSize(0)) {
        reader.reject("chunk", "is empty", Some("a size above zero such as \"1KiB\""));
    }
    match reader.optional::<String>("direction").as_deref() {
        None | Some("response") => {}
        Some("request") => reader.reject(
            "direction",
            "\"request\" is not supported yet",
            Some("only bodies of responses can be slowed, leave direction out"),
        ),
        Some(other) => reader.reject("direction", format!("there is no \"{other}\""), Some("expected \"response\"")),
    }
    Some(Arc::new(SlowBody { rate: rate?, chunk: chunk.map(|size| size.0) }))
}

impl Fault for SlowBody {
    fn on_response(&self, _: &ResponseView<'_>, _: Dice) -> ResponseEffect {
        let body = BodyEffect { rate: Some(self.rate), chunk: self.chunk, cut: None };
        ResponseEffect { body, ..ResponseEffect::default() }
    }

    fn on_connection(&self) -> Vec<(Stream, Arc<dyn Toxic>)> {
        let toxic = toxics::Bandwidth { rate: self.rate.per_second(), piece: self.chunk };
        vec![(Stream::Downstream, Arc::new(toxic))]
    }

    fn describe(&self) -> String {
        let pieces = self.chunk.map(|chunk| format!(" in pieces of {}", ByteSize(chunk))).unwrap_or_default();
        format!("sends the body at {}{pieces}", self.rate)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{compiled, dice, problems_of, request, response};
    use super::*;

    #[test]
    fn only_the_body_of_the_response_is_slowed() {
        let fault = compiled(KIND.example);
        assert_eq!(fault.on_request(&request(), dice()), crate::faults::RequestEffect::default());
        let body = BodyEffect { rate: ByteRate::new(65_536.0), chunk: Some(1024), cut: None };
        assert_eq!(fault.on_response(&response(), dice()), ResponseEffect { body, ..ResponseEffect::default() });
        assert_eq!(fault.describe(), "sends the body at 64KiB/s in pieces of 1KiB");
    }

    #[test]
    fn what_it_cannot_do_is_said() {
        let problems = problems_of("kind = \"slow-body\"\nrate = \"1KiB/s\"\ndirection = \"request\"");
        assert!(problems.contains("direction: \"request\" is not supported yet"), "{problems}");
        assert!(problems_of("kind = \"slow-body\"").contains("\"rate\" is missing"));
        assert!(problems_of("kind = \"slow-body\"\nrate = \"1B/s\"\nchunk = \"0B\"").contains("chunk: is empty"));
    }
}
