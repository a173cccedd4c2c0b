//! `abort`: the connection ends where there should have been an answer.

use std::sync::Arc;
use std::time::Duration;

use super::choice::choice;
use super::{
    BodyEffect, CloseHow, Cut, CutAt, CutEnd, Fault, Kind, RequestEffect, RequestView, ResponseEffect, ResponseView,
    Terminal,
};
use crate::diagnostics::Reader;
use crate::dice::Dice;
use crate::units::{ByteSize, show_duration};

pub(super) const KIND: Kind = Kind {
    name: "abort",
    summary: "FIN or RST at that point; on HTTP/2 the stream is reset unless the whole connection is meant",
    parameters: "`how` = reset | close | half-close; `at` = request | headers | body, with `after_bytes` of the body \
                 or `after`, a time since the head; `scope` = exchange | connection (HTTP/2)",
    example: "kind = \"abort\"\n\
              how = \"reset\"\n\
              at = \"body\"\n\
              after_bytes = \"4KiB\"\n",
    compile,
};

/// Where the connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Before the upstream is contacted.
    Request,
    /// When the upstream has answered, before any of it is sent.
    Headers,
    /// After the head and some of the body, or some time.
    Body(CutAt),
}

#[derive(Debug)]
struct Abort {
    how: CloseHow,
    at: At,
}

fn compile(reader: &mut Reader<'_>) -> Option<Arc<dyn Fault>> {
    let ways = [("close", CloseHow::Close), ("reset", CloseHow::Reset), ("half-close", CloseHow::HalfClose)];
    let how = choice(reader, "how", &ways, CloseHow::Reset);
    let whole = choice(reader, "scope", &[("exchange", false), ("connection", true)], false);
    let how = match how {
        CloseHow::HalfClose if whole => {
            reader.reject("scope", "half of an HTTP/2 connection cannot be closed", Some("leave scope or how out"));
            how
        }
        CloseHow::Close if whole => CloseHow::ConnectionClose,
        CloseHow::Reset if whole => CloseHow::ConnectionReset,
        _ => how,
    };
    let places = [("request", At::Request), ("headers", At::Headers), ("body", At::Body(CutAt::Bytes(0)))];
    let at = choice(reader, "at", &places, At::Request);
    let bytes: Option<ByteSize> = reader.optional("after_bytes");
    let time: Option<Duration> = reader.optional("after");
    for key in ["after_bytes", "after"] {
        if reader.has(key) && !matches!(at, At::Body(_)) {
            reader.reject(key, "has no effect before the body", Some("add at = \"body\""));
        }
    }
    if bytes.is_some() && time.is_some() {
        reader.reject("after", "stands beside after_bytes", Some("one fault for each: the earlier one acts"));
    }
    let at = match (at, bytes, time) {
        (At::Body(_), _, Some(time)) => At::Body(CutAt::Time(time)),
        (At::Body(_), bytes, None) => At::Body(CutAt::Bytes(bytes.unwrap_or_default().0)),
        (at, ..) => at,
    };
    Some(Arc::new(Abort { how, at }))
}

impl Fault for Abort {
    fn on_request(&self, _: &RequestView<'_>, _: Dice) -> RequestEffect {
        let terminal = (self.at == At::Request).then_some(Terminal::Close(self.how));
        RequestEffect { terminal, ..RequestEffect::default() }
    }

    fn on_response(&self, _: &ResponseView<'_>, _: Dice) -> ResponseEffect {
        match self.at {
            At::Request => ResponseEffect::default(),
            At::Headers => ResponseEffect { terminal: Some(Terminal::Close(self.how)), ..ResponseEffect::default() },
            At::Body(at) => {
                let cut = Some(Cut { at, end: CutEnd::Broken(self.how) });
                ResponseEffect { body: BodyEffect { cut, ..BodyEffect::default() }, ..ResponseEffect::default() }
            }
        }
    }

    fn describe(&self) -> String {
        let how = ends(self.how);
        match self.at {
            At::Request => format!("{how} in the upstream's place"),
            At::Headers => format!("{how} when the upstream has answered"),
            At::Body(CutAt::Bytes(after)) => format!("{how} after {} of the body", ByteSize(after)),
            At::Body(CutAt::Time(after)) => format!("{how} {} after the head", show_duration(after)),
        }
    }
}

/// How an exchange is ended, in words.
pub(super) fn ends(how: CloseHow) -> String {
    match how {
        CloseHow::Close => "closes the connection".to_owned(),
        CloseHow::Reset => "resets the connection".to_owned(),
        CloseHow::HalfClose => "closes the sending half of the connection".to_owned(),
        CloseHow::StreamReset(code) => format!("resets the HTTP/2 stream with {}", super::h2_code::name(code)),
        CloseHow::ConnectionClose => "closes the whole connection".to_owned(),
        CloseHow::ConnectionReset => "resets the whole connection".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{compiled, dice, problems_of, request, response};
    use super::*;

    #[test]
    fn the_connection_ends_where_it_was_asked_to() {
        let fault = compiled("kind = \"abort\"");
        assert_eq!(fault.on_request(&request(), dice()).terminal, Some(Terminal::Close(CloseHow::Reset)));
        assert_eq!(fault.on_response(&response(), dice()), ResponseEffect::default());
        let fault = compiled("kind = \"abort\"\nat = \"headers\"\nhow = \"close\"");
        assert_eq!(fault.on_request(&request(), dice()), RequestEffect::default());
        assert_eq!(fault.on_response(&response(), dice()).terminal, Some(Terminal::Close(CloseHow::Close)));
        let fault = compiled(KIND.example);
        let effect = fault.on_response(&response(), dice());
        let cut = Cut { at: CutAt::Bytes(4096), end: CutEnd::Broken(CloseHow::Reset) };
        assert_eq!((effect.terminal, effect.body.cut), (None, Some(cut)));
        assert_eq!(fault.describe(), "resets the connection after 4KiB of the body");
    }

    #[test]
    fn mistakes_name_the_key_and_the_cure() {
        assert!(problems_of("kind = \"abort\"\nafter_bytes = 7").contains("add at = \"body\""));
        assert!(problems_of("kind = \"abort\"\nafter = \"1s\"").contains("add at = \"body\""));
        let problems = problems_of("kind = \"abort\"\nhow = \"explode\"");
        assert!(problems.contains("expected \"close\" or \"reset\" or \"half-close\""), "{problems}");
        let both = "kind = \"abort\"\nat = \"body\"\nafter = \"1s\"\nafter_bytes = 1";
        assert!(problems_of(both).contains("after: stands beside after_bytes"));
        let half = "kind = \"abort\"\nhow = \"half-close\"\nscope = \"connection\"";
        assert!(problems_of(half).contains("half of an HTTP/2 connection cannot be closed"));
    }

    #[test]
    fn a_time_and_a_whole_connection_are_taken_as_said() {
        let fault = compiled("kind = \"abort\"\nat = \"body\"\nafter = \"2s\"\nscope = \"connection\"");
        let cut = Cut { at: CutAt::Time(Duration::from_secs(2)), end: CutEnd::Broken(CloseHow::ConnectionReset) };
        assert_eq!(fault.on_response(&response(), dice()).body.cut, Some(cut));
        assert_eq!(fault.describe(), "resets the whole connection 2.00s after the head");
    }
}
