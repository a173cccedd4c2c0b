//! What is right line by line and wrong together: names used twice, listeners in each other's way.

use std::net::SocketAddr;

use super::address::collide;
use super::proxy::Placed;
use super::sections::{Admin, Metrics, Safety};
use super::tcp::Toxiproxy;
use crate::diagnostics::Reader;

/// Who wants to listen where, and the line that says so.
struct Claim {
    who: String,
    listen: SocketAddr,
    line: Option<usize>,
}

/// Records every name that is taken twice and every pair of listeners of which the second could not be bound.
pub(super) fn check(
    top: &Reader<'_>,
    admin: &Admin,
    metrics: &Metrics,
    toxiproxy: Option<&Toxiproxy>,
    proxies: &[Placed],
) {
    for (i, later) in proxies.iter().enumerate() {
        let Some(name) = &later.name else { continue };
        if let Some(first) = proxies[..i].iter().find(|first| first.name.as_ref() == Some(name)) {
            let message = format!("proxy \"{name}\" is there twice{}", also(first.line));
            top.complain_at(later.line, message, Some("give one of them another name"));
        }
    }
    let mut claims = vec![
        Claim { who: "[admin]".to_owned(), listen: admin.listen, line: None },
        Claim { who: "[metrics]".to_owned(), listen: metrics.listen, line: None },
    ];
    let toxiproxy = toxiproxy.map(|api| Claim { who: "[toxiproxy]".to_owned(), listen: api.listen, line: None });
    claims.extend(toxiproxy);
    claims.extend(proxies.iter().filter_map(|placed| {
        let who = placed.name.as_ref().map_or("a proxy".to_owned(), |name| format!("proxy \"{name}\""));
        Some(Claim { who, listen: placed.listen?, line: placed.line })
    }));
    for (i, later) in claims.iter().enumerate() {
        if let Some(first) = claims[..i].iter().find(|first| collide(first.listen, later.listen)) {
            let message = format!(
                "{} listens on {}, and so does {} on {}{}",
                later.who,
                later.listen,
                first.who,
                first.listen,
                also(first.line)
            );
            top.complain_at(later.line, message, Some("give one of them another port"));
        }
    }
}

/// Records every toxic of the file that `[safety]` does not allow.
pub(super) fn beyond_safety(top: &Reader<'_>, safety: &Safety, proxies: &[Placed]) {
    let most = safety.max_probability;
    for placed in proxies {
        let Some(proxy) = &placed.proxy else { continue };
        for toxic in &proxy.tcp.toxics {
            let who = format!("proxy \"{}\": toxic \"{}\"", proxy.name, toxic.name);
            if f64::from(toxic.toxicity) > most.get() {
                let message = format!("{who} hits {} of connections, safety.max_probability is {most}", toxic.toxicity);
                top.complain_at(placed.line, message, Some("lower its toxicity"));
            }
            if safety.require_lease {
                let message = format!("{who} has no lease, and safety.require_lease is set");
                top.complain_at(placed.line, message, Some("use a rule with a lease"));
            }
        }
    }
}

fn also(line: Option<usize>) -> String {
    line.map(|line| format!(", as in line {line}")).unwrap_or_default()
}
