//! `error`: an answer that the upstream never gave.

use std::sync::Arc;

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, StatusCode};
use serde_json::Value as Json;

use super::choice::choice;
use super::content::Content;
use super::{
    Answer, Fault, Kind, RequestEffect, RequestView, ResponseEffect, ResponseView, Side, Terminal, fields, grpc,
};
use crate::diagnostics::Reader;
use crate::dice::Dice;

pub(super) const KIND: Kind = Kind {
    name: "error",
    summary: "that answer; the upstream untouched or, with `after_upstream`, having done the work; keep-alive survives",
    parameters: "`status`; `body`, or `body_file` below the folder of the rule file, with `template` = false | true; \
                 `content_type` (default text/plain); `headers`; `after_upstream` = false | true. For gRPC, in place of \
                 `status`: `grpc_status` by name or number, `grpc_message`, `grpc_in` = head (trailers-only) | trailers \
                 (after the upstream's messages; HTTP/2 only, else skipped)",
    example: "kind = \"error\"\n\
              status = 503\n\
              body = \"try again later\"\n\
              headers = { retry-after = \"2\" }\n",
    compile,
};

#[derive(Debug)]
struct Error {
    does: Does,
    /// The body as written, if it came from a file.
    inlined: Option<String>,
}

#[derive(Debug)]
enum Does {
    Answers(Answer, Side),
    /// The upstream's answer ends with these trailers.
    Fails(Arc<HeaderMap>),
}

fn compile(reader: &mut Reader<'_>) -> Option<Arc<dyn Fault>> {
    if reader.has("grpc_status") {
        return compile_grpc(reader);
    }
    grpc::read(reader);
    if reader.node("grpc_in").is_some() {
        reader.reject("grpc_in", "has no effect without grpc_status", Some("leave it out"));
    }
    let status = status(reader);
    let content_type: Option<String> = reader.optional("content_type");
    let is_json = content_type.as_deref().is_some_and(|kind| kind.contains("json"));
    let content = Content::read(reader, is_json);
    let headers = headers(reader, content_type, !content.text.is_empty());
    let side = side(reader);
    let status = status?;
    if !content.text.is_empty() && matches!(status.as_u16(), 204 | 205 | 304) {
        reader.reject("body", format!("a {status} answer has none"), Some("leave body out, or change status"));
    }
    let answer = Answer { status, headers: headers?, body: content.bytes(), template: content.template };
    let inlined = content.from_file.then_some(content.text);
    Some(Arc::new(Error { does: Does::Answers(answer, side), inlined }))
}

/// A gRPC failure is a 200 whose trailers say so; with nothing else in it they stand in the head.
fn compile_grpc(reader: &mut Reader<'_>) -> Option<Arc<dyn Fault>> {
    let failure = grpc::read(reader);
    for key in ["status", "body", "body_file", "template", "content_type"] {
        if reader.node(key).is_some() {
            reader.reject(
                key,
                "stands beside grpc_status",
                Some("a gRPC failure is a 200 without a message: leave it out"),
            );
        }
    }
    let in_trailers = choice(reader, "grpc_in", &[("head", false), ("trailers", true)], false);
    let headers = fields::read(reader, "headers", &fields::FRAMING);
    if in_trailers {
        if reader.node("after_upstream").is_some() {
            reader.reject("after_upstream", "is what trailers are anyway", Some("leave it out"));
        }
        if headers.is_some_and(|headers| !headers.is_empty()) {
            reader.reject("headers", "come too late with trailers", Some("fault \"header\" changes the head"));
        }
        return Some(Arc::new(Error { does: Does::Fails(Arc::new(failure)), inlined: None }));
    }
    let side = side(reader);
    let mut headers = headers?;
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.extend(failure);
    let answer = Answer { status: StatusCode::OK, headers, body: bytes::Bytes::new(), template: None };
    Some(Arc::new(Error { does: Does::Answers(answer, side), inlined: None }))
}

fn side(reader: &mut Reader<'_>) -> Side {
    if reader.or("after_upstream", false) { Side::Response } else { Side::Request }
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
    let mut headers = fields::read(reader, "headers", &fields::FRAMING)?;
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
    Some(headers)
}

impl Error {
    fn on(&self, wanted: Side) -> Option<Terminal> {
        match &self.does {
            Does::Answers(answer, side) if *side == wanted => Some(Terminal::Answer(answer.clone())),
            _ => None,
        }
    }
}

impl Fault for Error {
    fn on_request(&self, _: &RequestView<'_>, _: Dice) -> RequestEffect {
        RequestEffect { terminal: self.on(Side::Request), ..RequestEffect::default() }
    }

    fn on_response(&self, _: &ResponseView<'_>, _: Dice) -> ResponseEffect {
        let trailers = match &self.does {
            Does::Fails(trailers) => Some(trailers.clone()),
            Does::Answers(..) => None,
        };
        ResponseEffect { terminal: self.on(Side::Response), trailers, ..ResponseEffect::default() }
    }

    fn describe(&self) -> String {
        let (answer, side) = match &self.does {
            Does::Answers(answer, side) => (answer, side),
            Does::Fails(trailers) => {
                let status = grpc::name(trailers).unwrap_or_default();
                return format!("ends the upstream's answer with gRPC status {status}");
            }
        };
        let when = match side {
            Side::Request => "in the upstream's place",
            Side::Response => "once the upstream has done its work",
        };
        let status = answer.status.as_u16();
        match (grpc::name(&answer.headers), answer.body.len()) {
            (Some(name), _) => format!("answers gRPC status {name} {when}"),
            (None, 0) => format!("answers {status} {when}"),
            (None, length) => format!("answers {status} with a body of {length} bytes {when}"),
        }
    }

    fn inline(&self, written: &mut Json) {
        if let (Some(body), Some(written)) = (&self.inlined, written.as_object_mut()) {
            written.remove("body_file");
            written.insert("body".to_owned(), Json::from(body.as_str()));
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
    fn a_grpc_failure_is_a_200_whose_head_or_trailers_say_so() {
        let fault = compiled("kind = \"error\"\ngrpc_status = \"unavailable\"\ngrpc_message = \"50% down\"");
        let answer = answer(fault.on_request(&request(), dice()).terminal);
        assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0));
        assert_eq!(answer.headers["grpc-status"], "14");
        assert_eq!(answer.headers["grpc-message"], "50%25 down");
        assert_eq!(answer.headers["content-type"], "application/grpc");
        assert_eq!(fault.describe(), "answers gRPC status UNAVAILABLE in the upstream's place");
        let fault = compiled("kind = \"error\"\ngrpc_status = 13\ngrpc_in = \"trailers\"");
        assert_eq!(fault.on_request(&request(), dice()), RequestEffect::default());
        assert_eq!(fault.on_response(&response(), dice()).trailers.unwrap()["grpc-status"], "13");
        assert_eq!(fault.describe(), "ends the upstream's answer with gRPC status INTERNAL");
    }

    #[test]
    fn a_template_is_kept_for_the_request_it_will_be_about() {
        let fault = compiled("kind = \"error\"\nstatus = 500\nbody = \"no {{path}}\"\ntemplate = true");
        let template = answer(fault.on_request(&request(), dice()).terminal).template.unwrap();
        assert_eq!(template.render(&request()), "no /");
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
            ("grpc_status = \"UNAVAILABEL\"", "did you mean \"UNAVAILABLE\"?"),
            ("grpc_status = 1\nstatus = 500", "status: stands beside grpc_status"),
            ("grpc_status = 1\ngrpc_in = \"trailers\"\nafter_upstream = true", "is what trailers are anyway"),
            ("status = 500\ngrpc_message = \"x\"", "grpc_message: has no effect without grpc_status"),
            ("status = 500\ntemplate = true\nbody = \"{{x}}\"", "template: the body names {{x}}, which there is not"),
            ("status = 500\nbody_file = \"x\"", "body_file: \"x\" cannot be named here (give the body itself)"),
            ("status = 500\ncontent_type = \"a\"\nheaders = { content-type = \"b\" }", "is given in headers too"),
        ] {
            let problems = problems_of(&format!("kind = \"error\"\n{rest}"));
            assert!(problems.contains(wanted), "{rest}: {problems}");
        }
    }
}
