//! Bodies that rules look at.

use std::time::Duration;

use http::HeaderMap;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};

use super::client::Client;

/// The request's body as JSON, if it says that it is, comes within `patience`, and is not larger than `limit`. Bodies of
/// other types are not waited for: a stream would never be over.
pub(super) async fn json(client: &mut Client, limit: u64, patience: Duration) -> Option<serde_json::Value> {
    let headers = &client.request().headers;
    if !says_json(headers) || length(headers).is_some_and(|length| length > limit) {
        return None;
    }
    let body = client.read_ahead(usize::try_from(limit).ok()?, patience).await?;
    serde_json::from_slice(&body).ok()
}

/// `application/json` and everything that ends in `+json` (RFC 6839 section 3.1).
fn says_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || kind.ends_with("+json")
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_known_by_its_type() {
        for (kind, says) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/problem+json", true),
            ("application/grpc", false),
            ("text/plain", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, kind.parse().unwrap());
            assert_eq!(says_json(&headers), says, "{kind}");
        }
        assert!(!says_json(&HeaderMap::new()));
    }
}
