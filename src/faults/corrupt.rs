//! `corrupt`: changed bytes, same length.

use std::sync::Arc;

use super::choice::choice;
use super::truncate::length;
use super::{BodyEffect, Fault, Kind, RequestEffect, RequestView, ResponseEffect, ResponseView, Side};
use crate::diagnostics::Reader;
use crate::dice::Dice;
use crate::units::{Share, show_share};

pub(super) const KIND: Kind = Kind {
    name: "corrupt",
    summary: "changed bytes of the body, same length",
    parameters: "`share` of the bytes, each by itself, or `bytes` in a row from `offset` (default: anywhere in the \
                 length that `content-length` announces, else 0); `mode` = flip (one bit) | zero; \
                 `direction` = response | request",
    example: "kind = \"corrupt\"\n\
              share = 0.01\n\
              mode = \"flip\"\n",
    compile,
};

/// Which bytes of a body change, and how.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Corruption {
    /// Which.
    pub which: Which,
    /// How.
    pub mode: Mode,
    /// Decides for each byte by its position, so that it does not matter in what pieces a body comes.
    pub dice: Dice,
}

/// Which bytes of a body change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Which {
    /// Each with this probability.
    Share(f64),
    /// So many from here on.
    Run {
        /// The first, from 0.
        offset: u64,
        /// How many.
        bytes: u64,
    },
}

/// What becomes of a byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// One of its bits is another.
    Flip,
    /// It is 0.
    Zero,
}

/// Draws with smaller indices are the fault's own; a byte's follow, two for each.
const FIRST_BYTE: u64 = 8;

impl Corruption {
    /// Whether any byte of a piece that begins at this position changes.
    pub fn touches(&self, offset: u64, length: usize) -> bool {
        let end = offset + length as u64;
        match self.which {
            Which::Run { offset: first, bytes } => first < end && first.saturating_add(bytes) > offset,
            Which::Share(_) => (offset..end).any(|at| self.hits(at)),
        }
    }

    /// Changes a piece that begins at this position.
    pub fn apply(&self, offset: u64, piece: &mut [u8]) {
        for (at, byte) in (offset..).zip(piece) {
            if self.hits(at) {
                *byte = match self.mode {
                    Mode::Zero => 0,
                    Mode::Flip => *byte ^ 1 << (self.dice.bits(FIRST_BYTE + 2 * at + 1) & 7),
                };
            }
        }
    }

    fn hits(&self, at: u64) -> bool {
        match self.which {
            Which::Share(share) => self.dice.happens(FIRST_BYTE + 2 * at, share),
            Which::Run { offset, bytes } => at >= offset && at - offset < bytes,
        }
    }
}

#[derive(Debug)]
enum What {
    Share(f64),
    Run { offset: Option<u64>, bytes: u64 },
}

#[derive(Debug)]
struct Corrupt {
    what: What,
    mode: Mode,
    side: Side,
}

fn compile(reader: &mut Reader<'_>) -> Option<Arc<dyn Fault>> {
    let share: Option<Share> = reader.optional("share");
    let bytes: Option<u64> = reader.optional("bytes");
    let offset: Option<u64> = reader.optional("offset");
    let mode = choice(reader, "mode", &[("flip", Mode::Flip), ("zero", Mode::Zero)], Mode::Flip);
    let side = choice(reader, "direction", &[("response", Side::Response), ("request", Side::Request)], Side::Response);
    for (key, nothing) in [("share", share.is_some_and(|s| s.get() <= 0.0)), ("bytes", bytes == Some(0))] {
        if nothing {
            reader.reject(key, "changes nothing", Some("more than 0"));
        }
    }
    if reader.has("offset") && !reader.has("bytes") {
        reader.reject("offset", "has no effect without bytes", Some("add bytes = 1, or leave offset out"));
    }
    let what = match (share, bytes) {
        (Some(_), Some(_)) => {
            reader.reject("bytes", "stands beside share", Some("give one of the two"));
            return None;
        }
        (Some(share), None) => What::Share(share.get()),
        (None, Some(bytes)) => What::Run { offset, bytes },
        (None, None) => {
            if !reader.has("share") && !reader.has("bytes") {
                reader.complain("says not how much".to_owned(), Some("add share = 0.01 or bytes = 16"));
            }
            return None;
        }
    };
    Some(Arc::new(Corrupt { what, mode, side }))
}

impl Corrupt {
    fn body(&self, length: Option<u64>, dice: Dice) -> BodyEffect {
        let which = match self.what {
            What::Share(share) => Which::Share(share),
            What::Run { offset, bytes } => {
                let room = length.map_or(0, |length| length.saturating_sub(bytes) + 1);
                let drawn = (dice.uniform(0) * room as f64) as u64;
                Which::Run { offset: offset.unwrap_or(drawn), bytes }
            }
        };
        BodyEffect { corrupt: Some(Corruption { which, mode: self.mode, dice }), ..BodyEffect::default() }
    }
}

impl Fault for Corrupt {
    fn on_request(&self, request: &RequestView<'_>, dice: Dice) -> RequestEffect {
        if self.side != Side::Request {
            return RequestEffect::default();
        }
        let length = request.headers.get(http::header::CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
        RequestEffect { body: self.body(length, dice), ..RequestEffect::default() }
    }

    fn on_response(&self, response: &ResponseView<'_>, dice: Dice) -> ResponseEffect {
        if self.side != Side::Response {
            return ResponseEffect::default();
        }
        ResponseEffect { body: self.body(length(response), dice), ..ResponseEffect::default() }
    }

    fn describe(&self) -> String {
        let what = match self.what {
            What::Share(share) => format!("{} of the bytes", show_share(share)),
            What::Run { offset: None, bytes } => format!("{bytes} bytes in a row"),
            What::Run { offset: Some(offset), bytes } => format!("{bytes} bytes from {offset} on"),
        };
        let whose = if self.side == Side::Request { "request" } else { "response" };
        match self.mode {
            Mode::Flip => format!("flips a bit in {what} of the {whose}'s body"),
            Mode::Zero => format!("zeroes {what} of the {whose}'s body"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{compiled, dice, problems_of, request, response};
    use super::*;

    fn corruption(effect: &BodyEffect) -> Corruption {
        effect.corrupt.unwrap()
    }

    proptest! {
        #[test]
        fn it_does_not_matter_in_what_pieces_a_body_comes(
            share in 0.01f64..1.0,
            body in proptest::collection::vec(any::<u8>(), 1..500),
            cut in 0usize..500,
            zero in any::<bool>(),
        ) {
            let mode = if zero { Mode::Zero } else { Mode::Flip };
            let corruption = Corruption { which: Which::Share(share), mode, dice: dice() };
            let (mut whole, mut pieces) = (body.clone(), body.clone());
            corruption.apply(0, &mut whole);
            let cut = cut.min(pieces.len());
            corruption.apply(0, &mut pieces[..cut]);
            corruption.apply(cut as u64, &mut pieces[cut..]);
            prop_assert_eq!(&whole, &pieces);
            prop_assert!(corruption.touches(0, body.len()) || whole == body);
            let changed = whole.iter().zip(&body).filter(|(a, b)| a != b).all(|(a, b)| {
                if zero { *a == 0 } else { (a ^ b).count_ones() == 1 }
            });
            prop_assert!(changed);
        }
    }

    #[test]
    fn a_run_is_exactly_as_long_as_asked_and_lies_in_the_body() {
        let fault = compiled("kind = \"corrupt\"\nbytes = 10\nmode = \"zero\"");
        let headers = http::HeaderMap::from_iter([(http::header::CONTENT_LENGTH, "100".parse().unwrap())]);
        for n in 0..50 {
            let dice = Dice::new(1, 2, n);
            let effect = fault.on_response(&ResponseView { headers: &headers, ..response() }, dice);
            let mut body = [7; 100];
            corruption(&effect.body).apply(0, &mut body);
            assert_eq!(body.iter().filter(|byte| **byte == 0).count(), 10);
        }
        let effect = fault.on_response(&response(), dice());
        assert_eq!(corruption(&effect.body).which, Which::Run { offset: 0, bytes: 10 });
        assert!(!corruption(&effect.body).touches(10, 100) && corruption(&effect.body).touches(9, 1));
    }

    #[test]
    fn a_direction_is_left_alone_if_the_other_is_meant() {
        let fault = compiled("kind = \"corrupt\"\nbytes = 1\noffset = 3\ndirection = \"request\"");
        assert_eq!(fault.on_response(&response(), dice()), ResponseEffect::default());
        let effect = fault.on_request(&request(), dice());
        assert_eq!(corruption(&effect.body).which, Which::Run { offset: 3, bytes: 1 });
        assert_eq!(fault.describe(), "flips a bit in 1 bytes from 3 on of the request's body");
    }

    #[test]
    fn mistakes_name_the_key_and_the_cure() {
        for (rest, wanted) in [
            ("", "says not how much (add share = 0.01 or bytes = 16)"),
            ("share = 0", "share: changes nothing"),
            ("bytes = 0", "bytes: changes nothing"),
            ("share = 1\nbytes = 1", "give one of the two"),
            ("share = 1\noffset = 1", "offset: has no effect without bytes"),
        ] {
            let problems = problems_of(&format!("kind = \"corrupt\"\n{rest}"));
            assert!(problems.contains(wanted), "{rest}: {problems}");
        }
    }
}
