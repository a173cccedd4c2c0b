//! The single tables of the configuration, each with its defaults.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use http::uri::Authority;

use super::address::Listen;
use super::proxy::choice;
use super::timeouts::above_zero;
use crate::diagnostics::{FromNode, Node, Reader};
use crate::rules::{Ceilings, Conditions, read_any_of};
use crate::units::Share;

/// A secret of at least one character that no debug output shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The secret itself, to be compared or sent.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

impl FromNode for Token {
    fn from_node(node: &Node) -> Result<Self, String> {
        match String::from_node(node) {
            Ok(secret) if !secret.trim().is_empty() => Ok(Self(secret)),
            _ => Err("a text that is not empty, such as \"${BROWNOUT_TOKEN}\"".to_owned()),
        }
    }
}

/// `[admin]`: the page and the REST API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// Default 127.0.0.1:7470.
    pub listen: SocketAddr,
    /// Asked for as `Authorization: Bearer`; always set when `listen` is not a loopback address.
    pub token: Option<Token>,
    /// Names that a request's `Host` may have beside `localhost` and this host's addresses: any other name could be
    /// made to point here by whoever owns it. Default none.
    pub hosts: Vec<String>,
}

impl Default for Admin {
    fn default() -> Self {
        Self { listen: loopback(7470), token: None, hosts: Vec::new() }
    }
}

impl Admin {
    /// Where this machine reaches it.
    pub fn url(&self) -> String {
        let ip = match self.listen.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        format!("http://{}", SocketAddr::new(ip, self.listen.port()))
    }

    /// Reads the table, and what is missing from it by default.
    pub(super) fn read(top: &mut Reader<'_>) -> Self {
        let mut admin = Self::default();
        let Some(mut reader) = top.table("admin") else { return admin };
        admin.listen = listen(&mut reader, admin.listen);
        let has_token = reader.has("token");
        admin.token = reader.optional("token");
        admin.hosts = reader.or("hosts", Vec::new());
        for host in &admin.hosts {
            if !Authority::from_str(host).is_ok_and(|name| name.port().is_none() && name.host() == host) {
                reader.reject(
                    "hosts",
                    format!("\"{host}\" is not a host name"),
                    Some("for example \"chaos.internal\", without a port"),
                );
            }
        }
        if !admin.listen.ip().is_loopback() && !has_token {
            let message = format!("{} can be reached from other machines, and there is no token", admin.listen);
            let cure = "add token = \"${BROWNOUT_TOKEN}\", or listen on 127.0.0.1";
            reader.reject("listen", message, Some(cure));
        }
        reader.finish();
        admin
    }
}

/// `[metrics]`: the exporter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metrics {
    /// Default 127.0.0.1:7471.
    pub listen: SocketAddr,
}

impl Metrics {
    pub(super) fn read(top: &mut Reader<'_>) -> Self {
        let mut metrics = Self { listen: loopback(7471) };
        if let Some(mut reader) = top.table("metrics") {
            metrics.listen = listen(&mut reader, metrics.listen);
            reader.finish();
        }
        metrics
    }
}

/// `[rules]`: where the rules of layer `file` come from, and what seeds their chance.
#[derive(Debug, Clone)]
pub struct RulesSource {
    /// Every `*.toml` of it is read and watched; it need not exist yet. Default `rules`. A relative path is taken
    /// from the configuration file's folder and from nowhere else: rules of another place must not act by accident.
    pub dir: PathBuf,
    /// Seeds every decision of every rule. Default 42.
    pub seed: u64,
    /// Requests that meet all of one of these are spared by all rules, whoever owns them.
    pub exclude: Vec<Conditions>,
    /// The same as written: two sources are the same when they say the same.
    written: Option<serde_json::Value>,
}

impl PartialEq for RulesSource {
    fn eq(&self, other: &Self) -> bool {
        (&self.dir, self.seed, &self.written) == (&other.dir, other.seed, &other.written)
    }
}

impl RulesSource {
    pub(super) fn read(top: &mut Reader<'_>, folder: &Path) -> Self {
        let (mut dir, mut seed) = (PathBuf::from("rules"), 42);
        let (mut exclude, mut written) = (Vec::new(), None);
        if let Some(mut reader) = top.table("rules") {
            dir = reader.or("dir", "rules".to_owned()).into();
            seed = reader.or("seed", seed);
            exclude = read_any_of(&mut reader, "exclude", "rules");
            written = reader.node("exclude").map(Node::to_json);
            reader.finish();
        }
        Self { dir: below(folder, &dir), seed, exclude, written }
    }
}

/// `[safety]`: what must not happen by accident.
#[derive(Debug, Clone, PartialEq)]
pub struct Safety {
    /// No rule may have a higher probability. Default 1.
    pub max_probability: Share,
    /// Whether every rule must have a lease. Default false.
    pub require_lease: bool,
    /// Host names that load may be aimed at beyond loopback and private addresses.
    pub allow_targets: Vec<String>,
    /// Where the off latch survives a restart. Default `.brownout-state.json` beside the configuration file.
    pub state_file: PathBuf,
}

impl Default for Safety {
    fn default() -> Self {
        Self {
            max_probability: Share::ALL,
            require_lease: false,
            allow_targets: Vec::new(),
            state_file: ".brownout-state.json".into(),
        }
    }
}

impl Safety {
    /// What of it the rules are held against.
    pub fn ceilings(&self) -> Ceilings {
        Ceilings { max_probability: self.max_probability.get(), require_lease: self.require_lease }
    }

    pub(super) fn read(top: &mut Reader<'_>, folder: &Path) -> Self {
        let mut safety = Self::default();
        safety.state_file = folder.join(&safety.state_file);
        if let Some(mut reader) = top.table("safety") {
            safety.max_probability = reader.or("max_probability", safety.max_probability);
            safety.require_lease = reader.or("require_lease", safety.require_lease);
            safety.allow_targets = reader.or("allow_targets", Vec::new());
            if let Some(path) = reader.optional::<String>("state_file") {
                safety.state_file = below(folder, Path::new(&path));
            }
            reader.finish();
        }
        safety
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For eyes.
    Human,
    /// One JSON object a line.
    Json,
}

/// `[log]`: what is written to stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Log {
    /// Default human.
    pub format: LogFormat,
    /// Whether every request has a line. Default false.
    pub access: bool,
}

impl Log {
    pub(super) fn read(top: &mut Reader<'_>) -> Self {
        let mut log = Self { format: LogFormat::Human, access: false };
        if let Some(mut reader) = top.table("log") {
            let formats = [("human", LogFormat::Human), ("json", LogFormat::Json)];
            log.format = choice(&mut reader, "format", &formats).unwrap_or(log.format);
            log.access = reader.or("access", log.access);
            reader.finish();
        }
        log
    }
}

/// `[drain]`: how `serve` ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drain {
    /// How long requests under way may take to end after SIGTERM. Default 10 s.
    pub limit: Duration,
}

impl Drain {
    pub(super) fn read(top: &mut Reader<'_>) -> Self {
        let mut drain = Self { limit: Duration::from_secs(10) };
        if let Some(mut reader) = top.table("drain") {
            drain.limit = above_zero(&mut reader, "limit", drain.limit);
            reader.finish();
        }
        drain
    }
}

/// A path of the file as seen from the working directory, without the detour of `config/../rules`: it is shown often.
fn below(folder: &Path, path: &Path) -> PathBuf {
    let mut joined = folder.to_owned();
    for part in path.components() {
        match part {
            // Above a link lies another folder than the one it is in.
            Component::ParentDir if joined.file_name().is_some() && !joined.is_symlink() => _ = joined.pop(),
            Component::CurDir => {}
            part => joined.push(part),
        }
    }
    joined
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn listen(reader: &mut Reader<'_>, default: SocketAddr) -> SocketAddr {
    reader.or("listen", Listen(default)).0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_the_file_is_shown_without_detours() {
        for (folder, path, expected) in [
            ("config", "../rules", "rules"),
            ("config", "./rules", "config/rules"),
            ("", "../rules", "../rules"),
            ("a/b", "../../../r", "../r"),
            ("/etc/brownout", "../r", "/etc/r"),
            ("config", "/r", "/r"),
        ] {
            assert_eq!(below(Path::new(folder), Path::new(path)), Path::new(expected), "{folder} {path}");
        }
    }
}
