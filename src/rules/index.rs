//! Finds the rules that may match a request.

use smallvec::SmallVec;

use super::spec::RuleSpec;
use crate::faults::RequestView;

/// Numbers of rules, ascending, each once: composition order.
pub(super) type Candidates = SmallVec<[usize; 16]>;

/// An index over the rules of one layer.
#[derive(Debug)]
pub(super) struct Index {
    proxies: Vec<Option<Vec<String>>>,
}

impl Index {
    pub(super) fn new<'a>(rules: impl IntoIterator<Item = &'a RuleSpec>) -> Self {
        Self { proxies: rules.into_iter().map(|rule| rule.proxies.clone()).collect() }
    }

    /// Every rule that matches the request, and some that do not.
    pub(super) fn candidates(&self, proxy: &str, _request: &RequestView<'_>) -> Candidates {
        let acts = |proxies: &Option<Vec<String>>| proxies.as_ref().is_none_or(|p| p.iter().any(|name| name == proxy));
        self.proxies.iter().enumerate().filter(|(_, proxies)| acts(proxies)).map(|(number, _)| number).collect()
    }
}
