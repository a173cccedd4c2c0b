//! Every fault, seen by clients that speak HTTP/1 and HTTP/2, and by the origin behind.

#![allow(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

#[path = "../support/mod.rs"]
mod support;

mod abort;
mod asked;
mod compose;
mod error;
mod latency;
mod release;
mod slow_body;
mod swap;
mod timeout;
mod tls;

use support::*;
