//! `header`: fields set, added or taken away.

use std::sync::Arc;

use http::HeaderMap;
use http::header::{CONTENT_LENGTH, HeaderName};

use super::choice::choice;
use super::{Fault, Kind, RequestEffect, RequestView, ResponseEffect, ResponseView, Side, fields};
use crate::diagnostics::Reader;
use crate::dice::Dice;

pub(super) const KIND: Kind = Kind {
    name: "header",
    summary: "a wrong type, a missing field, a length that is not the body's",
    parameters: "`set` and `append` = { name = \"value\" }, `remove` = [\"name\"], in the order remove, set, append; \
                 `direction` = response | request",
    example: "kind = \"header\"\n\
              set = { content-type = \"text/html\" }\n\
              remove = [\"etag\", \"cache-control\"]\n",
    compile,
};

/// Changes of a head, made in this order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Edits {
    /// Fields that go.
    pub remove: Vec<HeaderName>,
    /// Fields that get these values in place of theirs.
    pub set: HeaderMap,
    /// Fields that get these values beside theirs.
    pub append: HeaderMap,
}

impl Edits {
    /// Whether the announced length of the body is another afterwards.
    pub fn touch_length(&self) -> bool {
        self.set.contains_key(CONTENT_LENGTH)
    }
}

#[derive(Debug)]
struct Header {
    edits: Arc<Edits>,
    side: Side,
}

fn compile(reader: &mut Reader<'_>) -> Option<Arc<dyn Fault>> {
    let sides = [("response", Side::Response), ("request", Side::Request)];
    let side = choice(reader, "direction", &sides, Side::Response);
    // A length that lies is a fault for clients to survive. Upstream it would be request smuggling.
    let settable: &[&str] = if side == Side::Response { &fields::CONNECTION } else { &fields::FRAMING };
    let set = fields::read(reader, "set", settable);
    let append = fields::read(reader, "append", &fields::FRAMING);
    let remove = fields::names(reader, "remove", &fields::FRAMING);
    let edits = Edits { remove, set: set?, append: append? };
    if edits == Edits::default() {
        reader.complain("changes nothing".to_owned(), Some("add set = { content-type = \"text/html\" }, for example"));
        return None;
    }
    let length = edits.set.get(CONTENT_LENGTH);
    if length.is_some_and(|length| length.to_str().is_ok_and(|text| text.parse::<u64>().is_err())) {
        reader.reject("set", "content-length is no number", Some("what parsers must survive is fault \"malformed\""));
    }
    Some(Arc::new(Header { edits: Arc::new(edits), side }))
}

impl Fault for Header {
    fn on_request(&self, _: &RequestView<'_>, _: Dice) -> RequestEffect {
        let edits = (self.side == Side::Request).then(|| self.edits.clone());
        RequestEffect { edits, ..RequestEffect::default() }
    }

    fn on_response(&self, _: &ResponseView<'_>, _: Dice) -> ResponseEffect {
        let edits = (self.side == Side::Response).then(|| self.edits.clone());
        ResponseEffect { edits, ..ResponseEffect::default() }
    }

    fn describe(&self) -> String {
        let names = |fields: &HeaderMap| fields.keys().map(HeaderName::as_str).collect::<Vec<_>>().join(", ");
        let Edits { remove, set, append } = &*self.edits;
        let removed = remove.iter().map(HeaderName::as_str).collect::<Vec<_>>().join(", ");
        let does = [("removes", removed), ("sets", names(set)), ("appends", names(append))];
        let does = does.iter().filter(|(_, names)| !names.is_empty()).map(|(verb, names)| format!("{verb} {names}"));
        let whose = if self.side == Side::Request { "request" } else { "response" };
        format!("{} in the {whose}'s head", does.collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{compiled, dice, problems_of, request, response};
    use super::*;

    #[test]
    fn only_the_head_of_its_direction_is_changed() {
        let fault = compiled(KIND.example);
        assert_eq!(fault.on_request(&request(), dice()), RequestEffect::default());
        let edits = fault.on_response(&response(), dice()).edits.unwrap();
        assert_eq!((edits.set["content-type"].as_bytes(), edits.remove.len()), (&b"text/html"[..], 2));
        assert_eq!(fault.describe(), "removes etag, cache-control, sets content-type in the response's head");
        let fault = compiled("kind = \"header\"\ndirection = \"request\"\nremove = \"authorization\"");
        assert!(fault.on_response(&response(), dice()).edits.is_none());
        assert_eq!(fault.on_request(&request(), dice()).edits.unwrap().remove, ["authorization"]);
    }

    #[test]
    fn mistakes_name_the_key_and_the_cure() {
        for (rest, wanted) in [
            ("", "changes nothing"),
            ("set = { connection = \"close\" }", "\"connection\" frames the message"),
            ("direction = \"request\"\nset = { content-length = \"7\" }", "\"content-length\" frames the message"),
            ("set = { content-length = \"many\" }", "content-length is no number"),
            ("remove = [\"a b\"]", "\"a b\" is not a header name"),
            ("append = { a = \"x\\ny\" }", "a header value is one line"),
        ] {
            let problems = problems_of(&format!("kind = \"header\"\n{rest}"));
            assert!(problems.contains(wanted), "{rest}: {problems}");
        }
    }
}
