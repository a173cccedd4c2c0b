//! A timeout that costs one timer for many requests.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use crate::clock::{self, Instant, Sleep};

/// The deadlines of requests that follow one another. The timer is left armed for an earlier request's deadline and
/// armed anew only when it fires: a fast target costs next to no timers.
#[derive(Default)]
pub(super) struct Deadline {
    armed: Option<Sleep>,
}

impl Deadline {
    /// Awaits a future until `at`; `None` if that came first. A future that is ready at `at` still counts.
    pub(super) async fn within<F: Future>(&mut self, at: Instant, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => self.poll_passed(at, cx).map(|()| None),
        })
        .await
    }

    fn poll_passed(&mut self, at: Instant, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let sleep = match &mut self.armed {
                Some(sleep) if sleep.deadline() <= at => sleep,
                armed => armed.insert(clock::sleep_until(at)),
            };
            ready!(Pin::new(&mut *sleep).poll(cx));
            let fired_at = sleep.deadline();
            self.armed = None;
            if fired_at >= at {
                return Poll::Ready(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn each_request_has_its_own_deadline_whatever_is_armed() {
        let (start, mut deadline) = (Instant::now(), Deadline::default());
        let after = |ms| start + Duration::from_millis(ms);
        // The timer stays armed for 100 ms; the next deadline lies beyond it, the one after that before it.
        assert_eq!(deadline.within(after(100), clock::sleep_until(after(10))).await, Some(()));
        assert_eq!(deadline.within(after(200), pending::<()>()).await, None);
        assert_eq!(Instant::now(), after(200));
        assert_eq!(deadline.within(after(900), clock::sleep_until(after(210))).await, Some(()));
        assert_eq!(deadline.within(after(300), pending::<()>()).await, None);
        assert_eq!(Instant::now(), after(300));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_ready_at_the_deadline_is_not_late() {
        let past = Instant::now() - Duration::from_secs(1);
        assert_eq!(Deadline::default().within(past, ready(7)).await, Some(7));
    }
}
