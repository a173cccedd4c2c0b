//! `x-envoy-fault-*`, with the meaning that they have in Envoy's fault filter.
//!
//! Source: Envoy's documentation of the HTTP fault filter and its `fault.proto`. Of a header that is sent several times
//! the first value counts; a value that is not understood is as good as none. A percentage is capped by the configured
//! numerator, and stands for it when it is absent.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, StatusCode};

use super::{ClientFaults, Wish};
use crate::dice::Dice;
use crate::faults::{Answer, BodyEffect, Fault, RequestEffect, RequestView, ResponseEffect, ResponseView, Terminal};
use crate::units::ByteRate;

const PREFIX: &str = "x-envoy-fault-";
/// What Envoy answers an aborted request with.
const BODY: &str = "fault filter abort";

/// Everything that the headers ask for, in the order in which Envoy's filter looks: delay, abort, throughput.
pub(super) fn wishes(allowed: &ClientFaults, request: &RequestView<'_>) -> Vec<Wish> {
    // Most requests have none of them: one look at the names, and no allocation.
    if !request.headers.keys().any(|name| name.as_str().starts_with(PREFIX)) {
        return Vec::new();
    }
    let headers = request.headers;
    let chance = |percentage: &str| {
        let most = (allowed.max_probability * f64::from(allowed.denominator)).round();
        let wanted = number::<u32>(headers, percentage).map_or(most, |wanted| f64::from(wanted).min(most));
        wanted / f64::from(allowed.denominator)
    };
    let mut wishes = Vec::new();
    if let Some(ms) = number::<u64>(headers, "x-envoy-fault-delay-request").filter(|ms| *ms > 0) {
        let delay = Duration::from_millis(ms).min(allowed.max_delay);
        let effect = RequestEffect { delay, ..RequestEffect::default() };
        let probability = chance("x-envoy-fault-delay-request-percentage");
        wishes.push(wish("latency", probability, Asked { request: effect, ..Asked::default() }));
    }
    if let Some(answer) = abort(request) {
        let effect = RequestEffect { terminal: Some(Terminal::Answer(answer)), ..RequestEffect::default() };
        let probability = chance("x-envoy-fault-abort-request-percentage");
        wishes.push(wish("error", probability, Asked { request: effect, ..Asked::default() }));
    }
    let kib = number::<u64>(headers, "x-envoy-fault-throughput-response");
    if let Some(rate) = kib.and_then(|kib| ByteRate::new(kib as f64 * 1024.0)) {
        let body = BodyEffect { rate: Some(rate), ..BodyEffect::default() };
        let effect = ResponseEffect { body, ..ResponseEffect::default() };
        let probability = chance("x-envoy-fault-throughput-response-percentage");
        wishes.push(wish("slow-body", probability, Asked { response: effect, ..Asked::default() }));
    }
    wishes
}

fn wish(kind: &'static str, probability: f64, asked: Asked) -> Wish {
    Wish { kind, fault: Arc::new(asked), probability }
}

/// The first value of a header, if it is a number that fits.
fn number<T: std::str::FromStr>(headers: &HeaderMap, name: &str) -> Option<T> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// The HTTP status wins over the gRPC status, unless it is none that can be answered with.
fn abort(request: &RequestView<'_>) -> Option<Answer> {
    let is_grpc = request.headers.get(CONTENT_TYPE).is_some_and(|kind| {
        let kind = kind.as_bytes();
        kind == b"application/grpc" || kind.starts_with(b"application/grpc+")
    });
    let http = number::<u64>(request.headers, "x-envoy-fault-abort-request").filter(|code| (200..600).contains(code));
    let grpc = || number::<u32>(request.headers, "x-envoy-fault-abort-grpc-request");
    match (http, is_grpc) {
        (Some(code), false) => Some(plain(StatusCode::from_u16(code as u16).ok()?)),
        (Some(code), true) => Some(trailers_only(grpc_of(code))),
        (None, false) => grpc().map(|_| plain(StatusCode::OK)),
        (None, true) => grpc().map(trailers_only),
    }
}

fn plain(status: StatusCode) -> Answer {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    Answer { status, headers, body: Bytes::from_static(BODY.as_bytes()), template: None }
}

fn trailers_only(grpc_status: u32) -> Answer {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-status", HeaderValue::from(grpc_status));
    headers.insert("grpc-message", HeaderValue::from_static(BODY));
    Answer { status: StatusCode::OK, headers, body: Bytes::new(), template: None }
}

/// gRPC's own table of HTTP statuses (`http-grpc-status-mapping.md`).
fn grpc_of(http: u64) -> u32 {
    match http {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => 2,
    }
}

/// A fault that always asks for the same.
#[derive(Debug, Default)]
struct Asked {
    request: RequestEffect,
    response: ResponseEffect,
}

impl Fault for Asked {
    fn on_request(&self, _: &RequestView<'_>, _: Dice) -> RequestEffect {
        self.request.clone()
    }

    fn on_response(&self, _: &ResponseView<'_>, _: Dice) -> ResponseEffect {
        self.response.clone()
    }

    fn describe(&self) -> String {
        "does what the client's headers ask for".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::Request;
    use super::*;

    fn allowed() -> ClientFaults {
        ClientFaults {
            envoy: true,
            header: false,
            max_delay: Duration::from_secs(10),
            max_probability: 0.5,
            denominator: 100,
            max_active: None,
            kinds: Vec::new(),
        }
    }

    /// What is asked for, in short: kind, probability, and what it does.
    fn asked(headers: &[(&str, &str)]) -> Vec<String> {
        let request = headers.iter().fold(Request::get("/"), |request, (name, value)| {
            request.header(&format!("{PREFIX}{name}").replace(&format!("{PREFIX}!"), ""), value)
        });
        let show = |wish: Wish| {
            let request = wish.fault.on_request(&request.view(), Dice::new(0, 0, 0));
            let does = match request.terminal {
                Some(Terminal::Answer(answer)) => {
                    let grpc = answer.headers.get("grpc-status").map(|s| format!(" grpc {}", s.to_str().unwrap()));
                    format!("{}{}", answer.status.as_u16(), grpc.unwrap_or_default())
                }
                _ => format!("{} ms", request.delay.as_millis()),
            };
            format!("{} {}: {does}", wish.kind, wish.probability)
        };
        wishes(&allowed(), &request.view()).into_iter().map(show).collect()
    }

    #[test]
    fn delays_are_milliseconds_and_percentages_are_capped_by_the_configuration() {
        assert_eq!(asked(&[("delay-request", "250")]), ["latency 0.5: 250 ms"], "without one it is the configured one");
        assert_eq!(asked(&[("delay-request", "250"), ("delay-request-percentage", "20")]), ["latency 0.2: 250 ms"]);
        assert_eq!(asked(&[("delay-request", "250"), ("delay-request-percentage", "90")]), ["latency 0.5: 250 ms"]);
        assert_eq!(asked(&[("delay-request", "250"), ("delay-request-percentage", "0")]), ["latency 0: 250 ms"]);
        assert_eq!(asked(&[("delay-request", "250"), ("delay-request-percentage", "x")]), ["latency 0.5: 250 ms"]);
        assert_eq!(asked(&[("delay-request", "99999")]), ["latency 0.5: 10000 ms"], "and so are delays");
        assert_eq!(asked(&[("delay-request", "100"), ("delay-request", "200")]), ["latency 0.5: 100 ms"]);
        for wrong in ["0", "-5", "1.5", "soon", ""] {
            assert!(asked(&[("delay-request", wrong)]).is_empty(), "{wrong}");
        }
        assert!(asked(&[("delay-request-percentage", "20")]).is_empty(), "a percentage of nothing");
    }

    #[test]
    fn the_http_status_wins_over_the_grpc_status_and_both_are_told_as_the_client_speaks() {
        const GRPC: (&str, &str) = ("!content-type", "application/grpc");
        for (headers, told) in [
            (vec![("abort-request", "503")], "503"),
            (vec![("abort-request", "503"), ("abort-grpc-request", "5")], "503"),
            (vec![("abort-request", "199"), ("abort-grpc-request", "5")], "200"),
            (vec![("abort-grpc-request", "5")], "200"),
            (vec![("abort-grpc-request", "5"), GRPC], "200 grpc 5"),
            (vec![("abort-request", "503"), GRPC], "200 grpc 14"),
            (vec![("abort-request", "418"), ("abort-grpc-request", "5"), GRPC], "200 grpc 2"),
        ] {
            assert_eq!(asked(&headers), [format!("error 0.5: {told}")], "{headers:?}");
        }
        for wrong in ["199", "600", "x"] {
            assert!(asked(&[("abort-request", wrong)]).is_empty(), "{wrong}");
        }
    }

    #[test]
    fn throughput_is_in_kibibytes_and_comes_after_the_others() {
        let both = asked(&[("throughput-response", "64"), ("delay-request", "1"), ("abort-request", "503")]);
        assert_eq!(
            both.iter().map(|w| w.split(' ').next().unwrap()).collect::<Vec<_>>(),
            ["latency", "error", "slow-body"]
        );
        assert!(asked(&[("throughput-response", "0")]).is_empty());
    }
}
