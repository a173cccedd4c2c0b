//! `[proxy.client_faults]`: what clients may ask for themselves.

use std::time::Duration;

use crate::diagnostics::{Reader, nearest};
use crate::faults::KINDS;
use crate::rules::ClientFaults;
use crate::units::Share;

/// Reads the table of a proxy; absent means that clients may ask for nothing.
pub(super) fn read(proxy: &mut Reader<'_>) -> Option<ClientFaults> {
    let mut reader = proxy.table("client_faults")?;
    let envoy = reader.or("envoy", false);
    let header = reader.or("header", false);
    if !envoy && !header {
        reader.complain(
            "allows nothing".to_owned(),
            Some("envoy = true for x-envoy-fault-*, header = true for x-brownout-fault"),
        );
    }
    let max_delay: Duration = reader.or("max_delay", Duration::from_secs(10));
    let max_probability: Share = reader.or("max_probability", Share::ALL);
    let denominator: u32 = reader.or("denominator", 100);
    if ![100, 10_000, 1_000_000].contains(&denominator) {
        reader.reject("denominator", format!("{denominator} is none of Envoy's"), Some("100, 10000 or 1000000"));
    }
    let max_active: Option<u64> = reader.optional("max_active");
    if max_active == Some(0) {
        reader.reject("max_active", "0 lets nothing through", Some("a count from 1, or no [proxy.client_faults]"));
    }
    let kinds = read_kinds(&mut reader);
    reader.finish();
    Some(ClientFaults {
        envoy,
        header,
        max_delay,
        max_probability: max_probability.get(),
        denominator,
        max_active,
        kinds,
    })
}

fn read_kinds(reader: &mut Reader<'_>) -> Vec<&'static str> {
    let all = || KINDS.iter().map(|kind| kind.name);
    let Some(written) = reader.optional::<Vec<String>>("kinds") else { return all().collect() };
    let mut kinds = Vec::new();
    for name in written {
        match all().find(|kind| *kind == name) {
            Some(kind) => kinds.push(kind),
            None => {
                let cure = match nearest(&name, all()) {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None => format!("known kinds: {}", all().collect::<Vec<_>>().join(", ")),
                };
                reader.reject("kinds", format!("there is no \"{name}\""), Some(&cure));
            }
        }
    }
    kinds
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::diagnostics::Node;

    fn read_toml(toml: &str) -> Result<Option<ClientFaults>, String> {
        let node = Node::from_toml("b.toml", toml).unwrap();
        let problems = RefCell::default();
        let mut proxy = Reader::new("b.toml", &node, "proxy \"web\"", &problems);
        let read = read(&mut proxy);
        proxy.finish();
        problems.into_inner().or(read).map_err(|problems| problems.to_string())
    }

    #[test]
    fn clients_may_ask_for_nothing_unless_it_is_said_what() {
        assert_eq!(read_toml("").unwrap(), None);
        let all = read_toml("client_faults = { envoy = true }").unwrap().unwrap();
        assert_eq!((all.envoy, all.header, all.denominator), (true, false, 100));
        assert_eq!((all.max_delay, all.max_probability, all.max_active), (Duration::from_secs(10), 1.0, None));
        let some = "client_faults = { header = true, kinds = [\"latency\"], max_probability = \"5%\", max_active = 3 }";
        let some = read_toml(some).unwrap().unwrap();
        assert_eq!((some.kinds, some.max_probability, some.max_active), (vec!["latency"], 0.05, Some(3)));
    }

    #[test]
    fn mistakes_are_told_at_once() {
        let toml = "client_faults = { denominator = 7, max_active = 0, kinds = [\"latncy\"], enovy = true }";
        let problems = read_toml(toml).unwrap_err();
        for told in
            ["allows nothing", "7 is none of Envoy's", "0 lets nothing", "did you mean \"latency\"?", "\"enovy\""]
        {
            assert!(problems.contains(told), "{told}: {problems}");
        }
    }
}
