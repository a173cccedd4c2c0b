//! The toxics of one proxy, in the order in which bytes meet them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::dice::{Dice, hash_name};
use crate::faults::toxics::{Stream, ToxicSpec};

/// A toxic that was added to a proxy.
#[derive(Debug, Clone)]
pub struct Installed {
    /// Told from every other toxic there ever was, also from one of the same name.
    pub(super) id: u64,
    /// Grows when its attributes or toxicity change.
    pub(super) revision: u64,
    /// What it is.
    pub spec: ToxicSpec,
}

/// An immutable list of toxics; a change makes a new one.
#[derive(Debug, Clone, Default)]
pub struct Toxics(Vec<Arc<Installed>>);

impl Toxics {
    /// These toxics, in this order.
    pub fn new(specs: impl IntoIterator<Item = ToxicSpec>) -> Self {
        let mut toxics = Self::default();
        specs.into_iter().for_each(|spec| toxics.0.push(install(spec)));
        toxics
    }

    /// None at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, in the order of the API: the upstream's first, each in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Installed>> {
        let of = |stream| self.0.iter().filter(move |toxic| toxic.spec.stream == stream);
        of(Stream::Upstream).chain(of(Stream::Downstream))
    }

    /// The toxic of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<Installed>> {
        self.0.iter().find(|toxic| toxic.spec.name == name)
    }

    /// With one more at the end.
    pub fn with(&self, spec: ToxicSpec) -> Self {
        let mut more = self.clone();
        more.0.push(install(spec));
        more
    }

    /// With other attributes or another toxicity for the toxic of the same name; the same if there is none.
    pub fn changed(&self, spec: ToxicSpec) -> Self {
        let mut changed = self.clone();
        if let Some(toxic) = changed.0.iter_mut().find(|toxic| toxic.spec.name == spec.name) {
            *toxic = Arc::new(Installed { id: toxic.id, revision: toxic.revision + 1, spec });
        }
        changed
    }

    /// Without the toxic of this name.
    pub fn without(&self, name: &str) -> Self {
        Self(self.0.iter().filter(|toxic| toxic.spec.name != name).cloned().collect())
    }
}

fn install(spec: ToxicSpec) -> Arc<Installed> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    Arc::new(Installed { id: NEXT.fetch_add(1, Relaxed), revision: 0, spec })
}

impl Installed {
    /// Its chance on the `n`-th connection of its proxy: of its name and direction, so that other toxics shift nothing.
    pub(super) fn dice(&self, seed: u64, proxy: &str, n: u64) -> Dice {
        let name = hash_name(&self.spec.name) ^ hash_name(proxy).rotate_left(17);
        Dice::new(seed, name ^ u64::from(self.spec.stream == Stream::Upstream), n)
    }

    /// Whether it acts on a connection. Rolled once: the same dice give the same answer after every change, and a higher
    /// toxicity keeps the connections that a lower one had.
    pub(super) fn hits(&self, dice: Dice) -> bool {
        dice.happens(ROLL, f64::from(self.spec.toxicity))
    }

    /// As the original rolls: again at every change of the proxy's toxics.
    pub(super) fn hits_at(&self, dice: Dice, change: u64) -> bool {
        dice.happens(ROLL ^ change.rotate_left(32), f64::from(self.spec.toxicity))
    }
}

/// The draw that decides; those of the stage count from 0 with dice of their own.
const ROLL: u64 = u64::MAX / 2;
