//! A deadline that is put off all the time.

use crate::clock::{self, Instant, Sleep};

/// Waits for deadlines that nearly always move on before they are reached: one timer, set anew only when it runs
/// out, instead of one for every event or request.
#[derive(Debug, Default)]
pub(super) struct Watchdog(Option<Sleep>);

impl Watchdog {
    /// Resolves at the deadline. Can be cancelled, and asked again for another one.
    pub(super) async fn bark(&mut self, deadline: Instant) {
        loop {
            let sleep = match self.0.take() {
                Some(sleep) if sleep.deadline() <= deadline => sleep,
                _ => clock::sleep_until(deadline),
            };
            self.0.insert(sleep).await;
            self.0 = None;
            if clock::now() >= deadline {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_is_put_off_is_waited_for_and_one_that_comes_nearer_too() {
        let start = clock::now();
        let mut watchdog = Watchdog::default();
        for (asked, cancelled_at) in [(10, 1), (20, 5)] {
            tokio::select! {
                () = watchdog.bark(start + Duration::from_secs(asked)) => panic!("too early"),
                () = clock::sleep_until(start + Duration::from_secs(cancelled_at)) => {}
            }
        }
        watchdog.bark(start + Duration::from_secs(30)).await;
        assert_eq!((clock::now() - start).as_secs(), 30);
        tokio::select! {
            () = watchdog.bark(start + Duration::from_secs(100)) => panic!("too early"),
            () = clock::sleep_until(start + Duration::from_secs(31)) => {}
        }
        watchdog.bark(start + Duration::from_secs(40)).await;
        assert_eq!((clock::now() - start).as_secs(), 40);
    }
}
