//! Which run holds which proxy, and for how long: pure, with the time given.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::Instant;

/// All runs that hold something.
#[derive(Debug, Default)]
pub(super) struct Book(BTreeMap<String, Held>);

/// One run.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Held {
    pub(super) proxies: Vec<String>,
    pub(super) lease: Duration,
    pub(super) until: Instant,
    pub(super) enabled: bool,
    /// The rules as sent: what "the same content" is told by.
    pub(super) rules: serde_json::Value,
}

/// Another run has a proxy that was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Conflict {
    pub(super) holder: String,
    pub(super) proxies: Vec<String>,
}

/// How a request differs from the run as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// There was no such run.
    Created,
    /// The same again: only the lease starts afresh.
    Renewed,
    /// Its proxies, rules or switch are others.
    Changed,
}

impl Book {
    pub(super) fn get(&self, id: &str) -> Option<&Held> {
        self.0.get(id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Held)> {
        self.0.iter().map(|(id, held)| (id.as_str(), held))
    }

    /// Whether a run may hold these proxies, and what would change; takes nothing yet.
    pub(super) fn consider(&self, id: &str, wanted: &Held) -> Result<Change, Conflict> {
        for (holder, held) in self.iter().filter(|(holder, _)| *holder != id) {
            let both: Vec<_> = wanted.proxies.iter().filter(|proxy| held.proxies.contains(proxy)).cloned().collect();
            if !both.is_empty() {
                return Err(Conflict { holder: holder.to_owned(), proxies: both });
            }
        }
        Ok(match self.get(id) {
            None => Change::Created,
            Some(held) => {
                let same = (&held.proxies, &held.rules, held.enabled, held.lease)
                    == (&wanted.proxies, &wanted.rules, wanted.enabled, wanted.lease);
                if same { Change::Renewed } else { Change::Changed }
            }
        })
    }

    /// Takes what was considered, or renews it.
    pub(super) fn put(&mut self, id: &str, held: Held) {
        self.0.insert(id.to_owned(), held);
    }

    pub(super) fn remove(&mut self, id: &str) -> Option<Held> {
        self.0.remove(id)
    }

    /// Takes out the runs whose lease has run out.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<String> {
        let due: Vec<_> = self.0.iter().filter(|(_, held)| held.until <= now).map(|(id, _)| id.clone()).collect();
        for id in &due {
            self.0.remove(id);
        }
        due
    }

    /// When the next lease runs out.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.0.values().map(|held| held.until).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn held(proxies: &[&str], seconds: u64) -> Held {
        let lease = Duration::from_secs(seconds);
        Held {
            proxies: proxies.iter().map(|proxy| (*proxy).to_owned()).collect(),
            lease,
            until: clock::now() + lease,
            enabled: false,
            rules: serde_json::json!([]),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_proxy_is_held_by_one_run_until_its_lease_ends() {
        let mut book = Book::default();
        assert_eq!(book.consider("a", &held(&["p", "q"], 10)), Ok(Change::Created));
        book.put("a", held(&["p", "q"], 10));
        assert_eq!(book.consider("a", &held(&["p", "q"], 10)), Ok(Change::Renewed));
        assert_eq!(book.consider("a", &Held { enabled: true, ..held(&["p", "q"], 10) }), Ok(Change::Changed));
        let conflict = Conflict { holder: "a".to_owned(), proxies: vec!["q".to_owned()] };
        assert_eq!(book.consider("b", &held(&["q", "r"], 10)), Err(conflict));
        assert_eq!(book.consider("b", &held(&["r"], 10)), Ok(Change::Created));
        book.put("b", held(&["r"], 5));
        assert_eq!(book.next_expiry(), Some(clock::now() + Duration::from_secs(5)));
        assert_eq!(book.expire(clock::now() + Duration::from_secs(5)), ["b"]);
        assert_eq!(book.expire(clock::now() + Duration::from_millis(9_999)), [""; 0]);
        assert_eq!(book.expire(clock::now() + Duration::from_secs(10)), ["a"]);
        assert_eq!(book.next_expiry(), None);
        assert_eq!(book.consider("b", &held(&["q"], 10)), Ok(Change::Created));
    }
}
