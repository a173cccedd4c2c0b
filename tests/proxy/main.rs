//! The proxy is invisible: what goes in comes out, in both directions, on every protocol it speaks. What does not is
//! pinned in `deviations`, which is the test of `docs/invisible.md`.

#![allow(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

#[path = "../support/mod.rs"]
mod support;

mod connections;
mod deviations;
mod h2;
mod h2_streams;
mod hostile_body;
mod hostile_h2;
mod hostile_head;
mod leaving;
mod limits;
mod pingora_advisories;
mod requests;
mod responses;
mod stopping;
mod streaming;
mod tls;
mod trouble;
mod upgrade;
mod uploads;

use support::*;
