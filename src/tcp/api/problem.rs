//! How every "no" looks: the original writes JSON under a plain-text type, and clients read it all the same.

use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::wire;
use crate::tcp::registry::Refusal;

/// An error answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The status, also in the body.
    pub status: u16,
    /// The message.
    pub message: String,
}

impl Problem {
    /// 400 with this message.
    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self { status: 400, message: message.into() }
    }

    /// 400: the body cannot be read.
    pub(super) fn body(detail: impl std::fmt::Display) -> Self {
        Self::bad(format!("bad request body: {detail}"))
    }

    /// 400: a field that must be there is not.
    pub(super) fn missing(field: &str) -> Self {
        Self::bad(format!("missing required field: {field}"))
    }

    /// 500 with this message.
    pub(super) fn internal(message: impl Into<String>) -> Self {
        Self { status: 500, message: message.into() }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal {
            Refusal::NoProxy | Refusal::NoToxic => 404,
            Refusal::ProxyExists | Refusal::ToxicExists => 409,
            Refusal::Bind { .. } => 500,
        };
        Self { status, message: refusal.to_string() }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = format!("{{\"error\":{},\"status\":{}}}\n", wire::text(&self.message), self.status);
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        plain(status, body)
    }
}

/// An answer as Go's `http.Error` makes it.
pub(super) fn plain(status: StatusCode, body: impl Into<Body>) -> Response {
    let headers = [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (status, headers, body.into()).into_response()
}
