//! Makes requests: everything that is the same for all of an operation is made once.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header};
use http_body_util::Full;

use super::operation::Operation;
use super::template::{Template, Variables};
use crate::names;

/// Numbers the requests of a run, so that two runs can be compared request by request.
pub const SEQUENCE_HEADER: HeaderName = HeaderName::from_static(names::SEQUENCE_HEADER);

const USER_AGENT: HeaderValue = HeaderValue::from_static(concat!("brownout/", env!("CARGO_PKG_VERSION")));

/// A request of the driver.
pub(super) type LoadRequest = Request<Full<Bytes>>;

/// The source of a run's requests. The n-th is the same in every run with the same seed.
#[derive(Debug)]
pub(super) struct Requests {
    prepared: Vec<Prepared>,
    /// Upper ends of the operations' shares of the draw, the last one 1.
    shares: Vec<f64>,
    seed: u64,
    numbered: bool,
}

#[derive(Debug)]
struct Prepared {
    method: Method,
    uri: Part<Uri>,
    headers: Vec<(HeaderName, Part<HeaderValue>)>,
    body: Part<Bytes>,
}

/// A part of a request: the same for all, or drawn for each.
#[derive(Debug)]
enum Part<T> {
    Fixed(T),
    /// With one that is known to be valid. Any other has the same shape, so it is valid too.
    Drawn(Template, T),
}

impl<T: Clone> Part<T> {
    fn new(template: &Template, parse: impl Fn(String) -> Option<T>) -> Option<Self> {
        match template.fixed() {
            Some(text) => parse(text.to_owned()).map(Self::Fixed),
            None => {
                let sample = parse(template.rendered(Variables::new(0, 0)))?;
                Some(Self::Drawn(template.clone(), sample))
            }
        }
    }

    fn get(&self, variables: Variables, parse: impl Fn(String) -> Option<T>) -> T {
        match self {
            Self::Fixed(value) => value.clone(),
            Self::Drawn(template, sample) => parse(template.rendered(variables)).unwrap_or_else(|| sample.clone()),
        }
    }
}

fn uri(text: String) -> Option<Uri> {
    Uri::from_maybe_shared(Bytes::from(text)).ok()
}

fn header_value(text: String) -> Option<HeaderValue> {
    HeaderValue::from_maybe_shared(Bytes::from(text)).ok()
}

fn body(text: String) -> Option<Bytes> {
    Some(Bytes::from(text))
}

impl Prepared {
    /// `None` cannot be: an [`Operation`] is checked when it is made.
    fn new(operation: &Operation, authority: &str) -> Option<Self> {
        let mut headers = Vec::new();
        for (name, template) in &operation.headers {
            headers.push((name.clone(), Part::new(template, header_value)?));
        }
        let given = |name: HeaderName| operation.headers.iter().any(|(given, _)| *given == name);
        if !given(header::USER_AGENT) {
            headers.insert(0, (header::USER_AGENT, Part::Fixed(USER_AGENT)));
        }
        if !given(header::HOST) {
            headers.insert(0, (header::HOST, Part::Fixed(header_value(authority.to_owned())?)));
        }
        let uri = Part::new(&operation.path, uri)?;
        Some(Self { method: operation.method.clone(), uri, headers, body: Part::new(&operation.body, body)? })
    }
}

impl Requests {
    /// `numbered` puts [`SEQUENCE_HEADER`] on each.
    pub(super) fn new(operations: &[Operation], authority: &str, seed: u64, numbered: bool) -> Option<Self> {
        let prepared: Option<Vec<_>> = operations.iter().map(|o| Prepared::new(o, authority)).collect();
        let total: f64 = operations.iter().map(|o| o.weight).sum();
        let mut sum = 0.0;
        let shares = operations
            .iter()
            .map(|operation| {
                sum += operation.weight;
                sum / total
            })
            .collect();
        Some(Self { prepared: prepared.filter(|p| !p.is_empty())?, shares, seed, numbered })
    }

    /// The request with this number, from 0. `headers` is any map, whose memory is used again.
    pub(super) fn make(&self, sequence: u64, mut headers: HeaderMap) -> LoadRequest {
        let variables = Variables::new(self.seed, sequence);
        let prepared = self.choose(variables);
        headers.clear();
        for (name, value) in &prepared.headers {
            headers.append(name, value.get(variables, header_value));
        }
        if self.numbered {
            headers.insert(SEQUENCE_HEADER, HeaderValue::from(sequence));
        }
        let mut request = Request::new(Full::new(prepared.body.get(variables, body)));
        *request.method_mut() = prepared.method.clone();
        *request.uri_mut() = prepared.uri.get(variables, uri);
        *request.headers_mut() = headers;
        request
    }

    fn choose(&self, variables: Variables) -> &Prepared {
        let last = self.prepared.len() - 1;
        if last == 0 {
            return &self.prepared[0];
        }
        let draw = variables.dice().uniform(3);
        // Rounding may leave the last share a hair below 1.
        &self.prepared[self.shares.partition_point(|end| *end <= draw).min(last)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::operation::OperationText;

    fn operation(path: &str, weight: f64, headers: &[(&str, &str)], body: &str) -> Operation {
        let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let text =
            OperationText { name: None, method: None, path: path.to_owned(), headers, body: body.to_owned(), weight };
        Operation::new(text).unwrap()
    }

    fn requests(operations: &[Operation], numbered: bool) -> Requests {
        Requests::new(operations, "127.0.0.1:8080", 42, numbered).unwrap()
    }

    #[test]
    fn a_request_has_what_its_operation_says() {
        let source =
            requests(&[operation("/a/{{seq}}", 1.0, &[("x-n", "{{seq}}"), ("host", "shop")], "n={{seq}}")], true);
        let request = source.make(7, HeaderMap::new());
        assert_eq!((request.method(), request.uri().to_string().as_str()), (&Method::POST, "/a/7"));
        assert_eq!(request.headers()["x-n"], "7");
        assert_eq!(request.headers()["host"], "shop");
        assert_eq!(request.headers()[SEQUENCE_HEADER], "7");
        assert_eq!(hyper::body::Body::size_hint(request.body()).exact(), Some(3));
    }

    #[test]
    fn a_used_map_leaves_no_trace() {
        let source = requests(&[operation("/", 1.0, &[], "")], false);
        let mut used = HeaderMap::new();
        used.insert("server", HeaderValue::from_static("nginx"));
        let request = source.make(0, used);
        let mut names: Vec<_> = request.headers().keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["host", "user-agent"]);
        assert_eq!(request.headers()["host"], "127.0.0.1:8080");
    }

    #[test]
    fn operations_are_drawn_by_their_weight_and_the_same_in_every_run() {
        let operations = [operation("/a", 1.0, &[], ""), operation("/b", 3.0, &[], "")];
        let draw = || -> Vec<String> {
            let source = requests(&operations, false);
            (0..4_000).map(|n| source.make(n, HeaderMap::new()).uri().path().to_owned()).collect()
        };
        let first = draw();
        assert_eq!(first, draw());
        let share = first.iter().filter(|path| *path == "/b").count() as f64 / 4_000.0;
        // Five standard errors of a binomial with n = 4,000 and p = 3/4.
        assert!((share - 0.75).abs() < 5.0 * (0.75f64 * 0.25 / 4_000.0).sqrt(), "{share}");
    }
}
