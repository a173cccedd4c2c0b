//! What the connections of a proxy are told while they are open.

use std::sync::Arc;

use super::chain::Toxics;

/// How connections are asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Ending {
    /// They are not.
    #[default]
    Stay,
    /// Those on which nothing moves any more.
    WhenIdle,
    /// All, at once.
    Now,
}

/// The newest state of affairs; a connection that lags behind sees only the last one.
#[derive(Debug, Clone, Default)]
pub(super) struct Orders {
    /// The proxy's toxics.
    pub(super) toxics: Arc<Toxics>,
    /// Grows with every change of the toxics.
    pub(super) change: u64,
    /// Every fault is off: toxics do not act.
    pub(super) off: bool,
    /// Grows with every change of the rules that concerns this proxy.
    pub(super) rules: u64,
    /// Whether to end.
    pub(super) ending: Ending,
}
