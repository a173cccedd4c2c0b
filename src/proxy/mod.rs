//! The reverse proxy: the only folder that names pingora.
//!
//! [`gateway`] tells a request's life from top to bottom, on a [`connection`]; [`enforce`] turns effects into acts;
//! [`exchange`] is the duplex loop between a [`client`] and a [`link`] to the upstream, which comes from the [`pool`].
//! Under both lies a [`wire`]. [`Proxy`] is one listener with its upstream, [`Shards`] the threads that carry them.

mod accept;
mod answer;
mod body;
mod client;
mod connection;
mod dial;
mod drip;
mod enforce;
mod exchange;
mod frames;
mod gateway;
mod headers;
mod link;
mod listener;
mod outlet;
mod pool;
mod router;
mod upstream;
mod view;
mod visit;
mod watchdog;
mod wire;

pub use crate::shards::Shards;
pub use listener::{Draining, Proxy, Surroundings};
