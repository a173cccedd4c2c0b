//! `stream-reset`: HTTP/2's RST_STREAM, with a code.

use std::sync::Arc;

use super::abort::ends;
use super::choice::choice;
use super::{
    BodyEffect, CloseHow, Cut, CutAt, CutEnd, Fault, Kind, RequestEffect, RequestView, ResponseEffect, ResponseView,
    Terminal, h2_code,
};
use crate::diagnostics::Reader;
use crate::dice::Dice;
use crate::units::ByteSize;

pub(super) const KIND: Kind = Kind {
    name: "stream-reset",
    summary: "HTTP/2: RST_STREAM with that code; skipped, and counted as such, on HTTP/1",
    parameters: "`code` by name or number (default REFUSED_STREAM at the request, else CANCEL); \
                 `at` = request | headers | body, with `after_bytes`",
    example: "kind = \"stream-reset\"\n\
              code = \"ENHANCE_YOUR_CALM\"\n",
    compile,
};

const CANCEL: u32 = 8;
const REFUSED_STREAM: u32 = 7;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Request,
    Headers,
    Body,
}

#[derive(Debug)]
struct StreamReset {
    how: CloseHow,
    at: At,
    after: u64,
}

fn compile(reader: &mut Reader<'_>) -> Option<Arc<dyn Fault>> {
    let places = [("request", At::Request), ("headers", At::Headers), ("body", At::Body)];
    let at = choice(reader, "at", &places, At::Request);
    let code = h2_code::read(reader, "code", if at == At::Request { REFUSED_STREAM } else { CANCEL });
    let after: Option<ByteSize> = reader.optional("after_bytes");
    if after.is_some() && at != At::Body {
        reader.reject("after_bytes", "has no effect before the body", Some("add at = \"body\""));
    }
    Some(Arc::new(StreamReset { how: CloseHow::StreamReset(code), at, after: after.unwrap_or_default().0 }))
}

impl Fault for StreamReset {
    fn on_request(&self, _: &RequestView<'_>, _: Dice) -> RequestEffect {
        let terminal = (self.at == At::Request).then_some(Terminal::Close(self.how));
        RequestEffect { terminal, ..RequestEffect::default() }
    }

    fn on_response(&self, _: &ResponseView<'_>, _: Dice) -> ResponseEffect {
        match self.at {
            At::Request => ResponseEffect::default(),
            At::Headers => ResponseEffect { terminal: Some(Terminal::Close(self.how)), ..ResponseEffect::default() },
            At::Body => {
                let cut = Some(Cut { at: CutAt::Bytes(self.after), end: CutEnd::Broken(self.how) });
                ResponseEffect { body: BodyEffect { cut, ..BodyEffect::default() }, ..ResponseEffect::default() }
            }
        }
    }

    fn describe(&self) -> String {
        let how = ends(self.how);
        match self.at {
            At::Request => format!("{how} in the upstream's place"),
            At::Headers => format!("{how} when the upstream has answered"),
            At::Body => format!("{how} after {} of the body", ByteSize(self.after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{compiled, dice, problems_of, request, response};
    use super::*;

    #[test]
    fn a_stream_is_reset_where_it_was_asked_to_with_the_code() {
        let fault = compiled(KIND.example);
        let calm = Terminal::Close(CloseHow::StreamReset(11));
        assert_eq!(fault.on_request(&request(), dice()).terminal, Some(calm));
        assert_eq!(fault.describe(), "resets the HTTP/2 stream with ENHANCE_YOUR_CALM in the upstream's place");
        let fault = compiled("kind = \"stream-reset\"\nat = \"body\"\nafter_bytes = 7");
        let cut = Cut { at: CutAt::Bytes(7), end: CutEnd::Broken(CloseHow::StreamReset(CANCEL)) };
        assert_eq!(fault.on_response(&response(), dice()).body.cut, Some(cut));
        let fault = compiled("kind = \"stream-reset\"\ncode = 4711");
        assert_eq!(fault.describe(), "resets the HTTP/2 stream with 4711 in the upstream's place");
    }

    #[test]
    fn mistakes_name_the_key_and_the_cure() {
        for (rest, wanted) in [
            ("code = \"REFUSED_STREM\"", "did you mean \"REFUSED_STREAM\"?"),
            ("code = -1", "code: -1 is not valid (a code from 0, or its name)"),
            ("code = true", "code: is not a code"),
            ("after_bytes = 1", "add at = \"body\""),
        ] {
            let problems = problems_of(&format!("kind = \"stream-reset\"\n{rest}"));
            assert!(problems.contains(wanted), "{rest}: {problems}");
        }
    }
}
