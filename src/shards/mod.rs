//! The threads that carry traffic, and the sockets that they accept on. HTTP and TCP proxies share both.

mod listen;
mod threads;

pub use listen::bind;
pub use threads::Shards;
