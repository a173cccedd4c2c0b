//! Faults on a sidecar that runs elsewhere: its admin API is the way to them, and a lease their end.
//!
//! The run's rules are sent when the proxies are taken, switched off; on and off is one word of the same request.
//! A task renews the lease meanwhile. If this process is killed nobody renews, and the sidecar ends the faults.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex, MutexGuard};
use tokio::task::JoinHandle;
use url::Url;

use super::injector::{Acknowledged, Injector, InjectorError, Tally};
use crate::client::wire::{self, Foreign, RunRequest};
use crate::client::{Client, ClientError};
use crate::clock;
use crate::results::RuleReport;
use crate::rules::RuleSpec;
use crate::units::show_duration;

/// How long "off" may take to be acknowledged, and the last request to let go: it is released within 50 ms.
const LET_GO: Duration = Duration::from_secs(5);
/// How often the active gauge is read while it falls.
const TICK: Duration = Duration::from_millis(5);

/// One sidecar, held by one run.
pub struct Remote {
    id: String,
    sidecar: Arc<Sidecar>,
    renewal: Option<JoinHandle<()>>,
}

/// What the calls and the renewal share.
struct Sidecar {
    client: Client,
    address: String,
    lease: Duration,
    held: Mutex<Held>,
}

struct Held {
    request: RunRequest,
    /// Who answered when the proxies were taken.
    instance: Option<String>,
    /// Why the run's hold on the sidecar is gone for good.
    lost: Option<String>,
}

impl Remote {
    /// These proxies of the sidecar whose admin API is at `url`, and those of the rules that act on them. The rules
    /// outlive this process by the lease at most.
    ///
    /// # Errors
    /// The URL cannot be called.
    pub fn new(
        url: &Url,
        token: Option<&str>,
        run: &str,
        proxies: Vec<String>,
        rules: &[RuleSpec],
        lease: Duration,
    ) -> Result<Self, ClientError> {
        // A call that hangs must leave time for the next one before the lease is over.
        let timeout = crate::client::TIMEOUT.min(lease / 3);
        let request = RunRequest {
            lease: format!("{}ms", lease.as_millis()),
            enabled: false,
            foreign: Foreign::Refuse,
            rules: rules.iter().filter_map(|rule| narrowed(rule, &proxies)).collect(),
            proxies,
        };
        let held = Mutex::new(Held { request, instance: None, lost: None });
        let client = Client::new(url, token)?.with_timeout(timeout);
        let sidecar = Sidecar { client, address: url.to_string(), lease, held };
        Ok(Self { id: id_of(run), sidecar: Arc::new(sidecar), renewal: None })
    }

    /// Turns the rules off, as often as it takes to be heard before the deadline; gives who suffers them still.
    async fn switch_off(&self, deadline: clock::Instant) -> Result<u64, InjectorError> {
        loop {
            let error = match self.sidecar.switch(&self.id, false).await {
                Ok(active) => return Ok(active),
                Err(error) => error,
            };
            // Who was restarted has no rules of the run any more: that is a loss, and no fault is left.
            drop(self.sidecar.held().await?);
            if clock::now() > deadline {
                let lease = show_duration(self.sidecar.lease);
                return Err(InjectorError::NotRemovable(format!("{error}; its lease of {lease} ends the faults")));
            }
            clock::sleep(TICK).await;
        }
    }
}

impl Sidecar {
    /// The state, unless the hold is gone.
    async fn held(&self) -> Result<MutexGuard<'_, Held>, InjectorError> {
        let held = self.held.lock().await;
        match &held.lost {
            Some(why) => Err(InjectorError::Lost(why.clone())),
            None => Ok(held),
        }
    }

    /// Makes sure that it is still the same process that answers, and still the same run.
    fn recognise(&self, held: &mut Held, answer: Result<wire::Run, ClientError>) -> Result<wire::Run, InjectorError> {
        let address = &self.address;
        match answer {
            Ok(run) if held.instance.as_ref().is_none_or(|taken| *taken == run.instance) => Ok(run),
            Ok(_) => Err(lose(held, format!("the sidecar at {address} was restarted during the run"))),
            Err(ClientError::Refused(problem)) if problem.status == 412 => Err(lose(held, self.unknown())),
            Err(ClientError::Refused(problem)) => {
                Err(InjectorError::Refused(format!("the sidecar at {address} refuses: {problem}")))
            }
            Err(error) => Err(InjectorError::Lost(error.to_string())),
        }
    }

    /// Says whether the rules act, at once; gives how many requests suffer them.
    async fn switch(&self, id: &str, enabled: bool) -> Result<u64, InjectorError> {
        let mut held = self.held().await?;
        held.request.enabled = enabled;
        let put = self.client.renew(id, &held.request).await;
        self.recognise(&mut held, put.map(|put| put.run)).map(|run| run.active)
    }

    /// How the run stands there; its absence is the end of it.
    async fn read(&self, id: &str) -> Result<wire::Run, InjectorError> {
        let mut held = self.held().await?;
        match self.client.get_run(id).await {
            Ok(None) => Err(lose(&mut held, self.unknown())),
            Ok(Some(run)) => self.recognise(&mut held, Ok(run)),
            Err(error) => self.recognise(&mut held, Err(error)),
        }
    }

    fn unknown(&self) -> String {
        format!("the sidecar at {} no longer knows the run: it was restarted, or its lease ran out", self.address)
    }

    /// Renews at a third of the lease, for as long as the future lives or until the hold is gone.
    async fn keep(self: Arc<Self>, id: String) {
        loop {
            clock::sleep(self.lease / 3).await;
            let Ok(mut held) = self.held().await else { return };
            let put = self.client.renew(&id, &held.request).await;
            if let Err(error) = self.recognise(&mut held, put.map(|put| put.run)) {
                // The next try comes before the lease is over; if that fails too, the next call will say so.
                tracing::warn!(%error, "the lease of the run could not be renewed");
            }
        }
    }
}

#[async_trait]
impl Injector for Remote {
    async fn take(&mut self) -> Result<(), InjectorError> {
        let mut held = self.sidecar.held.lock().await;
        (held.instance, held.lost, held.request.enabled) = (None, None, false);
        let put = self.sidecar.client.put_run(&self.id, &held.request).await;
        let run = self.sidecar.recognise(&mut held, put.map(|put| put.run))?;
        held.instance = Some(run.instance);
        if run.off {
            let _ = self.sidecar.client.delete_run(&self.id).await;
            let address = &self.sidecar.address;
            let why = format!("all faults are off at {address} (`brownout on --admin {address}` turns them on)");
            return Err(InjectorError::Refused(why));
        }
        drop(held);
        self.renewal = Some(tokio::spawn(self.sidecar.clone().keep(self.id.clone())));
        Ok(())
    }

    async fn on(&mut self) -> Result<Acknowledged, InjectorError> {
        let sent = clock::now();
        self.sidecar.switch(&self.id, true).await?;
        Ok(Acknowledged { sent, at: clock::now() })
    }

    async fn off(&mut self) -> Result<Acknowledged, InjectorError> {
        let sent = clock::now();
        let deadline = sent + LET_GO;
        let mut active = self.switch_off(deadline).await?;
        while active > 0 {
            if clock::now() > deadline {
                let address = &self.sidecar.address;
                let why = format!("{active} requests at {address} still suffer a rule that is off");
                return Err(InjectorError::NotRemovable(why));
            }
            clock::sleep(TICK).await;
            active = self.sidecar.read(&self.id).await?.active;
        }
        Ok(Acknowledged { sent, at: clock::now() })
    }

    async fn tally(&mut self) -> Result<Tally, InjectorError> {
        let run = self.sidecar.read(&self.id).await?;
        Ok(Tally { rules: run.rules.into_iter().map(report).collect(), received: run.received.values().sum() })
    }

    async fn give_back(&mut self) -> Result<(), InjectorError> {
        if let Some(renewal) = self.renewal.take() {
            renewal.abort();
        }
        match self.sidecar.client.delete_run(&self.id).await {
            Ok(_) => Ok(()),
            Err(error) => Err(InjectorError::Lost(error.to_string())),
        }
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        // What cannot be taken back from here is ended by the lease.
        if let Some(renewal) = self.renewal.take() {
            renewal.abort();
        }
    }
}

fn lose(held: &mut Held, why: String) -> InjectorError {
    held.lost = Some(why.clone());
    InjectorError::Lost(why)
}

/// The rule as written, but only for these proxies; `None` if it acts on none of them.
fn narrowed(rule: &RuleSpec, proxies: &[String]) -> Option<serde_json::Value> {
    let here: Vec<&String> = proxies.iter().filter(|proxy| rule.acts_on(proxy)).collect();
    if here.is_empty() {
        return None;
    }
    let mut json = rule.json.clone();
    if rule.proxies.is_some() {
        json["proxy"] = serde_json::json!(here);
    }
    Some(json)
}

/// An id that is unique and says whose it is: part of the run's name, and a number drawn at random.
fn id_of(run: &str) -> String {
    const LONGEST: usize = 40;
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let words: String = run.chars().take(LONGEST).map(plain).collect();
    format!("{}-{:08x}", words.trim_matches('-'), rand::random::<u32>())
}

/// A rule's status as the report tells it.
fn report(rule: wire::Rule) -> RuleReport {
    let does: Vec<&str> = rule.faults.iter().map(|fault| fault.does.as_str()).collect();
    RuleReport {
        summary: does.join(", "),
        rule: rule.name,
        matched: rule.counts.matched,
        triggered: rule.counts.triggered,
        limited: rule.counts.limited,
        skipped: rule.counts.skipped,
        injected: rule.counts.injected,
        released: rule.counts.released,
        departed: rule.counts.departed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostics::{Node, Reader};

    fn rules(toml: &str) -> Vec<RuleSpec> {
        let node = Node::from_toml("rules.toml", toml).unwrap();
        let problems = std::cell::RefCell::default();
        let mut top = Reader::new("rules.toml", &node, "", &problems);
        crate::rules::read_rules(&mut top)
    }

    #[test]
    fn a_sidecar_gets_the_rules_that_act_on_its_proxies_and_nobody_elses() {
        let fault = "[[rule.fault]]\nkind = \"error\"\nstatus = 503\n";
        let rule = |name: &str, proxy: &str| format!("[[rule]]\nname = \"{name}\"\n{proxy}\n{fault}");
        let rules = rules(
            &[
                rule("everywhere", ""),
                rule("here", "proxy = \"a\""),
                rule("there", "proxy = \"c\""),
                rule("both", "proxy = [\"c\", \"b\"]"),
            ]
            .concat(),
        );
        let here = ["a".to_owned(), "b".to_owned()];
        let sent: Vec<_> = rules.iter().filter_map(|rule| narrowed(rule, &here)).collect();
        let told: Vec<_> =
            sent.iter().map(|rule| (rule["name"].as_str().unwrap(), rule.get("proxy").cloned())).collect();
        let named = |proxy: &str| Some(serde_json::json!([proxy]));
        assert_eq!(told, [("everywhere", None), ("here", named("a")), ("both", named("b"))]);
    }

    #[test]
    fn an_id_needs_no_escaping_and_two_runs_of_one_file_differ() {
        let (one, other) = (id_of("Bücher & co: 50% slow, as long as anybody can stand it"), id_of(""));
        assert!(one.starts_with("b-cher---co--50--slow") && one.len() <= 64, "{one}");
        assert!(one.chars().chain(other.chars()).all(|c| c.is_ascii_alphanumeric() || c == '-'), "{one} {other}");
        assert_ne!(id_of("same"), id_of("same"));
    }
}
