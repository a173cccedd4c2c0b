//! The configuration file of `serve`: raw text to resolved values.
//!
//! [`Config::load`] reads the file once, fills in `${ENV}` and `--set`, and either gives back values in which
//! nothing is missing or reports every mistake of the file. What has a default needs no line in the file.

mod address;
mod client_faults;
mod conflicts;
mod example;
mod forwarded;
mod kind;
mod limits;
mod proxy;
mod route;
mod rules_dir;
pub mod schema;
mod sections;
mod timeouts;
mod tls;
mod upstream;
mod watch;

use std::cell::RefCell;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

pub use example::MINIMAL;
pub use forwarded::Forwarded;
pub use kind::Kind;
pub use limits::Limits;
pub use proxy::{ExperimentProxy, HalfClose, Protocol, ProxyConfig, read_experiment_proxy, read_proxy};
pub use route::RouteConfig;
pub use rules_dir::{read_rule_file, read_rules_dir, rule_files};
pub use sections::{Admin, Drain, Log, LogFormat, Metrics, RulesSource, Safety, Token};
pub use timeouts::Timeouts;
pub use upstream::{Scheme, Upstream};
pub use watch::Watch;

use crate::diagnostics::{Node, Problems, Reader};

/// Where `serve` looks when it is not told.
pub const DEFAULT_PATH: &str = "config/brownout.toml";

/// A configuration in which every value is known.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The file it was read from, as named by the user.
    pub path: PathBuf,
    /// The page and the REST API.
    pub admin: Admin,
    /// The exporter.
    pub metrics: Metrics,
    /// The listeners with their upstreams; names and listens are unique, there is at least one.
    pub proxies: Vec<ProxyConfig>,
    /// Where the rules of layer `file` come from.
    pub rules: RulesSource,
    /// What must not happen by accident.
    pub safety: Safety,
    /// What is written to stderr.
    pub log: Log,
    /// How `serve` ends.
    pub drain: Drain,
}

impl Config {
    /// Reads and resolves a file; `sets` are assignments such as `proxy.0.listen=127.0.0.1:8081`, applied in order.
    ///
    /// # Errors
    /// Every mistake in the file and in `sets`; for a file that is not there, a text that shows a minimal one.
    pub fn load(path: &Path, sets: &[String]) -> Result<Self, Problems> {
        if !path.exists() {
            return Err(example::missing(path));
        }
        let document = Node::from_toml_file_with(path, sets)?;
        Self::resolve(path, &document)
    }

    /// Reads `[admin]` alone, for whoever only wants to reach an instance: mistakes elsewhere, and an environment that
    /// is the instance's and not ours, do not matter here.
    ///
    /// # Errors
    /// The file cannot be read or is not TOML, or `[admin]` is wrong.
    pub fn admin_of(path: &Path) -> Result<Admin, Problems> {
        let (admin, mut problems) = Self::read_alone(path, Admin::read)?;
        // A token that is not in our environment may be given by hand.
        problems.0.retain(|problem| !problem.message.contains("token = \"\""));
        problems.or(admin)
    }

    /// Reads `[safety]` alone, as [`Config::admin_of`].
    ///
    /// # Errors
    /// The file cannot be read or is not TOML, or `[safety]` is wrong.
    pub fn safety_of(path: &Path) -> Result<Safety, Problems> {
        let folder = path.parent().unwrap_or(Path::new(""));
        let (safety, problems) = Self::read_alone(path, |top| Safety::read(top, folder))?;
        problems.or(safety)
    }

    fn read_alone<T>(path: &Path, read: impl FnOnce(&mut Reader<'_>) -> T) -> Result<(T, Problems), Problems> {
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|error| Problems::one(&file, format!("cannot be read: {error}"), None))?;
        let document = Node::from_toml_with(&file, &text, &|name| Some(std::env::var(name).unwrap_or_default()))?;
        let problems = RefCell::default();
        let value = read(&mut Reader::new(&file, &document, "", &problems));
        Ok((value, problems.into_inner()))
    }

    /// The files of certificates and keys that a configuration names, right or wrong; none if it cannot be read.
    pub fn certificate_files(path: &Path, sets: &[String]) -> Vec<PathBuf> {
        Node::from_toml_file_with(path, sets).map_or_else(|_| Vec::new(), |document| tls::files(path, &document))
    }

    /// How many threads serve the proxies: as many as the one that asks for most.
    pub fn shards(&self) -> NonZeroUsize {
        self.proxies.iter().map(|proxy| proxy.shards).max().unwrap_or(NonZeroUsize::MIN)
    }

    /// Resolves a document that has already been read; `path` names it in problems and is what relative paths
    /// in it are relative to.
    ///
    /// # Errors
    /// Every mistake in the document.
    pub fn resolve(path: &Path, document: &Node) -> Result<Self, Problems> {
        let file = path.display().to_string();
        let problems = RefCell::default();
        let mut top = Reader::new(&file, document, "", &problems);
        let folder = path.parent().unwrap_or(Path::new(""));

        let admin = Admin::read(&mut top);
        let metrics = Metrics::read(&mut top);
        let proxies = proxy::read_all(&mut top);
        let rules = RulesSource::read(&mut top, folder);
        let safety = Safety::read(&mut top, folder);
        let log = Log::read(&mut top);
        let drain = Drain::read(&mut top);
        conflicts::check(&top, &admin, &metrics, &proxies);
        top.finish();

        let proxies = proxies.into_iter().filter_map(|placed| placed.proxy).collect();
        let config = Self { path: path.to_owned(), admin, metrics, proxies, rules, safety, log, drain };
        let mut problems = problems.into_inner();
        // What two lines are wrong about together was found last: back to where a reader of the file would find it.
        problems.0.sort_by_key(|problem| problem.line);
        problems.or(config)
    }
}

#[cfg(test)]
mod tests;
