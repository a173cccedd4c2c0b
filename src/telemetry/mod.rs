//! Events, metrics and logging.

pub mod events;
