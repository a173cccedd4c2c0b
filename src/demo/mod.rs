//! The embedded shop behind `brownout demo`: a service with the usual habits, so that there is something to see.
//!
//! [`Shop`] takes orders and asks [`Inventory`] about each. It has a small worker pool, an unbounded queue in
//! front of it, and naive retries: what makes a short fault of a dependency last longer than the fault.

mod inventory;
mod service;
mod shop;

pub use inventory::Inventory;
pub use shop::{Habits, Shop};

/// The demo's experiment; `${PROXY}`, `${INVENTORY}` and `${SHOP}` stand for addresses.
pub const EXPERIMENT: &str = include_str!("experiment.toml");
