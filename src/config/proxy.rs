//! One `[[proxy]]`: a listener with its upstream.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::thread::available_parallelism;

use url::Url;

use super::address::Listen;
use super::client_faults;
use super::forwarded::Forwarded;
use super::limits::Limits;
use super::route::{self, RouteConfig};
use super::sections::Token;
use super::timeouts::Timeouts;
use super::tls;
use super::upstream::Upstream;
use crate::diagnostics::{Reader, nearest};
use crate::rules::ClientFaults;
use crate::tls::{ClientTls, ServerTls};

/// What a listener speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.x, and HTTP/2 with prior knowledge, told apart by the first bytes; with TLS by what was agreed on.
    Http,
}

/// What an HTTP/1.x client's FIN means while its exchange is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HalfClose {
    /// The client is gone.
    Abort,
    /// The client has only finished sending: then a RST or a failed write means that it is gone.
    Wait,
}

/// A listener with its upstream, resolved. Two equal values need no restart of the listener between them.
#[derive(Debug, Clone, PartialEq)]
pub struct ProxyConfig {
    /// The name, unique in its file: what rules refer to, and the metric label.
    pub name: String,
    /// What it speaks.
    pub protocol: Protocol,
    /// Where it listens; port 0 asks for any free one.
    pub listen: SocketAddr,
    /// What its clients are shown; without it they are spoken to in the clear.
    pub tls: Option<ServerTls>,
    /// Where requests go, in turn; at least one, all of one scheme.
    pub upstreams: Vec<Upstream>,
    /// What is asked of the upstreams and shown to them; there if they are `https`.
    pub upstream_tls: Option<ClientTls>,
    /// What a client's FIN means.
    pub half_close: HalfClose,
    /// The time limits.
    pub timeouts: Timeouts,
    /// How much clients may ask.
    pub limits: Limits,
    /// Whether the upstream is told who asked.
    pub forwarded: Forwarded,
    /// Whether an injected or altered response says so in its headers.
    pub marks: bool,
    /// How many threads serve it, each with a listener and a pool of upstream connections of its own.
    pub shards: NonZeroUsize,
    /// Named matches, first match first.
    pub routes: Vec<RouteConfig>,
    /// What clients may ask for themselves; nothing by default.
    pub client_faults: Option<ClientFaults>,
}

impl ProxyConfig {
    /// Whether the other one has other certificates or settings of TLS at most, for the same uses of it.
    pub fn differs_only_in_tls(&self, other: &Self) -> bool {
        let same_uses =
            self.tls.is_some() == other.tls.is_some() && self.upstream_tls.is_some() == other.upstream_tls.is_some();
        same_uses && Self { tls: self.tls.clone(), upstream_tls: self.upstream_tls.clone(), ..other.clone() } == *self
    }
}

/// A `[[proxy]]` of an experiment file.
#[derive(Debug, Clone, PartialEq)]
pub enum ExperimentProxy {
    /// Started for the run.
    Start(Box<ProxyConfig>),
    /// Already running elsewhere, behind these admin APIs.
    Attach {
        /// The name it has over there.
        name: String,
        /// One admin API for each instance.
        admin: Vec<Url>,
        /// What the APIs ask for.
        token: Option<Token>,
    },
}

impl ExperimentProxy {
    /// The name, by which rules refer to it.
    pub fn name(&self) -> &str {
        match self {
            Self::Start(proxy) => &proxy.name,
            Self::Attach { name, .. } => name,
        }
    }
}

/// What is known of one `[[proxy]]` of a file: its claims, too, when the rest of it is wrong.
pub(super) struct Placed {
    pub(super) line: Option<usize>,
    pub(super) name: Option<String>,
    pub(super) listen: Option<SocketAddr>,
    pub(super) proxy: Option<ProxyConfig>,
}

/// Reads every `[[proxy]]` of a configuration. None at all is a problem: there would be nothing to serve.
pub(super) fn read_all(top: &mut Reader<'_>) -> Vec<Placed> {
    if !top.has("proxy") {
        let cure = "for example [[proxy]] with name = \"web\", listen = \"127.0.0.1:8080\", upstream = \"http://127.0.0.1:9000\"";
        top.complain("there is no [[proxy]]".to_owned(), Some(cure));
    }
    let mut all = Vec::new();
    for mut reader in top.tables("proxy") {
        all.push(read_placed(&mut reader));
        reader.finish();
    }
    all
}

/// Reads one `[[proxy]]` table, and leaves [`Reader::finish`] to the caller; `None` when a problem was recorded that
/// leaves nothing to go on with.
pub fn read_proxy(reader: &mut Reader<'_>) -> Option<ProxyConfig> {
    read_placed(reader).proxy
}

fn read_placed(reader: &mut Reader<'_>) -> Placed {
    let line = reader.line();
    let name = read_name(reader);
    if reader.node("attach").is_some() {
        reader.reject("attach", "only an experiment attaches to a proxy that runs elsewhere", Some("remove it"));
    }
    let listen = read_listen(reader);
    let proxy = read_listener(reader, name.clone(), listen);
    Placed { line, name, listen, proxy }
}

/// Reads one `[[proxy]]` table of an experiment, which may have `attach` (one admin API or a list) and `token`
/// instead of a listener. [`Reader::finish`] is left to the caller.
pub fn read_experiment_proxy(reader: &mut Reader<'_>) -> Option<ExperimentProxy> {
    let name = read_name(reader);
    if !reader.has("attach") {
        let listen = read_listen(reader);
        return read_listener(reader, name, listen).map(|proxy| ExperimentProxy::Start(Box::new(proxy)));
    }
    for key in ["listen", "upstream"] {
        if reader.node(key).is_some() {
            reader.reject(key, "is not used with attach: the proxy runs already", Some("remove one of the two"));
        }
    }
    let token = reader.optional::<Token>("token");
    let admin = read_attach(reader)?;
    Some(ExperimentProxy::Attach { name: name?, admin, token })
}

fn read_name(reader: &mut Reader<'_>) -> Option<String> {
    let name = reader.required::<String>("name", "\"payments\"")?;
    reader.rename(format!("proxy \"{name}\""));
    Some(name)
}

fn read_attach(reader: &mut Reader<'_>) -> Option<Vec<Url>> {
    const CURE: Option<&str> = Some("the admin API's address, such as \"http://127.0.0.1:7470\"");
    let written = reader.optional::<Vec<String>>("attach")?;
    if written.is_empty() {
        reader.reject("attach", "the list is empty", CURE);
    }
    let mut urls = Vec::new();
    for text in written {
        match Url::parse(&text) {
            Ok(url) if url.scheme() == "http" && url.has_host() => urls.push(url),
            Ok(url) if url.scheme() == "https" => {
                reader.reject("attach", format!("\"{text}\": https is not supported by this version yet"), CURE);
            }
            _ => reader.reject("attach", format!("\"{text}\" is not the address of an admin API"), CURE),
        }
    }
    (!urls.is_empty()).then_some(urls)
}

fn read_listen(reader: &mut Reader<'_>) -> Option<SocketAddr> {
    reader.required::<Listen>("listen", "\"127.0.0.1:8080\"").map(|listen| listen.0)
}

fn read_listener(reader: &mut Reader<'_>, name: Option<String>, listen: Option<SocketAddr>) -> Option<ProxyConfig> {
    let protocol = read_protocol(reader);
    let tls = tls::read_server(reader);
    let upstreams = read_upstreams(reader, listen);
    let upstream_tls = tls::read_client(reader, upstreams.as_deref().unwrap_or_default());
    let half_close = choice(reader, "half_close", &[("abort", HalfClose::Abort), ("wait", HalfClose::Wait)]);
    let timeouts = Timeouts::read(reader);
    let limits = Limits::read(reader);
    let forwarded = Forwarded::read(reader);
    let marks = reader.or("marks", true);
    let shards = read_shards(reader);
    let routes = route::read_all(reader);
    let client_faults = client_faults::read(reader);
    Some(ProxyConfig {
        name: name?,
        protocol,
        listen: listen?,
        tls,
        upstreams: upstreams?,
        upstream_tls,
        half_close: half_close.unwrap_or(HalfClose::Abort),
        timeouts,
        limits,
        forwarded,
        marks,
        shards,
        routes,
        client_faults,
    })
}

fn read_protocol(reader: &mut Reader<'_>) -> Protocol {
    let cure = Some("write protocol = \"http\"");
    match reader.optional::<String>("protocol").as_deref() {
        None | Some("http") => {}
        Some("tcp") => reader.reject("protocol", "\"tcp\" is not supported by this version yet", cure),
        Some(other) => reader.reject("protocol", format!("there is no protocol \"{other}\""), cure),
    }
    Protocol::Http
}

fn read_upstreams(reader: &mut Reader<'_>, listen: Option<SocketAddr>) -> Option<Vec<Upstream>> {
    let upstreams = reader.required::<Vec<Upstream>>("upstream", "\"http://127.0.0.1:9000\"")?;
    if upstreams.is_empty() {
        reader.reject("upstream", "the list is empty", Some("for example upstream = [\"http://127.0.0.1:9000\"]"));
        return None;
    }
    let itself = |u: &&Upstream| listen.is_some_and(|l| u.port == l.port() && u.ip() == Some(l.ip()));
    if let Some(upstream) = upstreams.iter().find(itself) {
        reader.reject("upstream", format!("{upstream} is this proxy itself"), Some("name the service behind it"));
    }
    let first = upstreams[0].scheme;
    if let Some(other) = upstreams.iter().find(|upstream| upstream.scheme != first) {
        let cure = "write all of them alike, or make two proxies of it";
        reader.reject("upstream", format!("{other} is not {}:// like the first", first.name()), Some(cure));
    }
    Some(upstreams)
}

fn read_shards(reader: &mut Reader<'_>) -> NonZeroUsize {
    let cores = available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let Some(shards) = reader.optional::<u16>("shards") else { return cores };
    NonZeroUsize::new(shards.into()).unwrap_or_else(|| {
        reader.reject("shards", "0 threads serve nothing", Some("leave it out for one thread a core"));
        cores
    })
}

/// Reads a key with few values; absent and wrong are `None`.
pub(super) fn choice<T: Copy>(reader: &mut Reader<'_>, key: &'static str, choices: &[(&str, T)]) -> Option<T> {
    let written = reader.optional::<String>(key)?;
    if let Some((_, value)) = choices.iter().find(|(name, _)| *name == written) {
        return Some(*value);
    }
    let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
    let cure = match nearest(&written, names.iter().copied()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("one of: {}", names.join(", ")),
    };
    reader.reject(key, format!("\"{written}\" is not known"), Some(&cure));
    None
}
