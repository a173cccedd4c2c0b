//! The admin API from the other side: what goes over the wire, and a client that speaks it.
//!
//! [`wire`] is shared with the server, so that the two cannot drift apart.

mod http;
pub mod wire;

#[cfg(test)]
mod tests;

use std::time::Duration;

use ::http::Method;
use serde::de::DeserializeOwned;
use url::Url;

use wire::{Faults, Group, Instance, Problem, Proxies, Rule, Rules, Run, RunRequest};

/// How long a call may take, connecting included, unless [`Client::with_timeout`] says otherwise.
pub const TIMEOUT: Duration = Duration::from_secs(5);

/// A client of one instance's admin API. Every call opens a connection of its own, so that a client can be shared,
/// kept for as long as one likes, and never meets a connection that the server has closed.
#[derive(Debug, Clone)]
pub struct Client {
    address: http::Address,
    token: Option<String>,
    timeout: Duration,
}

/// What a `PUT` on a run did.
#[derive(Debug, Clone, PartialEq)]
pub struct Put {
    /// The run as it is now.
    pub run: Run,
    /// It had not been there before: its lock is new, or it had expired.
    pub created: bool,
}

impl Client {
    /// A client for the API at `url`, such as `http://127.0.0.1:7470`; `token` is sent as `Authorization: Bearer`.
    ///
    /// # Errors
    /// The URL is not an `http://` one with a host.
    pub fn new(url: &Url, token: Option<&str>) -> Result<Self, ClientError> {
        let address = http::Address::of(url).ok_or_else(|| ClientError::NotAnAddress(url.to_string()))?;
        Ok(Self { address, token: token.map(str::to_owned), timeout: TIMEOUT })
    }

    /// The same client with another limit for each call.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Which instance this is: a restarted one has another id.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn instance(&self) -> Result<Instance, ClientError> {
        self.get("/api/v1/instance").await
    }

    /// The proxies of the instance.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn proxies(&self) -> Result<Proxies, ClientError> {
        self.get("/api/v1/proxies").await
    }

    /// All rules of all layers.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn rules(&self) -> Result<Rules, ClientError> {
        self.get(RULES).await
    }

    /// All rules of all layers, and the tag that names the state of layer `api`.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn rules_with_tag(&self) -> Result<(Rules, String), ClientError> {
        let answer = self.call(Method::GET, RULES, &[], Vec::new()).await?;
        let tag = answer.etag.clone().ok_or_else(|| ClientError::Malformed("the list has no ETag".to_owned()))?;
        Ok((parsed(&answer)?, tag))
    }

    /// Replaces the rules of layer `api`, if its state is still the one that the tag names.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with status 412 when somebody was faster, with 422 when the rules have mistakes.
    pub async fn put_rules(&self, rules: &[serde_json::Value], tag: &str) -> Result<Rules, ClientError> {
        let body = serde_json::json!({ "rule": rules }).to_string().into_bytes();
        parsed(&self.call(Method::PUT, RULES, &[("if-match", tag)], body).await?)
    }

    /// Turns a rule on or off; the layer (`file`, `api`, `run:ID`) must be said when several have one of this name.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with status 404 when there is no such rule, with 409 when there are several.
    pub async fn switch_rule(&self, name: &str, layer: Option<&str>, enabled: bool) -> Result<Rule, ClientError> {
        let layer = layer.map(|layer| format!("?layer={}", escaped(layer))).unwrap_or_default();
        let path = format!("{RULES}/{}/{}{layer}", escaped(name), deed(enabled));
        parsed(&self.call(Method::POST, &path, &[], Vec::new()).await?)
    }

    /// Turns all rules of a group on or off at once.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with status 404 when no rule is in it.
    pub async fn switch_group(&self, group: &str, enabled: bool) -> Result<Group, ClientError> {
        let path = format!("/api/v1/groups/{}/{}", escaped(group), deed(enabled));
        parsed(&self.call(Method::POST, &path, &[], Vec::new()).await?)
    }

    /// Takes the proxies of a run and puts its rules in place; repeated with the same content it renews the lease.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with status 409 when somebody else holds a proxy, foreign rules act on one, or all
    /// faults are off; with 422 when the request has mistakes.
    pub async fn put_run(&self, id: &str, run: &RunRequest) -> Result<Put, ClientError> {
        self.put(id, run, &[]).await
    }

    /// As [`Client::put_run`], but only if the run is still there.
    ///
    /// # Errors
    /// As [`Client::put_run`], and with status 412 when the run has expired or was deleted.
    pub async fn renew(&self, id: &str, run: &RunRequest) -> Result<Put, ClientError> {
        self.put(id, run, &[("if-match", "*")]).await
    }

    async fn put(&self, id: &str, run: &RunRequest, headers: &[(&str, &str)]) -> Result<Put, ClientError> {
        let body = serde_json::to_vec(run).map_err(|error| ClientError::Malformed(error.to_string()))?;
        let answer = self.call(Method::PUT, &run_path(id), headers, body).await?;
        Ok(Put { run: parsed(&answer)?, created: answer.status == 201 })
    }

    /// How a run stands; `None` if there is no such run, or no longer.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn get_run(&self, id: &str) -> Result<Option<Run>, ClientError> {
        absent_as_none(self.get(&run_path(id)).await)
    }

    /// Ends a run: its rules are released and removed, its proxies are free. Gives the run as it was left, whose
    /// active requests may take a moment to let go; `None` if there was none.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn delete_run(&self, id: &str) -> Result<Option<Run>, ClientError> {
        let answer = self.call(Method::DELETE, &run_path(id), &[], Vec::new()).await;
        absent_as_none(answer.and_then(|answer| parsed(&answer)))
    }

    /// Whether all faults are off, and how many are active.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn faults(&self) -> Result<Faults, ClientError> {
        self.get("/api/v1/faults").await
    }

    /// Turns all faults off, until [`Client::on`].
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn off(&self) -> Result<Faults, ClientError> {
        parsed(&self.call(Method::POST, "/api/v1/faults/off", &[], Vec::new()).await?)
    }

    /// Takes [`Client::off`] back.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn on(&self) -> Result<Faults, ClientError> {
        parsed(&self.call(Method::POST, "/api/v1/faults/on", &[], Vec::new()).await?)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        parsed(&self.call(Method::GET, path, &[], Vec::new()).await?)
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<http::Answer, ClientError> {
        let bearer = self.token.as_ref().map(|token| format!("Bearer {token}"));
        let mut headers = headers.to_vec();
        headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
        let call = http::call(&self.address, method, path, &headers, body);
        match tokio::time::timeout(self.timeout, call).await {
            Ok(answer) => accepted(answer?),
            Err(_) => Err(ClientError::TimedOut { address: self.address.to_string(), after: self.timeout }),
        }
    }
}

const RULES: &str = "/api/v1/rules";

/// Ids are made of characters that need no escaping; one that is not is refused by the server, not misread.
fn run_path(id: &str) -> String {
    format!("/api/v1/runs/{}", escaped(id))
}

fn escaped(text: &str) -> String {
    let escaped: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
    escaped.replace('+', "%20")
}

fn deed(enabled: bool) -> &'static str {
    if enabled { "enable" } else { "disable" }
}

fn accepted(answer: http::Answer) -> Result<http::Answer, ClientError> {
    if (200..300).contains(&answer.status) {
        return Ok(answer);
    }
    match serde_json::from_slice::<Problem>(&answer.body) {
        Ok(problem) => Err(ClientError::Refused(Box::new(problem))),
        Err(_) => Err(ClientError::Malformed(format!("status {} without a problem document", answer.status))),
    }
}

fn parsed<T: DeserializeOwned>(answer: &http::Answer) -> Result<T, ClientError> {
    serde_json::from_slice(&answer.body).map_err(|error| ClientError::Malformed(error.to_string()))
}

fn absent_as_none<T>(answer: Result<T, ClientError>) -> Result<Option<T>, ClientError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(ClientError::Refused(problem)) if problem.status == 404 => Ok(None),
        Err(error) => Err(error),
    }
}

/// Why a call has no answer that could be used.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The URL cannot be called.
    #[error("\"{0}\" is not the address of an admin API (expected http://host:port)")]
    NotAnAddress(String),
    /// Nobody answers there.
    #[error("the admin API at {address} cannot be reached: {reason}")]
    Unreachable {
        /// Where it should be.
        address: String,
        /// What the system says; part of the message, and therefore not also its source.
        reason: std::io::Error,
    },
    /// It took too long.
    #[error("the admin API at {address} did not answer within {}", crate::units::show_duration(*after))]
    TimedOut {
        /// Where it should be.
        address: String,
        /// The limit.
        after: Duration,
    },
    /// The connection broke within the call, or what answers does not speak HTTP.
    #[error("the admin API at {address} broke the connection: {reason}")]
    Broken {
        /// Where it should be.
        address: String,
        /// What was wrong; part of the message, and therefore not also its source.
        reason: hyper::Error,
    },
    /// Something else than the admin API of this version answers there.
    #[error("the answer is not one of the admin API: {0}")]
    Malformed(String),
    /// It said no, and why.
    #[error("{0}")]
    Refused(Box<Problem>),
}
