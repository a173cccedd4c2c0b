//! brownout: degrade a service on purpose, under load, and measure how it comes back.

pub mod admin;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod demo;
pub mod diagnostics;
pub mod dice;
pub mod experiment;
pub mod faults;
pub mod load;
pub mod names;
pub mod proxy;
pub mod report;
pub mod results;
pub mod rules;
pub mod stats;
pub mod telemetry;
pub mod units;
