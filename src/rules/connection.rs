//! Rules on connections of TCP proxies.
//!
//! A connection lives long and a rule may come while it is open, so each rule is held against each connection once: when
//! the connection opens, or when the rule appears or changes. Only rules that name the proxy and ask nothing of HTTP
//! can match; the trigger counts connections.

use std::sync::Arc;

use http::{HeaderMap, Method};
use smallvec::SmallVec;

use super::check::problem;
use super::plan::Plan;
use super::set::{NOT_LIVE, RuleSet};
use super::spec::RuleSpec;
use crate::diagnostics::Problems;
use crate::dice::Dice;
use crate::faults::RequestView;
use crate::faults::compose::Source;
use crate::faults::toxics::{Stream, Toxic};

/// The rules that a connection has been held against.
#[derive(Debug, Default)]
pub struct Seen(SmallVec<[(u64, u64); 1]>);

/// What one fault of a hit does to a connection.
#[derive(Debug, Clone)]
pub struct OnConnection {
    /// Which fault of which hit.
    pub source: Source,
    /// Which part of that fault, if it does several things.
    pub part: usize,
    /// On which direction.
    pub stream: Stream,
    /// What.
    pub toxic: Arc<dyn Toxic>,
    /// With which chance.
    pub dice: Dice,
}

impl RuleSpec {
    /// Whether the rule can hit connections of the TCP proxy with this name: it names it, and asks nothing of HTTP.
    pub fn acts_on_connections_of(&self, proxy: &str) -> bool {
        self.proxies.is_some() && self.acts_on(proxy) && self.matching.is_empty()
    }
}

impl RuleSet {
    /// Decides what a connection of a TCP proxy will suffer by rules that it has not been held against yet.
    pub fn plan_connection(&self, proxy: &str, seen: &mut Seen) -> Plan {
        let mut plan = Plan::none();
        if self.is_empty() {
            return plan;
        }
        let headers = HeaderMap::new();
        let request = RequestView {
            method: &Method::CONNECT,
            host: "",
            path: "",
            query: None,
            headers: &headers,
            client: None,
            json: None,
        };
        for layer in self.layers() {
            if seen.0.is_empty() {
                layer.saw_traffic(proxy);
            }
            let mut is_coupled = false;
            for (number, (rule, live)) in layer.body.rules.iter().zip(&*layer.live).enumerate() {
                let id = (rule.state.id, live.epoch);
                let concerns = live.epoch != NOT_LIVE && rule.spec.acts_on_connections_of(proxy);
                // One that rests is held against the connection when it begins to act.
                if !concerns || seen.0.contains(&id) || self.chance(live).rests(rule) {
                    continue;
                }
                seen.0.push(id);
                let partner = layer.body.partners.get(number).copied().flatten();
                is_coupled |= partner.is_some();
                let partner = partner.and_then(|partner| layer.body.rules.get(partner as usize));
                self.consider(&mut plan, rule, live, partner, &request);
            }
            if is_coupled {
                plan.settle_couples();
            }
        }
        plan
    }

    /// Which live rules can hit connections of this proxy.
    pub fn concern(&self, proxy: &str) -> Concern {
        let mut concern = Concern::default();
        if self.is_empty() {
            return concern;
        }
        for layer in self.layers() {
            for (rule, live) in layer.body.rules.iter().zip(&*layer.live) {
                if live.epoch != NOT_LIVE && rule.spec.acts_on_connections_of(proxy) {
                    let rests = self.chance(live).rests(rule);
                    concern.acting += usize::from(!rests);
                    concern.resting += usize::from(rests);
                }
            }
        }
        concern
    }
}

/// How many rules concern the connections of a proxy at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Concern {
    /// They act.
    pub acting: usize,
    /// Their schedule lets them rest.
    pub resting: usize,
}

impl Plan {
    /// What the faults of the hits that are not released do to the connection, in composition order.
    pub fn on_connection(&self) -> Vec<OnConnection> {
        let open = (0..self.len()).filter(|hit| !self.is_released(*hit));
        open.flat_map(|hit| self.toxics_of(hit)).collect()
    }
}

/// Every rule that names a TCP proxy (one of `tcp`) and asks something of HTTP there: it can never act on it, or a part
/// of it cannot.
pub fn misplaced(rules: &[RuleSpec], tcp: &[&str]) -> Problems {
    let mut problems = Problems::default();
    for rule in rules {
        let named = rule.proxies.iter().flatten().find(|name| tcp.contains(&name.as_str()));
        let Some(proxy) = named else { continue };
        if !rule.matching.is_empty() || !rule.exclude.is_empty() {
            let message = format!("looks at requests, and proxy \"{proxy}\" speaks TCP");
            problems.0.push(problem(rule, message, "leave match and exclude out"));
        }
        for fault in rule.faults.iter().filter(|fault| fault.fault.on_connection().is_empty()) {
            let message = format!("fault \"{}\" has no meaning on proxy \"{proxy}\", which speaks TCP", fault.kind);
            problems.0.push(problem(
                rule,
                message,
                "take one of bytes or connections, such as latency, timeout or abort",
            ));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::super::testing::rules;
    use super::super::{Layer, Store};
    use super::*;

    fn rule(name: &str, more: &str) -> String {
        format!("[[rule]]\nname = \"{name}\"\n{more}\n[[rule.fault]]\nkind = \"latency\"\ndelay = \"80ms\"\n")
    }

    #[test]
    fn a_rule_is_held_against_a_connection_once_until_it_changes() {
        let store = Store::new(1);
        store.replace(&Layer::File, rules(&rule("a", "proxy = \"db\"")));
        let mut seen = Seen::default();
        let plan = store.load().plan_connection("db", &mut seen);
        assert_eq!((plan.len(), plan.on_connection().len()), (1, 1));
        assert!(store.load().plan_connection("db", &mut seen).is_empty());
        store.replace(&Layer::File, rules(&(rule("a", "proxy = \"db\"") + &rule("b", "proxy = \"db\""))));
        assert_eq!(store.load().plan_connection("db", &mut seen).len(), 1, "only the new one");
        store.set_enabled(&Layer::File, "a", false);
        assert!(plan.on_connection().is_empty(), "it was released");
        store.set_enabled(&Layer::File, "a", true);
        assert_eq!(store.load().plan_connection("db", &mut seen).len(), 1, "it begins anew");
        assert_eq!(store.status()[0].counts.matched, 2);
    }

    #[test]
    fn only_rules_that_name_the_proxy_and_ask_nothing_of_http_match() {
        let store = Store::new(1);
        let all = rule("any", "")
            + &rule("other", "proxy = \"web\"")
            + &rule("http", "proxy = \"db\"\nmatch = { path = \"/\" }");
        store.replace(&Layer::File, rules(&all));
        assert!(store.load().plan_connection("db", &mut Seen::default()).is_empty());
        assert_eq!(store.load().concern("db"), Concern::default());
    }

    #[test]
    fn what_has_no_meaning_on_tcp_is_told() {
        let toml = rule("a", "proxy = \"db\"\nmatch = { path = \"/\" }")
            + "[[rule]]\nname = \"b\"\nproxy = [\"web\", \"db\"]\n[[rule.fault]]\nkind = \"error\"\nstatus = 503\n"
            + &rule("c", "proxy = \"db\"");
        let problems = misplaced(&rules(&toml), &["db"]).to_string();
        assert_eq!(
            problems.lines().collect::<Vec<_>>(),
            [
                "r.toml:1: rule \"a\": looks at requests, and proxy \"db\" speaks TCP (leave match and exclude out)",
                "r.toml:8: rule \"b\": fault \"error\" has no meaning on proxy \"db\", which speaks TCP (take one of bytes or connections, such as latency, timeout or abort)",
            ]
        );
    }
}
