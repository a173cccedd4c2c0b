//! brownout: degrade a service on purpose, under load, and measure how it comes back.

pub mod diagnostics;
pub mod dice;
pub mod results;
pub mod units;
