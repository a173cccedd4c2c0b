//! `malformed`: what parsers must survive.

use std::sync::Arc;

use bytes::Bytes;

use super::choice::choice;
use super::{Fault, Kind, RequestEffect, RequestView, ResponseEffect, ResponseView, Side, Terminal};
use crate::diagnostics::Reader;
use crate::dice::Dice;

pub(super) const KIND: Kind = Kind {
    name: "malformed",
    summary: "an answer that is not HTTP, then a FIN; on HTTP/2 `empty` resets the stream with NO_ERROR, and the \
              others, which have no meaning there, are skipped and counted as such",
    parameters: "`what` = status-line | chunk | random | empty; `side` = request | response",
    example: "kind = \"malformed\"\n\
              what = \"chunk\"\n",
    compile,
};

/// A status line without a status.
const STATUS_LINE: &[u8] = b"HTTP/1.1 two hundred OK\r\nContent-Length: 0\r\n\r\n";
/// A sound head, then a chunk whose size is no number.
const CHUNK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n\
                       5\r\nhello\r\nno size\r\nworld\r\n";
/// How much nonsense `random` is.
const RANDOM: u64 = 512;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    StatusLine,
    Chunk,
    Random,
    Empty,
}

#[derive(Debug)]
struct Malformed {
    what: What,
    side: Side,
}

fn compile(reader: &mut Reader<'_>) -> Option<Arc<dyn Fault>> {
    let whats =
        [("status-line", What::StatusLine), ("chunk", What::Chunk), ("random", What::Random), ("empty", What::Empty)];
    let named: bool = reader.required::<String>("what", "\"chunk\"").is_some();
    let what = choice(reader, "what", &whats, What::Empty);
    let side = choice(reader, "side", &[("request", Side::Request), ("response", Side::Response)], Side::Request);
    named.then(|| Arc::new(Malformed { what, side }) as Arc<dyn Fault>)
}

impl Malformed {
    fn on(&self, side: Side, dice: Dice) -> Option<Terminal> {
        let bytes = match self.what {
            _ if side != self.side => return None,
            What::StatusLine => Bytes::from_static(STATUS_LINE),
            What::Chunk => Bytes::from_static(CHUNK),
            What::Random => (0..RANDOM / 8).flat_map(|n| dice.bits(n).to_le_bytes()).collect(),
            What::Empty => Bytes::new(),
        };
        Some(Terminal::Raw { bytes, h2: (self.what == What::Empty).then_some(0) })
    }
}

impl Fault for Malformed {
    fn on_request(&self, _: &RequestView<'_>, dice: Dice) -> RequestEffect {
        RequestEffect { terminal: self.on(Side::Request, dice), ..RequestEffect::default() }
    }

    fn on_response(&self, _: &ResponseView<'_>, dice: Dice) -> ResponseEffect {
        ResponseEffect { terminal: self.on(Side::Response, dice), ..ResponseEffect::default() }
    }

    fn describe(&self) -> String {
        let what = match self.what {
            What::StatusLine => "a status line that is none",
            What::Chunk => "a body with a chunk that is none",
            What::Random => "random bytes",
            What::Empty => "nothing",
        };
        let when =
            if self.side == Side::Request { "in the upstream's place" } else { "once the upstream has answered" };
        format!("answers with {what} {when}")
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{compiled, dice, problems_of, request, response};
    use super::*;

    #[test]
    fn nonsense_is_the_same_for_the_same_dice_and_falls_on_its_side_only() {
        let fault = compiled("kind = \"malformed\"\nwhat = \"random\"\nside = \"response\"");
        assert_eq!(fault.on_request(&request(), dice()), RequestEffect::default());
        let terminal = |dice| fault.on_response(&response(), dice).terminal.unwrap();
        assert_eq!(terminal(dice()), terminal(dice()));
        assert_ne!(terminal(dice()), terminal(Dice::new(1, 2, 4)));
        assert!(matches!(terminal(dice()), Terminal::Raw { bytes, h2: None } if bytes.len() == 512));
        let fault = compiled("kind = \"malformed\"\nwhat = \"empty\"");
        let empty = Terminal::Raw { bytes: Bytes::new(), h2: Some(0) };
        assert_eq!(fault.on_request(&request(), dice()).terminal, Some(empty));
    }

    #[test]
    fn mistakes_name_the_key_and_the_cure() {
        assert!(problems_of("kind = \"malformed\"").contains("\"what\" is missing"));
        let problems = problems_of("kind = \"malformed\"\nwhat = \"chunks\"");
        assert!(problems.contains("did you mean \"chunk\"?"), "{problems}");
    }
}
