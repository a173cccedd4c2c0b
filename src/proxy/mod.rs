//! The reverse proxy: the only folder that names pingora.
//!
//! [`gateway`] tells a request's life from top to bottom, on a [`connection`]; [`enforce`] turns effects into acts;
//! [`exchange`] is the duplex loop between a [`client`] and a [`link`] to the upstream, which comes from the [`pool`].
//! Under both lies a [`wire`]. [`Proxy`] is one listener with its upstream, [`Shards`] the threads that carry them.

mod accept;
mod answer;
mod body;
mod bounds;
mod chunks;
mod client;
mod connection;
mod copies;
mod dial;
mod drip;
mod edit;
mod enforce;
mod exchange;
mod flood;
mod forwarded;
mod frames;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod gateway;
mod headers;
mod link;
mod listen;
mod listener;
mod messages;
mod outlet;
mod pool;
mod refuse;
mod router;
mod shard;
mod tape;
mod upload;
mod upstream;
mod vet;
mod view;
mod visit;
mod watchdog;
mod wire;

pub use listener::{Draining, Proxy, Surroundings};
pub use shard::Shards;
