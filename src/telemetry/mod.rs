//! Events, metrics and logging.

pub mod events;
pub mod logging;
