//! `abort`: the connection ends where there should have been an answer.

use std::sync::Arc;

use super::choice::choice;
use super::toxics::{self, Stream, Toxic};
use super::{
    BodyEffect, CloseHow, Cut, Fault, Kind, RequestEffect, RequestView, ResponseEffect, ResponseView, Terminal,
};
use crate::diagnostics::Reader;
use crate::dice::Dice;
use crate::units::ByteSize;

pub(super) const KIND: Kind = Kind {
    name: "abort",
    summary: "FIN or RST at that point; on HTTP/2 the stream is reset",
    parameters: "`how` = reset | close; `at` = request | headers | body; `after_bytes` of the body (with `at` = body)",
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
    /// After the head and some of the body.
    Body,
}

#[derive(Debug)]
struct Abort {
    how: CloseHow,
    at: At,
    after: u64,
}

fn compile(reader: &mut Reader<'_>) -> Option<Arc<dyn Fault>> {
    let how = choice(reader, "how", &[("close", CloseHow::Close), ("reset", CloseHow::Reset)], CloseHow::Reset);
    let places = [("request", At::Request), ("headers", At::Headers), ("body", At::Body)];
    let at = choice(reader, "at", &places, At::Request);
    let after: Option<ByteSize> = reader.optional("after_bytes");
    if reader.has("after_bytes") && at != At::Body {
        reader.reject("after_bytes", "has no effect before the body", Some("add at = \"body\""));
    }
    Some(Arc::new(Abort { how, at, after: after.unwrap_or_default().0 }))
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
            At::Body => {
                let cut = Some(Cut { after: self.after, how: self.how });
                ResponseEffect { body: BodyEffect { cut, ..BodyEffect::default() }, ..ResponseEffect::default() }
            }
        }
    }

    /// A new connection ends before the upstream is contacted, and one that is open when the client next sends; the
    /// response begins with its first byte.
    fn on_connection(&self) -> Vec<(Stream, Arc<dyn Toxic>)> {
        let limit = |bytes| Arc::new(toxics::LimitData { bytes, how: self.how });
        match self.at {
            At::Request => {
                vec![(Stream::Upstream, Arc::new(toxics::Refuse { how: self.how })), (Stream::Upstream, limit(0))]
            }
            At::Headers => vec![(Stream::Downstream, limit(0))],
            At::Body => vec![(Stream::Downstream, limit(self.after))],
        }
    }

    fn describe(&self) -> String {
        let how = match self.how {
            CloseHow::Close => "closes",
            CloseHow::Reset => "resets",
        };
        match self.at {
            At::Request => format!("{how} the connection in the upstream's place"),
            At::Headers => format!("{how} the connection when the upstream has answered"),
            At::Body => format!("{how} the connection after {} of the body", ByteSize(self.after)),
        }
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
        assert_eq!((effect.terminal, effect.body.cut), (None, Some(Cut { after: 4096, how: CloseHow::Reset })));
        assert_eq!(fault.describe(), "resets the connection after 4KiB of the body");
    }

    #[test]
    fn mistakes_name_the_key_and_the_cure() {
        assert!(problems_of("kind = \"abort\"\nafter_bytes = 7").contains("add at = \"body\""));
        let problems = problems_of("kind = \"abort\"\nhow = \"half-close\"");
        assert!(problems.contains("expected \"close\" or \"reset\""), "{problems}");
    }
}
