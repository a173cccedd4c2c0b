//! The open-loop load driver: sends requests when they are due, whether or not earlier ones were answered, and
//! books each from its intended start.
//!
//! [`scenario`](Scenario) is what a user writes, [`LoadSpec`] one run of it, [`Driver`] starts it on a thread of
//! its own, [`RunningLoad`] is the handle. Inside: `pacer` says when requests are due (pure), `hub` hands them to
//! `worker`s, one task per connection, which speak a `protocol`; `recorder` counts what becomes of them (pure), by
//! `window`s on a `grid` and in `totals`; `watch` looks after the driver itself.

mod deadline;
mod driver;
mod ending;
mod grid;
mod hub;
mod operation;
mod pacer;
mod progress;
mod protocol;
mod recorder;
mod requests;
mod running;
mod scenario;
mod spec;
mod target;
mod template;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod totals;
mod watch;
mod window;
mod worker;

pub use driver::{LATE_NOTE, LoadOutcome};
pub use ending::{ErrorKind, OwnFault};
pub use operation::{Operation, OperationError, OperationText};
pub use pacer::{Arrivals, Constant, Pacer, Poisson};
pub use progress::{Counts, Observer, Progress};
pub use requests::SEQUENCE_HEADER;
pub use running::{Driver, RunningLoad};
pub use scenario::{DEFAULT_TIMEOUT, Demand, Scenario};
pub use spec::{LoadSpec, Phases, SUB_BIN, SpecError};
pub use target::{Target, TargetError, TargetUrl};
pub use template::VARIABLES;
