//! Changes of a head that faults ask for.

use pingora::http::{RequestHeader, ResponseHeader};

use crate::faults::header::Edits;

/// Changes a response's head: removed, then set, then appended.
pub(super) fn response(head: &mut ResponseHeader, edits: &Edits) {
    for name in edits.remove.iter().chain(edits.set.keys()) {
        head.remove_header(name);
    }
    for (name, value) in edits.set.iter().chain(&edits.append) {
        let _ = head.append_header(name.clone(), value.clone()); // it fails at 32,768 fields
    }
}

/// Changes a request's head, in the same order.
pub(super) fn request(head: &mut RequestHeader, edits: &Edits) {
    for name in edits.remove.iter().chain(edits.set.keys()) {
        head.remove_header(name);
    }
    for (name, value) in edits.set.iter().chain(&edits.append) {
        let _ = head.append_header(name.clone(), value.clone());
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use http::header::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn fields_are_removed_set_and_appended_in_this_order() {
        let fields = |fields: &[(&'static str, &'static str)]| -> HeaderMap {
            let field =
                |(n, v): &(&'static str, &'static str)| (HeaderName::from_static(n), HeaderValue::from_static(v));
            fields.iter().map(field).collect()
        };
        let edits = Edits {
            remove: vec![HeaderName::from_static("etag")],
            set: fields(&[("a", "new"), ("etag", "mine")]),
            append: fields(&[("b", "2")]),
        };
        let mut head = ResponseHeader::build(200, None).unwrap();
        for (name, value) in [("A", "1"), ("a", "2"), ("b", "1"), ("etag", "x"), ("c", "1")] {
            head.append_header(name, value).unwrap();
        }
        response(&mut head, &edits);
        let all = |name| head.headers.get_all(name).iter().map(|v| v.to_str().unwrap()).collect::<Vec<_>>();
        assert_eq!([all("a"), all("b"), all("etag"), all("c")], [vec!["new"], vec!["1", "2"], vec!["mine"], vec!["1"]]);
    }
}
