//! Experiments from file to exit code, on services of the test's own. What is judged is what happened, never how fast:
//! windows are judged by the share of good answers alone, and a driver that is late is no reason to stop.

#![allow(clippy::expect_used, unreachable_pub, reason = "helpers of a test may fail it, and are shared by its modules")]

#[path = "../support/mod.rs"]
mod support;

mod attach;
mod commands;
mod file;
mod injectors;
mod outcomes;
