//! The conversations of the other files once more, with TLS towards both sides.
#![allow(clippy::duplicate_mod, reason = "the same tests over another passage: `super::Bench` is another type")]

use crate::support::*;

type Bench = BenchOver<true, true>;
type Setting = crate::support::Setting<Bench>;

#[path = "../connections.rs"]
mod connections;
#[path = "../h2.rs"]
mod h2;
#[path = "../h2_streams.rs"]
mod h2_streams;
#[path = "../leaving.rs"]
mod leaving;
#[path = "../requests.rs"]
mod requests;
#[path = "../responses.rs"]
mod responses;
#[path = "../stopping.rs"]
mod stopping;
#[path = "../streaming.rs"]
mod streaming;
#[path = "../upgrade.rs"]
mod upgrade;
#[path = "../uploads.rs"]
mod uploads;
