//! The TCP proxy, and Toxiproxy's API over it.
//!
//! [`Proxy`] is one listener with its upstream; a `connection` goes from the accept through what toxics ask for at the
//! door to its `link`, which moves bytes both ways through a `lane` each. What acts on a lane is a chain of stages
//! (`faults::toxics`), built from the proxy's toxics and from rules, and rebuilt while bytes flow whenever
//! either changes. [`Registry`] holds the proxies that can be changed over the API; [`api`] speaks it.

pub mod api;
mod chain;
mod connection;
mod counters;
mod dial;
mod farewell;
mod lane;
mod link;
mod listener;
mod orders;
pub mod registry;
mod suffering;

pub use chain::{Installed, Toxics};
pub use counters::{Bytes, Moved};
pub use listener::{Around, Draining, Proxy, Spec};
pub use registry::Registry;
