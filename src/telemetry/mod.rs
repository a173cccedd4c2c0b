//! Events, metrics and logging.

pub mod logging;
