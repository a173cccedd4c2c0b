//! The precise timer: waits that end 0.1 ms late instead of 1 to 2 ms, and never early.
//!
//! One timerfd in each current-thread runtime, a heap of deadlines beside it, no thread. A thread opts in with
//! [`install`]; on any other thread, and under tokio's paused test clock, the same functions use tokio's timer,
//! which is the test double: there is no second code path to keep in step.

mod timer;

use std::time::Duration;

pub use timer::{Sleep, install};
pub use tokio::time::Instant;

/// Now, on the clock that [`sleep_until`] waits for.
pub fn now() -> Instant {
    Instant::now()
}

/// Waits until the deadline has passed; at once if it already has. Dropping the future cancels the wait.
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep::until(deadline)
}

/// Waits this long, counted from the call.
pub fn sleep(duration: Duration) -> Sleep {
    sleep_until(Instant::now() + duration)
}
