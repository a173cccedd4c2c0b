//! What commands that talk to a running instance have in common.

use std::future::Future;

use anyhow::Context;
use url::Url;

use super::{Failure, Outcome};
use crate::client::{Client, ClientError};
use crate::diagnostics::Problems;

/// Which instance, and what it asks for.
#[derive(Debug, clap::Args)]
pub struct Remote {
    /// The admin API of the instance
    #[arg(
        long,
        global = true,
        value_name = "URL",
        default_value = "http://127.0.0.1:7470",
        env = "BROWNOUT_ADMIN",
        hide_env = true
    )]
    admin: String,
    /// What the API asks for, if it has a token [default: $BROWNOUT_TOKEN]
    #[arg(long, global = true, value_name = "TOKEN", env = "BROWNOUT_TOKEN", hide_env = true)]
    token: Option<String>,
}

impl Remote {
    /// Talks to the instance on a runtime of its own.
    ///
    /// # Errors
    /// A URL that is none; whatever `talk` says.
    pub(super) fn talk<T: Future<Output = Outcome>>(self, talk: impl FnOnce(Client) -> T) -> Outcome {
        let client = self.client()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.context("no runtime can be started")?.block_on(talk(client))
    }

    fn client(&self) -> Result<Client, Failure> {
        let wrong = || {
            let message = format!("\"{}\" is not the address of an admin API", self.admin);
            Problems::one("--admin", message, Some("http://host:port, such as http://127.0.0.1:7470"))
        };
        // A bare host:port is what people type.
        let with_scheme =
            if self.admin.contains("://") { self.admin.clone() } else { format!("http://{}", self.admin) };
        let url = Url::parse(&with_scheme).map_err(|_| wrong())?;
        let token = self.token.as_deref().filter(|token| !token.is_empty());
        Client::new(&url, token).map_err(|_| Failure::BadInput(wrong()))
    }
}

/// A call that failed, with what to do about it.
pub(super) fn failed(error: ClientError) -> Failure {
    let cure = match &error {
        ClientError::Unreachable { .. } | ClientError::TimedOut { .. } => {
            Some("is `brownout serve` running there? another instance is named with --admin URL")
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
