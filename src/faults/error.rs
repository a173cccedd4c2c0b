//! `error`: an answer that the upstream never gave.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};

use super::{Answer, Fault, Kind, RequestEffect, RequestView, ResponseEffect, ResponseView, Terminal};
use crate::diagnostics::{FromNode, Reader};
use crate::dice::Dice;

pub(super) const KIND: Kind = Kind {
    name: "error",
    summary: "that answer; the upstream untouched or, with `after_upstream`, having done the work; keep-alive survives",
    parameters: "`status`; `body`; `content_type` (default text/plain); `headers`; `after_upstream` = false | true",
    example: "kind = \"error\"\n\
              status = 503\n\
              body = \"try again later\"\n\
              headers = { retry-after = \"2\" }\n",
    compile,
};

/// What frames a message or belongs to a connection: the proxy writes these.
const FRAMING: [&str; 8] =
    ["content-length", "transfer-encoding", "connection", "keep-alive", "proxy-connection", "te", "trailer", "upgrade"];

#[derive(Debug)]
struct Error {
    answer: Answer,
    after_upstream: bool,
}

fn compile(reader: &mut Reader<'_>) -> Option<Arc<dyn Fault>> {
    let status = status(reader);
    let body: String = reader.or("body", String::new());
    let content_type: Option<String> = reader.optional("content_type");
    let headers = headers(reader, content_type, !body.is_empty());
    let after_upstream = reader.or("after_upstream", false);
    let status = status?;
    if !body.is_empty() && matches!(status.as_u16(), 204 | 205 | 304) {
        reader.reject("body", format!("a {status} answer has none"), Some("leave body out, or change status"));
    }
    Some(Arc::new(Error { answer: Answer { status, headers: headers?, body: Bytes::from(body) }, after_upstream }))
}

fn status(reader: &mut Reader<'_>) -> Option<StatusCode> {
    let code: u16 = reader.required("status", "503")?;
    let status = StatusCode::from_u16(code).ok().filter(|_| (200..600).contains(&code));
    if status.is_none() {
        reader.reject("status", format!("{code} is not the status of an answer"), Some("200 to 599"));
    }
    status
}

fn headers(reader: &mut Reader<'_>, content_type: Option<String>, has_body: bool) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    let mut sound = true;
    let mut table = if reader.has("headers") { reader.table("headers") } else { None };
    reader.node("headers");
    for (key, node) in table.iter_mut().flat_map(Reader::entries) {
        let mut complain = |message: String, cure: &str| {
            reader.complain_at(node.line, format!("headers: {message}"), Some(cure));
            sound = false;
        };
        let Ok(name) = HeaderName::try_from(key) else {
            complain(format!("\"{key}\" is not a header name"), "for example retry-after = \"2\"");
            continue;
        };
        if FRAMING.contains(&name.as_str()) {
            complain(format!("\"{key}\" frames the message"), "leave it to the proxy");
            continue;
        }
        for text in Vec::<String>::from_node(node).unwrap_or_else(|expected| {
            complain(format!("{key} is not valid"), &format!("expected {expected}, or a list of such"));
            Vec::new()
        }) {
            match HeaderValue::try_from(&text) {
                Ok(value) => _ = headers.append(name.clone(), value),
                Err(_) => complain(format!("{key} = {text:?} is not valid"), "a header value is one line"),
            }
        }
    }
    if headers.contains_key(CONTENT_TYPE) {
        if content_type.is_some() {
            reader.reject("content_type", "is given in headers too", Some("give it once"));
        }
    } else if content_type.is_some() || has_body {
        match HeaderValue::try_from(content_type.as_deref().unwrap_or("text/plain; charset=utf-8")) {
            Ok(value) => _ = headers.insert(CONTENT_TYPE, value),
            Err(_) => reader.reject("content_type", "is not valid", Some("for example \"application/json\"")),
        }
    }
    debug_assert!(!headers.contains_key(CONTENT_LENGTH));
    sound.then_some(headers)
}

impl Fault for Error {
    fn on_request(&self, _: &RequestView<'_>, _: Dice) -> RequestEffect {
        let terminal = (!self.after_upstream).then(|| Terminal::Answer(self.answer.clone()));
        RequestEffect { terminal, ..RequestEffect::default() }
    }

    fn on_response(&self, _: &ResponseView<'_>, _: Dice) -> ResponseEffect {
        let terminal = self.after_upstream.then(|| Terminal::Answer(self.answer.clone()));
        ResponseEffect { terminal, ..ResponseEffect::default() }
    }

    fn describe(&self) -> String {
        let status = self.answer.status.as_u16();
        let when = if self.after_upstream { "once the upstream has done its work" } else { "in the upstream's place" };
        match self.answer.body.len() {
            0 => format!("answers {status} {when}"),
            length => format!("answers {status} with a body of {length} bytes {when}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{compiled, dice, problems_of, request, response};
    use super::*;

    fn answer(terminal: Option<Terminal>) -> Answer {
        match terminal {
            Some(Terminal::Answer(answer)) => answer,
            other => panic!("{other:?} instead of an answer"),
        }
    }

    #[test]
    fn the_answer_is_given_as_written() {
        let fault = compiled(KIND.example);
        let answer = answer(fault.on_request(&request(), dice()).terminal);
        assert_eq!((answer.status.as_u16(), &answer.body[..]), (503, &b"try again later"[..]));
        assert_eq!(answer.headers["retry-after"], "2");
        assert_eq!(answer.headers["content-type"], "text/plain; charset=utf-8");
        assert_eq!(fault.on_response(&response(), dice()), ResponseEffect::default());
    }

    #[test]
    fn after_upstream_leaves_the_request_alone() {
        let fault = compiled("kind = \"error\"\nstatus = 500\nafter_upstream = true");
        assert_eq!(fault.on_request(&request(), dice()), RequestEffect::default());
        let answer = answer(fault.on_response(&response(), dice()).terminal);
        assert!(answer.headers.is_empty(), "an empty body has no type");
        assert_eq!(fault.describe(), "answers 500 once the upstream has done its work");
    }

    #[test]
    fn mistakes_name_the_key_and_the_cure() {
        for (rest, wanted) in [
            ("", "\"status\" is missing"),
            ("status = 700", "status: 700 is not the status of an answer (200 to 599)"),
            ("status = 101", "status: 101 is not"),
            ("status = 204\nbody = \"x\"", "body: a 204 No Content answer has none"),
            ("status = 500\nheaders = { content-length = \"7\" }", "frames the message (leave it to the proxy)"),
            ("status = 500\nheaders = { \"a b\" = \"7\" }", "\"a b\" is not a header name"),
            ("status = 500\nheaders = { a = \"x\\ny\" }", "is not valid (a header value is one line)"),
            ("status = 500\nheaders = { a = 7 }", "a is not valid (expected a text in quotes"),
            ("status = 500\nheaders = 7", "7 is not a table"),
            ("status = 500\ncontent_type = \"a\"\nheaders = { content-type = \"b\" }", "is given in headers too"),
        ] {
            let problems = problems_of(&format!("kind = \"error\"\n{rest}"));
            assert!(problems.contains(wanted), "{rest}: {problems}");
        }
    }
}
