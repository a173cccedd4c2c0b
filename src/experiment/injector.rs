//! The narrow interface through which a run switches faults, here or on a sidecar elsewhere.

use async_trait::async_trait;
use futures_util::future::join_all;

use crate::clock::Instant;
use crate::results::RuleReport;

/// When a command was sent and when its last acknowledgement came: the truth lies between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acknowledged {
    /// The command was sent.
    pub sent: Instant,
    /// Everybody had confirmed it.
    pub at: Instant,
}

impl Acknowledged {
    /// Both commands together.
    pub fn join(self, other: Self) -> Self {
        Self { sent: self.sent.min(other.sent), at: self.at.max(other.at) }
    }
}

/// What the proxies of one injector have counted since the run took them.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// What each rule of the run did.
    pub rules: Vec<RuleReport>,
    /// Requests received by the proxies of the run, whoever sent them.
    pub received: u64,
}

/// Why faults could not be switched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InjectorError {
    /// The proxies are not to be had: held by somebody else, or other faults are active on them.
    #[error("{0}")]
    Refused(String),
    /// The proxies restarted or cannot be reached.
    #[error("{0}")]
    Lost(String),
    /// The rules are off, and requests still suffer them.
    #[error("{0}")]
    NotRemovable(String),
}

/// Proxies whose rules one run switches on and off. Dropping it leaves no fault behind.
#[async_trait]
pub trait Injector: Send + Sync {
    /// Takes the proxies for this run, its rules off. Call it first.
    async fn take(&mut self) -> Result<(), InjectorError>;
    /// Turns the run's rules on; returns when they are on everywhere.
    async fn on(&mut self) -> Result<Acknowledged, InjectorError>;
    /// Turns them off; returns when the rules are gone and nobody suffers them any more.
    async fn off(&mut self) -> Result<Acknowledged, InjectorError>;
    /// What has been counted so far.
    async fn tally(&mut self) -> Result<Tally, InjectorError>;
    /// Gives the proxies back, rules off.
    async fn give_back(&mut self) -> Result<(), InjectorError>;
}

/// Several injectors act as one: what one of them confirms last counts.
pub struct Several(pub Vec<Box<dyn Injector>>);

#[async_trait]
impl Injector for Several {
    async fn take(&mut self) -> Result<(), InjectorError> {
        for i in 0..self.0.len() {
            if let Err(error) = self.0[i].take().await {
                // All or nothing: whoever was taken before is given back.
                for taken in &mut self.0[..i] {
                    let _ = taken.give_back().await;
                }
                return Err(error);
            }
        }
        Ok(())
    }

    async fn on(&mut self) -> Result<Acknowledged, InjectorError> {
        let answers = join_all(self.0.iter_mut().map(|injector| injector.on())).await;
        last(answers)
    }

    async fn off(&mut self) -> Result<Acknowledged, InjectorError> {
        // Everybody is told, whoever fails.
        let answers = join_all(self.0.iter_mut().map(|injector| injector.off())).await;
        last(answers)
    }

    async fn tally(&mut self) -> Result<Tally, InjectorError> {
        let mut sum = Tally::default();
        for tally in join_all(self.0.iter_mut().map(|injector| injector.tally())).await {
            sum.add(tally?);
        }
        Ok(sum)
    }

    async fn give_back(&mut self) -> Result<(), InjectorError> {
        let answers = join_all(self.0.iter_mut().map(|injector| injector.give_back())).await;
        answers.into_iter().collect()
    }
}

fn last(answers: Vec<Result<Acknowledged, InjectorError>>) -> Result<Acknowledged, InjectorError> {
    let now = crate::clock::now();
    let mut all = answers.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter();
    let first = all.next().unwrap_or(Acknowledged { sent: now, at: now });
    Ok(all.fold(first, Acknowledged::join))
}

impl Tally {
    /// Adds the counts of another injector; the same rule on several proxies is one rule.
    fn add(&mut self, other: Self) {
        self.received += other.received;
        for theirs in other.rules {
            match self.rules.iter_mut().find(|ours| ours.rule == theirs.rule) {
                Some(ours) => {
                    ours.matched += theirs.matched;
                    ours.triggered += theirs.triggered;
                    ours.limited += theirs.limited;
                    ours.skipped += theirs.skipped;
                    ours.injected += theirs.injected;
                    ours.released += theirs.released;
                    ours.departed += theirs.departed;
                }
                None => self.rules.push(theirs),
            }
        }
    }
}
