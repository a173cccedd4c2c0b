//! Answers of our own.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use pingora::http::ResponseHeader;

use super::client::{Client, Gone};
use super::gateway::Gateway;
use super::view;
use super::visit::{End, Visit};
use crate::faults::Answer;
use crate::names;
use crate::telemetry::events::{ExchangeOutcome, Trouble};

/// Sends a fault's answer. The connection stays usable: an unread request body is read and dropped afterwards.
pub(super) async fn send(gateway: &Gateway, client: &mut Client, visit: &mut Visit, answer: &Answer) -> End {
    visit.outcome = ExchangeOutcome::Injected;
    let body = match &answer.template {
        Some(template) => Bytes::from(template.render(&view::of(client))),
        None => answer.body.clone(),
    };
    let Ok(head) = head(answer.status, &answer.headers, body.len()) else { return End::Closed };
    write(gateway, client, visit, head, body).await
}

/// Says what trouble the proxy itself has; the connection stays usable.
pub(super) async fn trouble(gateway: &Gateway, client: &mut Client, visit: &mut Visit, trouble: Trouble) -> End {
    visit.outcome = trouble.outcome();
    visit.trouble = Some(trouble);
    let body = trouble_body(trouble);
    let Ok(mut head) = head(trouble.status(), &HeaderMap::new(), body.len()) else { return End::Closed };
    let _ = head.insert_header(CONTENT_TYPE, "text/plain; charset=utf-8");
    let _ = head.insert_header(names::ERROR_HEADER, trouble.name());
    if visit.outcome == ExchangeOutcome::BadRequest {
        client.forbid_reuse(); // what follows on the connection may be the rest of it
    }
    write(gateway, client, visit, head, Bytes::from(body)).await
}

fn trouble_body(trouble: Trouble) -> String {
    format!("brownout: {trouble}\n")
}

/// The answer to what could not even be read as a request: no session is there to write it.
pub(super) fn unreadable(trouble: Trouble) -> String {
    let body = trouble_body(trouble);
    let status = trouble.status();
    format!(
        "HTTP/1.1 {} {}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
         {}: {}\r\nConnection: close\r\n\r\n{body}",
        status.as_u16(),
        status.canonical_reason().unwrap_or_default(),
        body.len(),
        names::ERROR_HEADER,
        trouble.name(),
    )
}

fn head(status: StatusCode, headers: &HeaderMap, length: usize) -> pingora::Result<ResponseHeader> {
    let mut head = ResponseHeader::build(status, Some(headers.len() + 4))?;
    for (name, value) in headers {
        head.append_header(name.clone(), value.clone())?;
    }
    if !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) && !status.is_informational() {
        head.insert_header(CONTENT_LENGTH, length)?;
    }
    Ok(head)
}

async fn write(
    gateway: &Gateway,
    client: &mut Client,
    visit: &mut Visit,
    mut head: ResponseHeader,
    body: Bytes,
) -> End {
    if gateway.marks() {
        visit.mark(&mut head);
    }
    if client.awaits_continue() {
        client.forbid_reuse(); // whether it sends the body now is its choice: no framing to rely on
    }
    visit.status = Some(head.status.as_u16());
    let bodiless = client.asked_for_head()
        || body.is_empty()
        || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let told = async {
        client.send_head(Box::new(head), bodiless).await?;
        if !bodiless {
            client.send_body(body, true).await?;
        }
        client.drain(gateway.patience()).await
    };
    match told.await {
        Ok(()) => End::Complete,
        Err(Gone) => {
            visit.plan.departed();
            End::Closed
        }
    }
}
