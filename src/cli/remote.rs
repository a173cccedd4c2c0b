//! What commands that talk to a running instance have in common.

use std::future::Future;
use std::path::{Path, PathBuf};

use anyhow::Context;
use url::Url;

use super::{Failure, Outcome};
use crate::client::{Client, ClientError};
use crate::config::{Admin, Config, DEFAULT_PATH};
use crate::diagnostics::Problems;

/// Which instance, and what it asks for.
#[derive(Debug, clap::Args)]
pub struct Remote {
    /// The admin API of the instance [default: what the configuration says, else http://127.0.0.1:7470]
    #[arg(long, global = true, value_name = "URL", env = "BROWNOUT_ADMIN", hide_env = true)]
    admin: Option<String>,
    /// What the API asks for, if it has a token [default: $BROWNOUT_TOKEN, else the configuration's]
    #[arg(long, global = true, value_name = "TOKEN", env = "BROWNOUT_TOKEN", hide_env = true)]
    token: Option<String>,
    /// The configuration of the instance, for its address and token [default: config/brownout.toml, if it is there]
    #[arg(short, long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// What is called, where that was found, and what it asks for.
struct Target {
    url: String,
    source: String,
    token: Option<String>,
}

impl Remote {
    /// Talks to the instance on a runtime of its own.
    ///
    /// # Errors
    /// A URL that is none, a configuration that cannot be read; whatever `talk` says.
    pub(super) fn talk<T: Future<Output = Outcome>>(self, talk: impl FnOnce(Client) -> T) -> Outcome {
        let client = self.client()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.context("no runtime can be started")?.block_on(talk(client))
    }

    fn client(&self) -> Result<Client, Failure> {
        let Target { url, source, token } = self.target()?;
        let wrong = || {
            let message = format!("\"{url}\" is not the address of an admin API");
            Problems::one(&source, message, Some("http://host:port, such as http://127.0.0.1:7470"))
        };
        // A bare host:port is what people type.
        let with_scheme = if url.contains("://") { url.clone() } else { format!("http://{url}") };
        let url = Url::parse(&with_scheme).map_err(|_| wrong())?;
        let token = token.as_deref().filter(|token| !token.is_empty());
        Client::new(&url, token).map_err(|_| Failure::BadInput(wrong()))
    }

    /// What was said by hand comes first, then what the configuration says.
    fn target(&self) -> Result<Target, Failure> {
        let configured = self.configured()?;
        let token = self.token.clone().or_else(|| Some(configured.as_ref()?.1.token.as_ref()?.reveal().to_owned()));
        Ok(match (&self.admin, configured) {
            (Some(url), _) => Target { url: url.clone(), source: "--admin".to_owned(), token },
            (None, Some((path, admin))) => Target { url: admin.url(), source: path.display().to_string(), token },
            (None, None) => Target { url: Admin::default().url(), source: "--admin".to_owned(), token },
        })
    }

    /// The configuration, if there is one: a file that was named must be right, another one only counts if it is.
    fn configured(&self) -> Result<Option<(PathBuf, Admin)>, Failure> {
        match &self.config {
            Some(path) => Ok(Some((path.clone(), Config::admin_of(path)?))),
            None if self.admin.is_some() => Ok(None),
            None => Ok(Config::admin_of(Path::new(DEFAULT_PATH)).ok().map(|admin| (DEFAULT_PATH.into(), admin))),
        }
    }
}

/// A call that failed, with what to do about it.
pub(super) fn failed(error: ClientError) -> Failure {
    let cure = match &error {
        ClientError::Unreachable { .. } | ClientError::TimedOut { .. } => {
            Some("is `brownout serve` running there? another instance is named with --admin URL or -c FILE")
        }
        ClientError::Refused(problem) if problem.status == 401 => Some("give it with --token or $BROWNOUT_TOKEN"),
        _ => None,
    };
    let error = anyhow::Error::new(error);
    match cure {
        Some(cure) => anyhow::anyhow!("{error:#} ({cure})").into(),
        None => error.into(),
    }
}
