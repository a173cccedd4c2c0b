//! Events, metrics and logging.
//!
//! [`events`] is what the data path tells; [`Metrics`] counts it and everything else that is exported;
//! [`exporter`] serves it.

mod access_log;
pub mod events;
pub mod exporter;
mod family;
mod load;
pub mod logging;
mod metrics;
mod reloads;
mod rules;
mod run;
pub mod serve;
mod tally;
mod traffic;

#[cfg(test)]
mod tests;

pub use access_log::AccessLog;
pub use load::LoadMetrics;
pub use metrics::Metrics;
pub use reloads::{Reload, Reloads};
pub use run::RunMetrics;
