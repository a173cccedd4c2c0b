//! Every fault, seen by clients that speak HTTP/1 and HTTP/2, and by the origin behind.

#![allow(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

#[path = "../support/mod.rs"]
mod support;

mod over_h2;

mod abort;
mod asked;
mod body;
mod compose;
mod corrupt;
mod duplicate;
mod error;
mod h2_signals;
mod header;
mod latency;
mod malformed;
mod rate_limit;
mod release;
mod slow_body;
mod slow_upload;
mod swap;
mod timeout;
mod tls;
mod truncate;
mod websocket;

use support::*;
