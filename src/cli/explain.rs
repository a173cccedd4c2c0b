//! `brownout explain`: what the rules would do to a request, without sending one.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::{Failure, Outcome, output};
use crate::config::{Config, DEFAULT_PATH, ProxyConfig, Safety, read_rule_file, read_rules_dir};
use crate::diagnostics::{Problem, Problems, nearest};
use crate::faults::{RequestView, ResponseView};
use crate::rules::{Explanation, RuleSpec, Supposed, explain, futile, latch};

/// Say what the rules would do to a request, without sending one
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  brownout explain POST /api/checkout/7 -H 'x-tenant: beta-1'
  brownout explain GET '/search?q=shoes' --host shop.example --proxy web
  brownout explain POST /api/checkout/7 --rules rules/slow-checkout.toml --all
  brownout explain POST /orders --json '{\"plan\": \"free\"}' --client 10.0.0.7 --status 503")]
pub struct Args {
    /// As it would be sent, GET for example; methods are case-sensitive
    #[arg(value_name = "METHOD")]
    method: String,
    /// As it would be sent, with its query
    #[arg(value_name = "PATH")]
    path: String,
    /// A header of the request; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// The host that the request is sent to; else that of a host header
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// The address that the request comes from
    #[arg(long, value_name = "ADDRESS")]
    client: Option<IpAddr>,
    /// The body of the request, for rules that look at it
    #[arg(long, value_name = "JSON")]
    json: Option<String>,
    /// The status that the upstream answers with
    #[arg(long, value_name = "STATUS", default_value = "200")]
    status: StatusCode,
    /// A header that the upstream answers with; may be repeated
    #[arg(long = "answer-header", value_name = "NAME: VALUE")]
    answer_headers: Vec<String>,
    /// A rule file or a folder of them, instead of the configuration's
    #[arg(long, value_name = "DIR|FILE")]
    rules: Option<PathBuf>,
    /// The configuration that names proxies and rules [default: config/brownout.toml, unless --rules is given]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The proxy that receives the request; else each of them
    #[arg(long, value_name = "NAME")]
    proxy: Option<String>,
    /// As if every rule were enabled
    #[arg(long)]
    all: bool,
    /// text or json
    #[arg(long, value_name = "FORMAT", default_value = "text", hide_possible_values = true, hide_default_value = true)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// Explains the request to one proxy after the other.
///
/// # Errors
/// Every mistake in the arguments, the configuration and the rules.
pub fn run(args: Args) -> Outcome {
    let request = Request::of(&args)?;
    let (config, mut rules) = sources(&args)?;
    if args.all {
        rules.iter_mut().for_each(|rule| rule.enabled = true);
    }
    let proxies = proxies(&args, config.as_ref(), &rules)?;
    warn(config.as_ref(), &rules);

    let view = request.view();
    let response = ResponseView { status: args.status, headers: &request.answer_headers };
    let excludes = config.as_ref().map_or(&[][..], |config| &config.rules.exclude);
    let supposed = Supposed { response, excludes };
    let explanations = proxies.iter().map(|proxy| (proxy, explain(&rules, &proxy.name, &view, &supposed)));
    match args.format {
        Format::Json => {
            let all: Vec<_> = explanations.map(|(proxy, explanation)| proxy.json(&view, &explanation)).collect();
            output::print(serde_json::to_string_pretty(&all).map_err(anyhow::Error::from)?)?;
        }
        Format::Text => {
            let texts: Vec<String> = explanations.map(|(proxy, explanation)| proxy.text(&view, &explanation)).collect();
            output::print(texts.join("\n").trim_end())?;
        }
    }
    Ok(0)
}

/// A request that is only imagined.
struct Request {
    method: Method,
    host: String,
    path: String,
    query: Option<String>,
    headers: HeaderMap,
    client: Option<IpAddr>,
    json: Option<serde_json::Value>,
    answer_headers: HeaderMap,
}

impl Request {
    fn of(args: &Args) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let mut wrong = |argument: &str, message: &str, cure: &str| {
            problems.extend(Problems::one(argument, message, Some(cure)));
        };
        let method = Method::from_bytes(args.method.as_bytes()).unwrap_or_else(|_| {
            wrong("METHOD", &format!("{:?} is not a method", args.method), "for example POST");
            Method::GET
        });
        if !args.path.starts_with('/') && args.path != "*" {
            let cure = "it begins with \"/\"; the host is given with --host";
            wrong("PATH", &format!("{:?} is not the path of a request", args.path), cure);
        }
        let mut headers_of = |option: &str, texts: &[String]| {
            let mut headers = HeaderMap::new();
            for text in texts {
                match header(text) {
                    Some((name, value)) => _ = headers.append(name, value),
                    None => {
                        let cure = format!("for example {option} 'x-tenant: beta-1'");
                        wrong(option, &format!("{text:?} is not a header"), &cure);
                    }
                }
            }
            headers
        };
        let headers = headers_of("-H", &args.headers);
        let answer_headers = headers_of("--answer-header", &args.answer_headers);
        let json = args.json.as_deref().and_then(|text| {
            let json = serde_json::from_str(text);
            json.map_err(|error| wrong("--json", &format!("is not JSON: {error}"), "for example '{\"a\": 1}'")).ok()
        });
        let sent = headers.get(http::header::HOST).and_then(|host| host.to_str().ok());
        let host = without_port(args.host.as_deref().or(sent).unwrap_or_default()).to_owned();
        let (path, query) = match args.path.split_once('?') {
            Some((path, query)) => (path.to_owned(), Some(query.to_owned())),
            None => (args.path.clone(), None),
        };
        problems.or(Self { method, host, path, query, headers, client: args.client, json, answer_headers })
    }

    fn view(&self) -> RequestView<'_> {
        RequestView {
            host: &self.host,
            query: self.query.as_deref(),
            client: self.client,
            json: self.json.as_ref(),
            ..RequestView::of(&self.method, &self.path, &self.headers)
        }
    }
}

fn header(text: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = text.split_once(':')?;
    Some((HeaderName::try_from(name.trim()).ok()?, HeaderValue::try_from(value.trim()).ok()?))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port))
            if port.bytes().all(|b| b.is_ascii_digit()) && (!name.contains(':') || name.ends_with(']')) =>
        {
            name
        }
        _ => host,
    }
}

/// The configuration, if one is needed or was asked for, and the rules.
fn sources(args: &Args) -> Result<(Option<Config>, Vec<RuleSpec>), Problems> {
    let path = match (&args.config, &args.rules) {
        (Some(path), _) => Some(path.as_path()),
        (None, Some(_)) => None,
        (None, None) => Some(Path::new(DEFAULT_PATH)),
    };
    let config = path.map(|path| Config::load(path, &[])).transpose()?;
    let rules = match (&args.rules, &config) {
        (Some(path), _) if !path.is_dir() => read_rule_file(path)?,
        (Some(dir), Some(config)) => read_rules_dir(dir, &config.safety)?,
        (Some(dir), None) => read_rules_dir(dir, &Safety::default())?,
        (None, Some(config)) => read_rules_dir(&config.rules.dir, &config.safety)?,
        (None, None) => Vec::new(),
    };
    Ok((config, rules))
}

/// A proxy that the request could be sent to.
struct Receiver<'a> {
    name: String,
    /// Absent when only rules are known.
    config: Option<&'a ProxyConfig>,
}

impl Receiver<'_> {
    fn route(&self, request: &RequestView<'_>) -> Option<&str> {
        let route = self.config?.routes.iter().find(|route| route.conditions.hold(request))?;
        Some(&route.name)
    }

    fn text(&self, request: &RequestView<'_>, explanation: &Explanation) -> String {
        let route = self.route(request).map(|route| format!(", route \"{route}\"")).unwrap_or_default();
        match self.name.as_str() {
            "" => explanation.to_string(),
            name => format!("proxy \"{name}\"{route}\n{explanation}"),
        }
    }

    fn json(&self, request: &RequestView<'_>, explanation: &Explanation) -> serde_json::Value {
        serde_json::json!({ "proxy": self.name, "route": self.route(request), "explanation": explanation })
    }
}

/// The proxy that was asked for; else those of the configuration; else those that rules name; else any.
fn proxies<'a>(args: &Args, config: Option<&'a Config>, rules: &[RuleSpec]) -> Result<Vec<Receiver<'a>>, Failure> {
    let named = |name: &str| Receiver { name: name.to_owned(), config: None };
    if let Some(config) = config {
        let asked = |proxy: &&ProxyConfig| args.proxy.as_ref().is_none_or(|name| *name == proxy.name);
        let found: Vec<_> = config.proxies.iter().filter(asked).collect();
        if found.is_empty() {
            return Err(no_such_proxy(args.proxy.as_deref().unwrap_or_default(), config).into());
        }
        return Ok(found.into_iter().map(|p| Receiver { name: p.name.clone(), config: Some(p) }).collect());
    }
    if let Some(name) = &args.proxy {
        return Ok(vec![named(name)]);
    }
    let mut names: Vec<&str> =
        rules.iter().flat_map(|rule| rule.proxies.iter().flatten()).map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        names.push("");
    }
    Ok(names.into_iter().map(named).collect())
}

fn no_such_proxy(name: &str, config: &Config) -> Problems {
    let names = || config.proxies.iter().map(|proxy| proxy.name.as_str());
    let cure = match nearest(name, names()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("known proxies: {}", names().collect::<Vec<_>>().join(", ")),
    };
    let file = config.path.display().to_string();
    Problems(vec![Problem { file, line: None, message: format!("there is no proxy \"{name}\""), cure: Some(cure) }])
}

/// What makes the explanation different from what would be seen.
fn warn(config: Option<&Config>, rules: &[RuleSpec]) {
    let Some(config) = config else { return };
    let proxies: Vec<&str> = config.proxies.iter().map(|proxy| proxy.name.as_str()).collect();
    for problem in futile(rules, &proxies).0 {
        output::note(format_args!("note: {problem}"));
    }
    if latch::read(&config.safety.state_file).unwrap_or(false) {
        let file = config.safety.state_file.display();
        output::note(format_args!("note: all faults are off ({file}): nothing acts until \"brownout on\""));
    }
}
