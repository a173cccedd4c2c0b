//! `truncate`: a body that ends early.

use std::sync::Arc;

use http::header::CONTENT_LENGTH;

use super::choice::choice;
use super::{BodyEffect, CloseHow, Cut, CutAt, CutEnd, Fault, Kind, ResponseEffect, ResponseView};
use crate::diagnostics::Reader;
use crate::dice::Dice;
use crate::units::{ByteSize, Share, show_share};

pub(super) const KIND: Kind = Kind {
    name: "truncate",
    summary: "a body that ends early: with a FIN (HTTP/2: RST_STREAM with CANCEL), or as if it were all",
    parameters: "`after_bytes`, or `fraction` of the length that `content-length` announces; `end` = broken | complete",
    example: "kind = \"truncate\"\n\
              fraction = 0.5\n\
              end = \"complete\"\n",
    compile,
};

#[derive(Debug)]
enum After {
    Bytes(u64),
    Fraction(f64),
}

#[derive(Debug)]
struct Truncate {
    after: After,
    end: CutEnd,
}

fn compile(reader: &mut Reader<'_>) -> Option<Arc<dyn Fault>> {
    let bytes: Option<ByteSize> = reader.optional("after_bytes");
    let fraction: Option<Share> = reader.optional("fraction");
    let ends = [("broken", CutEnd::Broken(CloseHow::Close)), ("complete", CutEnd::Complete)];
    let end = choice(reader, "end", &ends, CutEnd::Broken(CloseHow::Close));
    if fraction.is_some_and(|fraction| fraction.get() >= 1.0) {
        reader.reject("fraction", "leaves the body whole", Some("a share below 1"));
    }
    let after = match (bytes, fraction) {
        (Some(_), Some(_)) => {
            reader.reject("fraction", "stands beside after_bytes", Some("give one of the two"));
            return None;
        }
        (Some(bytes), None) => After::Bytes(bytes.0),
        (None, Some(fraction)) => After::Fraction(fraction.get()),
        (None, None) => {
            if !reader.has("after_bytes") && !reader.has("fraction") {
                reader.complain("has no length".to_owned(), Some("add after_bytes = \"1KiB\" or fraction = 0.5"));
            }
            return None;
        }
    };
    Some(Arc::new(Truncate { after, end }))
}

impl Fault for Truncate {
    fn on_response(&self, response: &ResponseView<'_>, _: Dice) -> ResponseEffect {
        let after = match self.after {
            After::Bytes(bytes) => Some(bytes),
            // Of a body without a length there is no half: the fault is skipped.
            After::Fraction(fraction) => length(response).map(|length| (length as f64 * fraction) as u64),
        };
        let cut = after.map(|after| Cut { at: CutAt::Bytes(after), end: self.end });
        ResponseEffect { body: BodyEffect { cut, ..BodyEffect::default() }, ..ResponseEffect::default() }
    }

    fn describe(&self) -> String {
        let after = match self.after {
            After::Bytes(bytes) => ByteSize(bytes).to_string(),
            After::Fraction(fraction) => format!("{} of its length", show_share(fraction)),
        };
        let how = if self.end == CutEnd::Complete { "as if it were all" } else { "closing the connection" };
        format!("ends the body after {after}, {how}")
    }
}

/// The length of the body that the head announces.
pub(super) fn length(response: &ResponseView<'_>) -> Option<u64> {
    response.headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{compiled, dice, problems_of, response};
    use super::*;

    #[test]
    fn the_fraction_is_that_of_the_announced_length() {
        let fault = compiled(KIND.example);
        assert_eq!(fault.on_response(&response(), dice()), ResponseEffect::default(), "no length, no half");
        let headers = http::HeaderMap::from_iter([(CONTENT_LENGTH, "1001".parse().unwrap())]);
        let long = ResponseView { headers: &headers, ..response() };
        let cut = Cut { at: CutAt::Bytes(500), end: CutEnd::Complete };
        assert_eq!(fault.on_response(&long, dice()).body.cut, Some(cut));
        assert_eq!(fault.describe(), "ends the body after 50.0% of its length, as if it were all");
        let fault = compiled("kind = \"truncate\"\nafter_bytes = \"1KiB\"");
        let cut = Cut { at: CutAt::Bytes(1024), end: CutEnd::Broken(CloseHow::Close) };
        assert_eq!(fault.on_response(&response(), dice()).body.cut, Some(cut));
    }

    #[test]
    fn mistakes_name_the_key_and_the_cure() {
        for (rest, wanted) in [
            ("", "has no length"),
            ("fraction = 1", "fraction: leaves the body whole"),
            ("fraction = 0.5\nafter_bytes = 1", "give one of the two"),
        ] {
            let problems = problems_of(&format!("kind = \"truncate\"\n{rest}"));
            assert!(problems.contains(wanted), "{rest}: {problems}");
        }
    }
}
