//! How exactly faults keep their time through the whole proxy: `cargo bench --bench accuracy`.
//!
//! Client, proxy and origin share this machine, so the figures hold their scheduling too.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a bench prints, and may stop where it stands"
)]

mod client;
mod delay;
mod drip;
#[path = "../support/mod.rs"]
mod support;

/// As the program has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let bench = support::Bench::start();
    delay::run(&bench);
    drip::run(&bench);
}
