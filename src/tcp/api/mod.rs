//! Toxiproxy's HTTP API, as version 2.12 speaks it.
//!
//! Existing clients are the specification: routes, status codes, bodies down to the newline, content types and defaults
//! are those of the original. `docs/toxiproxy.md` lists where the behaviour behind them is a better one.

mod attributes;
mod decode;
mod http;
mod listen;
mod metrics;
mod partitions;
mod problem;
mod proxies;
mod router;
mod toxics;
mod wire;

pub use http::HttpProxies;
pub use problem::Problem;
pub use proxies::read_file;
pub use router::{Api, Exported, serve_toxiproxy};

/// What `/version` answers: the version whose behaviour clients can rely on.
pub const VERSION: &str = "2.12.0";
