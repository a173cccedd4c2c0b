//! What a fault remembers from one request to the next.

use std::any::Any;
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// The memory of one fault of one rule. It lives outside the set of rules, as long as the rule's content stays the
/// same; what is in it is the fault's own business.
#[derive(Default)]
pub struct Memory(Mutex<Option<Box<dyn Any + Send>>>);

impl Memory {
    /// Works on what is remembered, nothing at first. Others wait meanwhile: be quick.
    pub(super) fn with<T: Default + Send + 'static, R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kept.as_mut().and_then(|kept| kept.downcast_mut::<T>()) {
            return work(known);
        }
        let mut fresh = T::default();
        let result = work(&mut fresh);
        *kept = Some(Box::new(fresh));
        result
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memory")
    }
}
