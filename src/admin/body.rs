//! What was sent: read within a limit, as JSON.

use axum::body::Body;
use axum::http::StatusCode;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;

use super::problem::Refusal;
use crate::diagnostics::{Problem, Problems};

/// The longest body that is taken: thousands of rules.
const LIMIT: usize = 1 << 20;
/// So much of a body that is too long is read and dropped, so that its sender gets to read the answer.
const PATIENCE: usize = 16 << 20;

/// Reads a whole body as JSON; `request` names it in problems (`PUT /api/v1/rules`).
pub(super) async fn json(request: &str, body: Body) -> Result<serde_json::Value, Refusal> {
    let bytes = read(body).await?;
    serde_json::from_slice(&bytes).map_err(|error| {
        let refusal = Refusal::new(StatusCode::BAD_REQUEST, "malformed", "not JSON", error.to_string());
        let problem = Problem {
            file: request.to_owned(),
            line: Some(error.line()).filter(|line| *line > 0),
            message: error.to_string(),
            cure: None,
        };
        refusal.with_problems(Problems(vec![problem]))
    })
}

async fn read(mut body: Body) -> Result<Bytes, Refusal> {
    let mut bytes = BytesMut::new();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let broken = |error| Refusal::plain(StatusCode::BAD_REQUEST, format!("the body broke off: {error}"));
        let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
        length += data.len();
        if length <= LIMIT {
            bytes.extend_from_slice(&data);
        } else if length > PATIENCE {
            break;
        }
    }
    if length > LIMIT {
        let detail = format!("the body is longer than {} bytes", LIMIT);
        return Err(Refusal::plain(StatusCode::PAYLOAD_TOO_LARGE, detail));
    }
    Ok(bytes.freeze())
}
