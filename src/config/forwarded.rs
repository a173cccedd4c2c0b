//! Whether an upstream is told who asked: the policy for `X-Forwarded-*`.

use super::proxy::choice;
use crate::diagnostics::Reader;

/// `forwarded`: what becomes of `X-Forwarded-For`, `X-Forwarded-Proto` and `X-Forwarded-Host`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Forwarded {
    /// Nothing is added and nothing taken away. The default: brownout is invisible.
    #[default]
    Off,
    /// The client's address is added to `X-Forwarded-For`; the other two are set unless a proxy in front has. For a
    /// brownout behind a trusted proxy.
    Append,
    /// All three say what brownout sees, whatever the client claims, and its `Forwarded` (RFC 7239) is removed. For
    /// a brownout at the edge.
    Replace,
}

impl Forwarded {
    pub(super) fn read(proxy: &mut Reader<'_>) -> Self {
        let choices = [("off", Self::Off), ("append", Self::Append), ("replace", Self::Replace)];
        choice(proxy, "forwarded", &choices).unwrap_or_default()
    }
}
