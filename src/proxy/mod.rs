//! The reverse proxy: the only folder that names pingora.
//!
//! [`gateway`] tells a request's life from top to bottom; [`enforce`] turns effects into acts; [`exchange`] is the
//! duplex loop; [`stream`] is our side of the client's socket. [`Proxy`] is one listener with its upstream,
//! [`Shards`] the threads that carry them.

mod answer;
mod drip;
mod enforce;
mod exchange;
mod gateway;
mod headers;
mod listen;
mod listener;
mod receive;
mod router;
mod shard;
mod stream;
mod upstream;
mod view;
mod visit;

pub use listener::{Draining, Proxy, Surroundings};
pub use shard::Shards;
