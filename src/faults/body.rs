//! `body`: a wrong but well-formed body.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use serde_json::Value as Json;

use super::choice::choice;
use super::header::Edits;
use super::{BodyEffect, Fault, Kind, RequestEffect, RequestView, ResponseEffect, ResponseView, Side};
use crate::diagnostics::Reader;
use crate::diagnostics::node::Value;
use crate::dice::Dice;
use crate::units::ByteSize;

pub(super) const KIND: Kind = Kind {
    name: "body",
    summary: "a wrong but well-formed body",
    parameters: "`replace` with `content_type`, or `merge`: a JSON merge patch (RFC 7396) as a table or, for `null`, \
                 as JSON text; `limit` (1MiB), beyond which a body to be merged into is left alone and counted as \
                 skipped; `direction` = response | request",
    example: "kind = \"body\"\n\
              merge = { price = 0, stock = { left = -1 } }\n\
              limit = \"256KiB\"\n",
    compile,
};

/// No larger body is held back, whatever a rule says.
const HIGHEST_LIMIT: u64 = 64 << 20;

/// A change of a whole body.
#[derive(Debug, Clone, PartialEq)]
pub enum Rewrite {
    /// This instead.
    Replace {
        /// The body.
        body: Bytes,
        /// Its type; `None` leaves the head's.
        content_type: Option<HeaderValue>,
    },
    /// These members changed, where the body is JSON.
    Merge {
        /// The patch.
        patch: Json,
        /// Larger bodies are left alone.
        limit: u64,
    },
}

impl Rewrite {
    /// How much of a body must be held back for it; `None` if none of it.
    pub fn holds_back(&self) -> Option<u64> {
        match self {
            Self::Replace { .. } => None,
            Self::Merge { limit, .. } => Some(*limit),
        }
    }

    /// Whether a body with this head may be rewritten: one to be merged into is JSON, not compressed, and not known to
    /// be larger than the limit.
    pub fn fits(&self, head: &HeaderMap) -> bool {
        let Self::Merge { limit, .. } = self else { return true };
        let encoded = head.get(CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity");
        let length = head.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        !encoded && length.is_none_or(|length| length <= *limit) && is_json(head)
    }

    /// The new body; `None` if the old one is not what it must be.
    pub fn apply(&self, body: &[u8]) -> Option<Bytes> {
        match self {
            Self::Replace { body, .. } => Some(body.clone()),
            Self::Merge { patch, .. } => {
                let mut document: Json = serde_json::from_slice(body).ok()?;
                json_patch::merge(&mut document, patch);
                serde_json::to_vec(&document).ok().map(Bytes::from)
            }
        }
    }
}

/// One JSON document: what streams several (`x-ndjson`, `json-seq`) is never held back.
fn is_json(head: &HeaderMap) -> bool {
    let Some(kind) = head.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()) else { return false };
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let subtype = kind.strip_prefix("application/").unwrap_or_default();
    subtype == "json" || (subtype.ends_with("+json") && !subtype.starts_with("stream"))
}

#[derive(Debug)]
struct Body {
    rewrite: Arc<Rewrite>,
    side: Side,
    /// Asks the upstream for a body that is not compressed, so that it can be read.
    plain: Option<Arc<Edits>>,
}

fn compile(reader: &mut Reader<'_>) -> Option<Arc<dyn Fault>> {
    let sides = [("response", Side::Response), ("request", Side::Request)];
    let side = choice(reader, "direction", &sides, Side::Response);
    let replace: Option<String> = reader.optional("replace");
    let content_type = content_type(reader);
    let merge = merge(reader);
    let limit = reader.optional::<ByteSize>("limit");
    if limit.is_some_and(|limit| limit.0 == 0 || limit.0 > HIGHEST_LIMIT) {
        reader.reject("limit", "is out of range", Some(&format!("1B to {}", ByteSize(HIGHEST_LIMIT))));
    }
    let limit = limit.map_or(1 << 20, |limit| limit.0);
    let rewrite = match (replace, merge) {
        (Some(_), Some(_)) => {
            reader.reject("merge", "stands beside replace", Some("give one of the two"));
            return None;
        }
        (Some(replace), None) => {
            if reader.has("limit") {
                reader.reject("limit", "has no effect: a replaced body is not held back", Some("leave it out"));
            }
            Rewrite::Replace { body: Bytes::from(replace), content_type }
        }
        (None, Some(patch)) => {
            if content_type.is_some() {
                reader.reject("content_type", "belongs to replace", Some("leave it out"));
            }
            Rewrite::Merge { patch, limit }
        }
        (None, None) => {
            if !reader.has("merge") && !reader.has("replace") {
                let cure = "add replace = \"{}\" or merge = { price = 0 }";
                reader.complain("says not what the body becomes".to_owned(), Some(cure));
            }
            return None;
        }
    };
    let reads_response = side == Side::Response && rewrite.holds_back().is_some();
    let set = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static("identity"))]);
    let plain = reads_response.then(|| Arc::new(Edits { set, ..Edits::default() }));
    Some(Arc::new(Body { rewrite: Arc::new(rewrite), side, plain }))
}

fn content_type(reader: &mut Reader<'_>) -> Option<HeaderValue> {
    let text: String = reader.optional("content_type")?;
    let value = HeaderValue::try_from(text);
    if value.is_err() {
        reader.reject("content_type", "is not valid", Some("for example \"application/json\""));
    }
    value.ok()
}

/// A table, or JSON in a text: TOML has no `null`, which removes a member.
fn merge(reader: &mut Reader<'_>) -> Option<Json> {
    let node = reader.node("merge")?;
    let patch = match &node.value {
        Value::Text(text) => match serde_json::from_str(text) {
            Ok(patch) => patch,
            Err(error) => {
                reader.reject("merge", format!("is not JSON: {error}"), Some("for example '{\"price\": null}'"));
                return None;
            }
        },
        _ => node.to_json(),
    };
    if !patch.is_object() {
        reader.reject("merge", "is no object", Some("a patch names the members that change"));
        return None;
    }
    Some(patch)
}

impl Body {
    fn effect(&self) -> BodyEffect {
        BodyEffect { rewrite: Some(self.rewrite.clone()), ..BodyEffect::default() }
    }
}

impl Fault for Body {
    fn on_request(&self, _: &RequestView<'_>, _: Dice) -> RequestEffect {
        match self.side {
            Side::Request => RequestEffect { body: self.effect(), ..RequestEffect::default() },
            Side::Response => RequestEffect { prepare: self.plain.clone(), ..RequestEffect::default() },
        }
    }

    fn on_response(&self, _: &ResponseView<'_>, _: Dice) -> ResponseEffect {
        match self.side {
            Side::Request => ResponseEffect::default(),
            Side::Response => ResponseEffect { body: self.effect(), ..ResponseEffect::default() },
        }
    }

    fn describe(&self) -> String {
        let whose = if self.side == Side::Request { "request" } else { "response" };
        match &*self.rewrite {
            Rewrite::Replace { body, .. } => format!("replaces the {whose}'s body by one of {} bytes", body.len()),
            Rewrite::Merge { patch, limit } => {
                let names = patch.as_object().into_iter().flatten().map(|(name, _)| name.as_str());
                let names = names.collect::<Vec<_>>().join(", ");
                format!("changes {names} in the {whose}'s JSON body of at most {}", ByteSize(*limit))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{compiled, dice, problems_of, request, response};
    use super::*;

    fn rewrite(toml: &str) -> Arc<Rewrite> {
        compiled(toml).on_response(&response(), dice()).body.rewrite.unwrap()
    }

    #[test]
    fn a_patch_changes_adds_and_removes_members_and_keeps_the_rest() {
        let merge = rewrite("kind = \"body\"\nmerge = '{\"price\": 0, \"tax\": null, \"a\": {\"b\": [1]}}'");
        let body = merge.apply(br#"{"id":"7","price":12.5,"tax":2,"a":{"c":1}}"#).unwrap();
        assert_eq!(body, r#"{"id":"7","price":0,"a":{"c":1,"b":[1]}}"#);
        assert_eq!(merge.apply(b"not JSON"), None);
        let fault = compiled(KIND.example);
        let prepare = fault.on_request(&request(), dice()).prepare.unwrap();
        assert_eq!(prepare.set["accept-encoding"], "identity");
        assert_eq!(fault.describe(), "changes price, stock in the response's JSON body of at most 256KiB");
    }

    #[test]
    fn only_one_plain_json_document_of_bearable_size_is_held_back() {
        let merge = rewrite("kind = \"body\"\nmerge = { a = 1 }\nlimit = 100");
        for (fields, fits) in [
            (&[("content-type", "application/json")][..], true),
            (&[("content-type", "application/problem+json; charset=utf-8"), ("content-length", "100")], true),
            (&[("content-type", "application/json"), ("content-length", "101")], false),
            (&[("content-type", "application/json"), ("content-encoding", "gzip")], false),
            (&[("content-type", "application/x-ndjson")], false),
            (&[("content-type", "text/event-stream")], false),
            (&[], false),
        ] {
            let head = fields.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
            assert_eq!(merge.fits(&head), fits, "{fields:?}");
        }
        assert!(rewrite("kind = \"body\"\nreplace = \"\"").fits(&HeaderMap::new()));
    }

    #[test]
    fn a_replaced_request_is_not_a_replaced_response() {
        let fault = compiled("kind = \"body\"\nreplace = \"{}\"\ndirection = \"request\"");
        assert_eq!(fault.on_response(&response(), dice()), ResponseEffect::default());
        assert!(fault.on_request(&request(), dice()).body.rewrite.is_some());
    }

    #[test]
    fn mistakes_name_the_key_and_the_cure() {
        for (rest, wanted) in [
            ("", "says not what the body becomes"),
            ("merge = \"{\"", "merge: is not JSON"),
            ("merge = \"7\"", "merge: is no object"),
            ("merge = { a = 1 }\nreplace = \"\"", "give one of the two"),
            ("merge = { a = 1 }\ncontent_type = \"a/b\"", "content_type: belongs to replace"),
            ("merge = { a = 1 }\nlimit = \"1GiB\"", "limit: is out of range (1B to 64MiB)"),
            ("replace = \"\"\nlimit = \"1KiB\"", "limit: has no effect"),
        ] {
            let problems = problems_of(&format!("kind = \"body\"\n{rest}"));
            assert!(problems.contains(wanted), "{rest}: {problems}");
        }
    }
}
