//! How every "no" looks: a problem document (RFC 9457).

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::client::wire::Problem;
use crate::diagnostics::Problems;

/// An answer that is no. Boxed, for it travels in every `Result` of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal(Box<Problem>);

impl Refusal {
    /// `kind` is the end of the type's URN, `title` says the same for every problem of the type.
    pub(super) fn new(status: StatusCode, kind: &str, title: &str, detail: String) -> Self {
        let kind = format!("urn:brownout:problem:{kind}");
        Self(Box::new(Problem { kind, title: title.to_owned(), status: status.as_u16(), detail, ..Problem::default() }))
    }

    /// A status that says all that there is to say.
    pub(super) fn plain(status: StatusCode, detail: String) -> Self {
        let title = status.canonical_reason().unwrap_or_default().to_lowercase();
        let kind = "about:blank".to_owned();
        Self(Box::new(Problem { kind, title, status: status.as_u16(), detail, ..Problem::default() }))
    }

    pub(super) fn unauthorized() -> Self {
        let detail = "this API asks for its token: send Authorization: Bearer TOKEN".to_owned();
        Self::plain(StatusCode::UNAUTHORIZED, detail)
    }

    /// What was sent is JSON, but wrong: every mistake at once.
    pub(super) fn invalid(problems: Problems) -> Self {
        let count = problems.0.len();
        let detail = format!("{count} {}", if count == 1 { "problem" } else { "problems" });
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", "invalid content", detail).with_problems(problems)
    }

    pub(super) fn with_problems(mut self, problems: Problems) -> Self {
        self.0.problems = problems.0;
        self
    }

    pub(super) fn with_holder(mut self, run: &str) -> Self {
        self.0.holder = Some(run.to_owned());
        self
    }

    pub(super) fn with_rules(mut self, rules: Vec<String>) -> Self {
        self.0.rules = rules;
        self
    }

    #[cfg(test)]
    pub(super) fn status(&self) -> u16 {
        self.0.status
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, axum::Json(&*self.0)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
