//! The admin API: rules, the off latch, runs. `docs/api.md` describes it for users.
//!
//! - [`Api`] is the state behind all routes; [`serve_admin`] serves it on a listener.
//! - `access` decides who may call; `body` reads what was sent; `problem` is how every "no" looks.
//! - `rules`, `faults`, `runs`, `instance` hold the routes, one file for each noun; `book` knows who holds which proxy.
//! - [`sweep`] ends what nobody renews. Without it a killed runner would leave its faults behind.

mod access;
mod api;
mod body;
mod book;
mod faults;
mod instance;
mod latch;
mod problem;
mod router;
mod rules;
mod runs;
mod sweep;
mod wanted;

#[cfg(test)]
mod tests;

pub use access::Access;
pub use api::{Api, Setup};
pub use instance::describe;
pub use latch::Latch;
pub use router::serve_admin;
pub use sweep::{sweep, tend};
