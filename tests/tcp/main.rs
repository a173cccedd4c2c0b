//! The TCP proxy between real sockets, and Toxiproxy's API on the wire.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper of a test may fail the test")]

mod better;
mod flow;
mod golden;
mod lifecycle;
mod rules;
mod stage;
mod toxics;
