//! What must hold whatever happens: `brownout serve` in a process of its own, and attempts to break it.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a helper of a test may fail the test")]

#[path = "../support/mod.rs"]
mod support;

mod clocks;
mod killed;
mod sidecar;
mod state_file;
mod targets;
