//! Experiments: load, timeline, recovery, verdict.
//!
//! The judging half is pure: [`plan`] says beforehand what can be measured, [`baseline`] and [`gate`] what a good
//! window is, [`measure`] how the system came back, [`expect`] and [`verdict`] what that means for the exit code.
//! docs/recovery.md is the definition in words.

pub mod amounts;
pub mod baseline;
pub mod environment;
pub mod expect;
pub mod gate;
pub mod injector;
pub mod local;
pub mod locate;
pub mod measure;
pub mod outcome;
pub mod plan;
pub mod policy;
pub mod remote;
pub mod runner;
pub mod runs;
mod samples;
pub mod search;
pub mod slo;
pub mod spec;
pub mod spectator;
mod timeline;
pub mod verdict;

#[cfg(test)]
mod fixtures;
