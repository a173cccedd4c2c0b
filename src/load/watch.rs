//! The driver watches itself: a load that its own machine held back says so.

use std::time::Duration;

/// From this share of a core on, over a second or more, the driver's thread counts as fully used.
const BUSY: f64 = 0.95;
/// Samples span at least this long: opening connections may well use a core for a moment.
const SAMPLE: Duration = Duration::from_secs(1);

/// How much of its core the driver's thread used. Sampled now and then; pure but for [`thread_cpu`].
#[derive(Debug, Default)]
pub(super) struct Watch {
    last: Option<(Duration, Duration)>,
    sampled: Duration,
    busy: Duration,
}

impl Watch {
    /// Takes note of the thread's CPU time at a time on the run's clock.
    pub(super) fn sample(&mut self, at: Duration, cpu: Duration) {
        let Some((last_at, last_cpu)) = self.last else {
            self.last = Some((at, cpu));
            return;
        };
        let span = at.saturating_sub(last_at);
        if span < SAMPLE {
            return;
        }
        self.sampled += span;
        if cpu.saturating_sub(last_cpu).as_secs_f64() >= BUSY * span.as_secs_f64() {
            self.busy += span;
        }
        self.last = Some((at, cpu));
    }

    /// For how long of the sampled time the thread used its whole core, unless never.
    pub(super) fn busy(&self) -> Option<(Duration, Duration)> {
        (!self.busy.is_zero()).then_some((self.busy, self.sampled))
    }
}

/// CPU time that the calling thread has used so far, in user and kernel mode.
pub(super) fn thread_cpu() -> Duration {
    // SAFETY: all-zero is a valid rusage: it has only integers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is valid for the call.
    if unsafe { libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage) } != 0 {
        return Duration::ZERO;
    }
    duration(usage.ru_utime) + duration(usage.ru_stime)
}

fn duration(time: libc::timeval) -> Duration {
    Duration::from_secs(time.tv_sec.unsigned_abs()) + Duration::from_micros(time.tv_usec.unsigned_abs())
}

/// Raises the process' soft limit of open files to what so many connections need, as far as the hard limit allows.
/// What is still too few shows as missed arrivals.
pub(super) fn allow_open_files(connections: usize) {
    const OTHERS: u64 = 256;
    let needed = connections as u64 + OTHERS;
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is valid for the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } == 0 && limit.rlim_cur < needed {
        limit.rlim_cur = needed.min(limit.rlim_max);
        // SAFETY: the pointer is valid for the call; the soft limit does not exceed the hard one.
        unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_uses_its_whole_core_is_told() {
        let (ms, mut watch) = (Duration::from_millis, Watch::default());
        for (at, cpu) in [(0, 0), (500, 500), (1_000, 400), (2_000, 1_380), (3_000, 1_500)] {
            watch.sample(ms(at), ms(cpu));
        }
        assert_eq!(watch.busy(), Some((ms(1_000), ms(3_000))));
    }

    #[test]
    fn a_short_burst_is_not_told() {
        let mut watch = Watch::default();
        watch.sample(Duration::ZERO, Duration::ZERO);
        watch.sample(Duration::from_millis(400), Duration::from_millis(400));
        watch.sample(Duration::from_millis(1_100), Duration::from_millis(500));
        assert_eq!(watch.busy(), None);
    }

    #[test]
    fn the_cpu_time_of_a_thread_does_not_go_back() {
        let before = thread_cpu();
        assert!(thread_cpu() >= before);
    }
}
