//! The same faults once more, with TLS towards clients and upstreams: they act alike, to the byte of a body.
#![allow(clippy::duplicate_mod, reason = "the same tests over another passage: `super::Bench` is another type")]

use crate::support::*;

type Bench = BenchOver<true, true>;

#[path = "abort.rs"]
mod abort;
#[path = "error.rs"]
mod error;
#[path = "release.rs"]
mod release;
#[path = "slow_body.rs"]
mod slow_body;
#[path = "timeout.rs"]
mod timeout;
