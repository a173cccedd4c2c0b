//! HTTP proxies under the same API: their toxics are rules, so that they act on requests and not on connections.
//!
//! Every kind of fault that rules have is a type of toxic here, with the rule's keys as its attributes; of the original's
//! types those that have a counterpart are translated, so that a test written for the original acts on each request.

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde_json::{Map, Value, json as value};

use super::decode::Fields;
use super::problem::Problem;
use super::wire;
use crate::diagnostics::{Node, Reader};
use crate::faults::toxics::Stream;
use crate::rules::{Layer, RuleSpec, Store, read_rules};
use crate::tcp::Around;
use crate::tcp::registry::Refusal;

/// An HTTP proxy as the API shows it.
#[derive(Debug, Clone, Default)]
struct HttpProxy {
    listen: String,
    upstream: String,
    toxics: Vec<HttpToxic>,
}

#[derive(Debug, Clone)]
struct HttpToxic {
    name: String,
    kind: String,
    stream_written: String,
    toxicity: f32,
    attributes: Map<String, Value>,
}

/// All HTTP proxies of a process with their toxics.
#[derive(Debug, Default)]
pub struct HttpProxies(BTreeMap<String, HttpProxy>);

impl HttpProxies {
    /// Says which there are: name, listener, upstream. Toxics of those that stay are kept, those of others end.
    pub fn set(&mut self, running: impl IntoIterator<Item = (String, String, String)>, store: &Store) {
        let mut before = std::mem::take(&mut self.0);
        for (name, listen, upstream) in running {
            let toxics = before.remove(&name).map(|proxy| proxy.toxics).unwrap_or_default();
            self.0.insert(name, HttpProxy { listen, upstream, toxics });
        }
        if before.values().any(|proxy| !proxy.toxics.is_empty()) {
            self.publish(store);
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(super) fn shown(&self) -> impl Iterator<Item = (String, Value)> {
        self.0.iter().map(|(name, proxy)| (name.clone(), proxy.shown(name)))
    }

    pub(super) fn show(&self, name: &str) -> Result<Value, Problem> {
        Ok(self.proxy(name)?.shown(name))
    }

    pub(super) fn toxics(&self, name: &str) -> Result<Value, Problem> {
        Ok(self.proxy(name)?.toxics.iter().map(HttpToxic::shown).collect())
    }

    pub(super) fn toxic(&self, name: &str, toxic: &str) -> Result<Value, Problem> {
        let found = self.proxy(name)?.toxics.iter().find(|found| found.name == toxic);
        Ok(found.ok_or(Refusal::NoToxic)?.shown())
    }

    fn proxy(&self, name: &str) -> Result<&HttpProxy, Problem> {
        self.0.get(name).ok_or_else(|| Refusal::NoProxy.into())
    }

    fn proxy_mut(&mut self, name: &str) -> Result<&mut HttpProxy, Problem> {
        self.0.get_mut(name).ok_or_else(|| Refusal::NoProxy.into())
    }

    pub(super) fn add(&mut self, name: &str, sent: &Value, around: &Around) -> Result<Value, Problem> {
        let toxic = HttpToxic::read(sent)?;
        let proxy = self.proxy_mut(name)?;
        if proxy.toxics.iter().any(|other| other.name == toxic.name) {
            return Err(Refusal::ToxicExists.into());
        }
        toxic.allowed(name, around)?;
        let shown = toxic.shown();
        proxy.toxics.push(toxic);
        self.publish(&around.rules);
        Ok(shown)
    }

    pub(super) fn change(&mut self, name: &str, toxic: &str, sent: &Value, around: &Around) -> Result<Value, Problem> {
        let proxy = self.proxy_mut(name)?;
        let current = proxy.toxics.iter_mut().find(|found| found.name == toxic).ok_or(Refusal::NoToxic)?;
        let fields = Fields::of("ToxicWrapper", sent).map_err(Problem::body)?;
        let mut changed = current.clone();
        changed.toxicity = fields.float("toxicity").map_err(Problem::body)?.unwrap_or(changed.toxicity);
        changed.attributes.extend(object(&fields)?);
        changed.allowed(name, around)?;
        *current = changed;
        let shown = current.shown();
        self.publish(&around.rules);
        Ok(shown)
    }

    pub(super) fn remove(&mut self, name: &str, toxic: &str, store: &Store) -> Result<(), Problem> {
        let proxy = self.proxy_mut(name)?;
        let at = proxy.toxics.iter().position(|found| found.name == toxic).ok_or(Refusal::NoToxic)?;
        proxy.toxics.remove(at);
        self.publish(store);
        Ok(())
    }

    pub(super) fn reset(&mut self, store: &Store) {
        self.0.values_mut().for_each(|proxy| proxy.toxics.clear());
        self.publish(store);
    }

    /// Each was read once before it was taken in, so none is lost here.
    fn publish(&self, store: &Store) {
        let rules = self.0.iter().flat_map(|(name, proxy)| proxy.toxics.iter().filter_map(|t| t.rule(name).ok()));
        store.replace(&Layer::Toxics, rules.collect());
    }
}

fn object(fields: &Fields<'_>) -> Result<Map<String, Value>, Problem> {
    match fields.get("attributes") {
        None => Ok(Map::new()),
        Some(Value::Object(map)) => Ok(map.clone()),
        Some(_) => Err(Problem::body("json: cannot unmarshal into Go struct field ToxicWrapper.attributes")),
    }
}

impl HttpProxy {
    fn shown(&self, name: &str) -> Value {
        value!({
            "name": name,
            "listen": self.listen,
            "upstream": self.upstream,
            "enabled": true,
            "toxics": self.toxics.iter().map(HttpToxic::shown).collect::<Value>(),
        })
    }
}

impl HttpToxic {
    fn read(sent: &Value) -> Result<Self, Problem> {
        let fields = Fields::of("ToxicWrapper", sent).map_err(Problem::body)?;
        let text = |name| fields.text(name).map_err(Problem::body);
        let (name, kind, stream) = (text("name")?, text("type")?, text("stream")?);
        let toxicity = fields.float("toxicity").map_err(Problem::body)?.unwrap_or(1.0);
        let stream_written = if stream.is_empty() { Stream::Downstream.name().to_owned() } else { stream };
        if Stream::parse(&stream_written).is_none() {
            return Err(Problem::bad("stream was invalid, can be either upstream or downstream"));
        }
        let name = if name.is_empty() { format!("{kind}_{stream_written}") } else { name };
        let attributes = object(&fields)?;
        Ok(Self { name, kind, stream_written, toxicity, attributes })
    }

    fn shown(&self) -> Value {
        value!({
            "attributes": Value::Object(self.attributes.clone()),
            "name": self.name,
            "type": self.kind,
            "stream": self.stream_written,
            "toxicity": wire::float(self.toxicity),
        })
    }

    /// Whether it is a rule, and one that `[safety]` allows.
    fn allowed(&self, proxy: &str, around: &Around) -> Result<(), Problem> {
        let rule = self.rule(proxy)?;
        match around.ceilings.problems(&[rule]).0.into_iter().next() {
            Some(problem) => Err(Problem::bad(problem.message)),
            None => Ok(()),
        }
    }

    /// The rule that it is.
    fn rule(&self, proxy: &str) -> Result<RuleSpec, Problem> {
        let fault = self.fault()?;
        let sane = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
        let name: String = format!("{proxy}.{}", self.name).chars().map(sane).take(64).collect();
        let probability = (f64::from(self.toxicity) * 1e6).round() / 1e6;
        let rule = value!({ "rule": [{
            "name": name,
            "proxy": proxy,
            "trigger": { "probability": probability.clamp(0.0, 1.0) },
            "fault": [fault],
        }] });
        let node = Node::from_json(&rule);
        let problems = RefCell::default();
        let rule = read_rules(&mut Reader::new("toxic", &node, "", &problems)).pop();
        match (rule, problems.into_inner().0.into_iter().next()) {
            (Some(rule), None) => Ok(rule),
            (_, Some(problem)) if problem.message.contains(": kind: there is no") => {
                Err(Problem::bad("invalid toxic type"))
            }
            (_, Some(problem)) => Err(Problem::body(problem.message)),
            (None, None) => Err(Problem::bad("invalid toxic type")),
        }
    }

    /// The fault: the rule's own keys, or what the original's attributes mean for a request.
    fn fault(&self) -> Result<Map<String, Value>, Problem> {
        let sent = Value::Object(self.attributes.clone());
        let numbers = Fields::of("attributes", &sent).map_err(Problem::body)?;
        let number = |name| numbers.whole(name).map_err(Problem::body);
        let ms = |n: i64| format!("{}ms", n.max(0));
        let is_upstream = Stream::parse(&self.stream_written) == Some(Stream::Upstream);
        let side = if is_upstream { "request" } else { "response" };
        let has = |name: &str| self.attributes.contains_key(name);
        let translated = match self.kind.as_str() {
            "latency" if has("latency") || has("jitter") => {
                let (base, jitter) = (number("latency")?.unwrap_or(0), number("jitter")?.unwrap_or(0).max(0));
                let delay = match jitter {
                    0 => value!(ms(base)),
                    _ => value!({ "distribution": "uniform", "min": ms(base - jitter), "max": ms(base + jitter) }),
                };
                value!({ "kind": "latency", "side": side, "delay": delay })
            }
            "timeout" if has("timeout") && number("timeout")? == Some(0) => value!({ "kind": "timeout", "side": side }),
            "timeout" if has("timeout") => {
                value!({ "kind": "timeout", "side": side, "for": ms(number("timeout")?.unwrap_or(0)) })
            }
            "bandwidth" => {
                value!({ "kind": "slow-body", "rate": format!("{}KB/s", number("rate")?.unwrap_or(0).max(0)) })
            }
            "reset_peer" => {
                value!({ "kind": "abort", "how": "reset", "at": if is_upstream { "request" } else { "headers" } })
            }
            "limit_data" => {
                let bytes = number("bytes")?.unwrap_or(0).max(0);
                value!({ "kind": "abort", "how": "close", "at": "body", "after_bytes": bytes })
            }
            "down" => value!({ "kind": "abort", "how": "close", "at": "request" }),
            kind => {
                let mut fault = Map::from_iter([("kind".to_owned(), Value::from(kind))]);
                fault.extend(self.attributes.clone());
                if matches!(kind, "latency" | "timeout") && !has("side") {
                    fault.insert("side".to_owned(), side.into());
                }
                Value::Object(fault)
            }
        };
        match translated {
            Value::Object(fault) => Ok(fault),
            _ => Ok(Map::new()),
        }
    }
}
