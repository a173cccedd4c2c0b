//! How reading the rule files went, for the exporter and the admin API.

use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use crate::diagnostics::Problems;

/// What is remembered of one reading of the rule files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reload {
    /// When it ended, on the wall clock.
    pub at: SystemTime,
    /// What was wrong; empty if the files were taken over.
    pub problems: Problems,
}

/// How the last reading of the rule files went. Shared by whoever reads them and whoever tells about it.
#[derive(Debug, Default)]
pub struct Reloads(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    last: Option<Reload>,
    last_success: Option<SystemTime>,
}

impl Reloads {
    /// Records a reading: `problems` is empty if the files were taken over.
    pub fn record(&self, problems: Problems) {
        let at = SystemTime::now();
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if problems.is_empty() {
            seen.last_success = Some(at);
        }
        seen.last = Some(Reload { at, problems });
    }

    /// The last reading; `None` before the first.
    pub fn last(&self) -> Option<Reload> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).last.clone()
    }

    /// When files were last taken over.
    pub fn last_success(&self) -> Option<SystemTime> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).last_success
    }
}
