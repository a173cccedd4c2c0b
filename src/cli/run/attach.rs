//! Sidecars that run elsewhere.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, anyhow};
use url::Url;

use crate::cli::{Failure, output};
use crate::client::Client;
use crate::client::wire::Proxies;
use crate::config::{ExperimentProxy, Token};
use crate::experiment::injector::Injector;
use crate::experiment::remote::Remote;
use crate::experiment::spec::Experiment;
use crate::load::Target;

/// The sidecars of an experiment.
#[derive(Default)]
pub(super) struct Sidecars {
    /// One for each admin API.
    pub(super) injectors: Vec<Box<dyn Injector>>,
    /// The load arrives at one of their proxies.
    pub(super) in_front: bool,
}

impl Sidecars {
    /// Looks at every sidecar that the experiment attaches to. Faults outlive this process by the lease at most.
    pub(super) async fn find(experiment: &Experiment, target: &Target, lease: Duration) -> Result<Self, Failure> {
        let mut found = Self::default();
        for Place { admin, token, proxies } in places(experiment) {
            let token = token.map(Token::reveal);
            let client = Client::new(admin, token).context("attach")?;
            let there = client.proxies().await.context("attach")?;
            known(admin, &proxies, &there)?;
            output::note(format_args!("attached to {} at {admin}", proxies.join(", ")));
            found.in_front |= leads_to(target, admin, &proxies, &there);
            let remote = Remote::new(admin, token, &experiment.name, proxies, &experiment.rules, lease);
            found.injectors.push(Box::new(remote.context("attach")?));
        }
        Ok(found)
    }
}

/// One admin API and what the experiment wants of it.
struct Place<'a> {
    admin: &'a Url,
    token: Option<&'a Token>,
    proxies: Vec<String>,
}

/// Proxies of the same instance are held by one lock.
fn places(experiment: &Experiment) -> Vec<Place<'_>> {
    let mut places: Vec<Place<'_>> = Vec::new();
    for proxy in &experiment.proxies {
        let ExperimentProxy::Attach { name, admin, token } = proxy else { continue };
        for admin in admin {
            match places.iter_mut().find(|place| place.admin == admin) {
                Some(place) => {
                    place.proxies.push(name.clone());
                    place.token = place.token.or(token.as_ref());
                }
                None => places.push(Place { admin, token: token.as_ref(), proxies: vec![name.clone()] }),
            }
        }
    }
    places
}

fn known(admin: &Url, wanted: &[String], there: &Proxies) -> Result<(), Failure> {
    let names: Vec<&str> = there.proxies.iter().map(|proxy| proxy.name.as_str()).collect();
    match wanted.iter().find(|name| !names.contains(&name.as_str())) {
        Some(name) => {
            let names = names.join(", ");
            Err(anyhow!("attach: there is no proxy \"{name}\" at {admin} (there are: {names})").into())
        }
        None => Ok(()),
    }
}

/// Whether load for the target arrives at one of these proxies, as far as addresses tell.
fn leads_to(target: &Target, admin: &Url, proxies: &[String], there: &Proxies) -> bool {
    let host: Vec<IpAddr> = admin.socket_addrs(|| None).unwrap_or_default().iter().map(SocketAddr::ip).collect();
    let listeners = there.proxies.iter().filter(|proxy| proxies.contains(&proxy.name));
    let listeners: Vec<SocketAddr> = listeners.filter_map(|proxy| proxy.listen.parse().ok()).collect();
    target
        .addresses()
        .iter()
        .any(|to| listeners.iter().any(|at| to.port() == at.port() && (to.ip() == at.ip() || host.contains(&to.ip()))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::wire::Proxy;
    use crate::load::TargetUrl;

    fn there(listen: &str) -> Proxies {
        let proxy = Proxy {
            name: "stock".to_owned(),
            protocol: "http".to_owned(),
            listen: listen.to_owned(),
            upstreams: Vec::new(),
        };
        Proxies { proxies: vec![proxy] }
    }

    #[test]
    fn a_sidecar_is_in_front_when_the_load_goes_to_its_listener() {
        let admin = Url::parse("http://10.0.0.5:7470").unwrap();
        let leads = |target: &str, listen: &str| {
            let target = TargetUrl::parse(target).unwrap().resolve(&[]).unwrap();
            leads_to(&target, &admin, &["stock".to_owned()], &there(listen))
        };
        assert!(leads("http://10.0.0.5:8080", "10.0.0.5:8080"));
        assert!(leads("http://10.0.0.5:8080", "0.0.0.0:8080"), "all addresses of the sidecar's machine");
        assert!(!leads("http://10.0.0.5:8080", "0.0.0.0:8081"), "another port");
        assert!(!leads("http://10.0.0.6:8080", "0.0.0.0:8080"), "another machine");
    }

    #[test]
    fn a_proxy_that_is_not_there_is_named_with_those_that_are() {
        let admin = Url::parse("http://10.0.0.5:7470").unwrap();
        assert!(known(&admin, &["stock".to_owned()], &there("0.0.0.0:1")).is_ok());
        let missing = known(&admin, &["stok".to_owned()], &there("0.0.0.0:1")).unwrap_err();
        assert_eq!(
            missing.to_string(),
            "attach: there is no proxy \"stok\" at http://10.0.0.5:7470/ (there are: stock)"
        );
    }
}
