//! The cookies of a request.

use http::HeaderMap;
use http::header::COOKIE;

/// The raw values of the cookie with this name, in the order sent. Names are case-sensitive; nothing is decoded, and
/// quotes stay (RFC 6265 section 5.4 sends values as they were set).
pub(super) fn values<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    let fields = headers.get_all(COOKIE).into_iter().flat_map(|field| field.as_bytes().split(|byte| *byte == b';'));
    fields.filter_map(move |pair| {
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        (pair[..equals].trim_ascii() == name.as_bytes()).then(|| pair[equals + 1..].trim_ascii())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_in_any_field_and_at_any_place() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, "a=1; session = x=y ;b=2".parse().unwrap());
        headers.append(COOKIE, "session=z;lonely".parse().unwrap());
        let found = |name| values(&headers, name).map(|v| String::from_utf8_lossy(v).into_owned()).collect::<Vec<_>>();
        assert_eq!(found("session"), ["x=y", "z"]);
        assert_eq!(found("b"), ["2"]);
        assert_eq!((found("B").len(), found("lonely").len()), (0, 0));
    }
}
