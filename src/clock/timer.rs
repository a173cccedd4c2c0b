//! A timerfd behind a heap, driven by one task of the runtime that owns it.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

thread_local! {
    static TIMER: RefCell<Option<Timer>> = const { RefCell::new(None) };
}

/// Cancelled waits are swept out of the heap once they outnumber the live ones and this.
const SWEEP_ABOVE: usize = 1024;

/// Makes this thread's waits precise. Call it inside the current-thread runtime that owns the thread; the
/// returned guard takes the timer down again, and waits that are still pending then fall back to tokio's.
///
/// # Errors
/// When the kernel gives no timerfd.
pub fn install() -> io::Result<Installed> {
    let fd = TimerFd::new()?;
    let raw = fd.0.as_raw_fd();
    // SAFETY: the descriptor is owned by `fd`, which the AsyncFd owns, and is not closed before it.
    let source = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?;
    TIMER.set(Some(Timer { fd: raw, heap: BinaryHeap::new(), cancelled: 0, armed: None, next: 0 }));
    let driver = tokio::spawn(drive(source));
    Ok(Installed { driver, _not_send: std::marker::PhantomData })
}

/// Keeps a thread's precise timer alive.
#[must_use = "the timer is taken down when this is dropped"]
pub struct Installed {
    driver: tokio::task::JoinHandle<()>,
    _not_send: std::marker::PhantomData<*const ()>,
}

impl Drop for Installed {
    fn drop(&mut self) {
        self.driver.abort();
        let timer = TIMER.take();
        // Whoever still waits is woken, finds no timer and goes on with tokio's.
        for Reverse(pending) in timer.into_iter().flat_map(|t| t.heap) {
            pending.entry.wake();
        }
    }
}

struct Timer {
    fd: RawFd,
    heap: BinaryHeap<Reverse<Pending>>,
    cancelled: usize,
    armed: Option<Instant>,
    next: u64,
}

struct Pending {
    at: Instant,
    order: u64,
    entry: Arc<Entry>,
}

impl PartialEq for Pending {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}
impl Eq for Pending {}
impl PartialOrd for Pending {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Pending {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// One wait, shared between its future and the heap.
#[derive(Debug, Default)]
struct Entry {
    waker: Mutex<Option<Waker>>,
}

impl Entry {
    fn set(&self, waker: &Waker) {
        let mut slot = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *slot {
            Some(old) => old.clone_from(waker),
            empty => *empty = Some(waker.clone()),
        }
    }

    /// Replaces the waker; false if the timer has taken it, or the wait was never registered.
    fn renew(&self, waker: &Waker) -> bool {
        let mut slot = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *slot {
            Some(old) => old.clone_from(waker),
            None => return false,
        }
        true
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take() {
            waker.wake();
        }
    }

    /// The future was dropped: nobody is to be woken.
    fn cancel(&self) {
        self.waker.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    fn is_cancelled(&self) -> bool {
        self.waker.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }
}

impl Timer {
    fn register(&mut self, at: Instant, entry: Arc<Entry>) {
        self.heap.push(Reverse(Pending { at, order: self.next, entry }));
        self.next += 1;
        self.arm();
    }

    /// Arms the timerfd for the earliest deadline, with a system call only when that is earlier than before.
    fn arm(&mut self) {
        let Some(Reverse(first)) = self.heap.peek() else { return };
        if self.armed.is_none_or(|armed| first.at < armed) {
            self.armed = Some(first.at);
            set_timer(self.fd, first.at);
        }
    }

    /// Wakes everybody who is due.
    fn fire(&mut self) {
        let now = Instant::now();
        while let Some(Reverse(first)) = self.heap.peek() {
            if first.at > now {
                break;
            }
            if let Some(Reverse(due)) = self.heap.pop() {
                due.entry.wake();
            }
        }
        self.armed = None;
        self.arm();
    }

    /// Counts a cancelled wait, and clears them out when they have become most of the heap.
    fn cancelled(&mut self) {
        self.cancelled += 1;
        if self.cancelled > SWEEP_ABOVE.max(self.heap.len() / 2) {
            self.heap.retain(|Reverse(pending)| !pending.entry.is_cancelled());
            self.cancelled = 0;
        }
    }
}

async fn drive(source: AsyncFd<TimerFd>) {
    while let Ok(mut ready) = source.readable().await {
        ready.clear_ready();
        source.get_ref().drain();
        TIMER.with_borrow_mut(|timer| {
            if let Some(timer) = timer {
                timer.fire();
            }
        });
    }
}

struct TimerFd(OwnedFd);

impl TimerFd {
    fn new() -> io::Result<Self> {
        // SAFETY: no pointers are passed; the result is checked before it is owned.
        let fd = unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_NONBLOCK | libc::TFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` is a fresh descriptor that nobody else owns.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    fn drain(&self) {
        let mut expirations = 0u64;
        // SAFETY: the buffer is eight bytes, as timerfd wants; the descriptor does not block.
        unsafe { libc::read(self.0.as_raw_fd(), (&raw mut expirations).cast(), 8) };
    }
}

impl AsFd for TimerFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for TimerFd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Arms the timer relative to now, rounded so that it never fires before the deadline.
fn set_timer(fd: RawFd, at: Instant) {
    // A value of zero would disarm it; one nanosecond fires at once.
    let wait = at.saturating_duration_since(Instant::now()).max(std::time::Duration::from_nanos(1));
    let spec = libc::itimerspec {
        it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 },
        it_value: libc::timespec {
            tv_sec: wait.as_secs().min(i32::MAX as u64) as libc::time_t,
            tv_nsec: wait.subsec_nanos().into(),
        },
    };
    // SAFETY: both pointers are valid for the call; the descriptor is owned by the driver task.
    unsafe { libc::timerfd_settime(fd, 0, &raw const spec, std::ptr::null_mut()) };
}

/// A wait. Create it with [`sleep_until`](super::sleep_until) or [`sleep`](super::sleep).
#[derive(Debug)]
#[must_use = "a wait does nothing unless awaited"]
pub struct Sleep {
    deadline: Instant,
    entry: Option<Arc<Entry>>,
    fallback: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl Sleep {
    pub(super) fn until(deadline: Instant) -> Self {
        Self { deadline, entry: None, fallback: None }
    }

    /// When the wait ends.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // Most polls are about something else: while the timer holds the waker, the deadline is not reached, and the
        // clock, which is not free, need not be asked.
        if let Some(entry) = &self.entry
            && entry.renew(cx.waker())
        {
            return Poll::Pending;
        }
        if Instant::now() >= self.deadline {
            return Poll::Ready(());
        }
        if let Some(fallback) = &mut self.fallback {
            return fallback.as_mut().poll(cx);
        }
        let precise = TIMER.with_borrow_mut(|timer| {
            let Some(timer) = timer else { return false };
            match &self.entry {
                Some(entry) => entry.set(cx.waker()),
                None => {
                    let entry = Arc::new(Entry::default());
                    entry.set(cx.waker());
                    timer.register(self.deadline, entry.clone());
                    self.entry = Some(entry);
                }
            }
            true
        });
        if precise {
            return Poll::Pending;
        }
        self.entry = None;
        let mut fallback = Box::pin(tokio::time::sleep_until(self.deadline));
        let state = fallback.as_mut().poll(cx);
        self.fallback = Some(fallback);
        state
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        let Some(entry) = self.entry.take() else { return };
        if entry.is_cancelled() {
            return; // it has fired: it is no longer in the heap
        }
        entry.cancel();
        let _ = TIMER.try_with(|timer| {
            if let Ok(mut timer) = timer.try_borrow_mut()
                && let Some(timer) = timer.as_mut()
            {
                timer.cancelled();
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn on_a_precise_thread<F: Future>(test: F) -> F::Output {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let _timer = install().unwrap();
            test.await
        })
    }

    #[test]
    fn waits_end_in_order_and_never_early() {
        on_a_precise_thread(async {
            let start = Instant::now();
            let waits = [30u64, 5, 20, 5, 1].map(|ms| {
                tokio::spawn(async move {
                    crate::clock::sleep_until(start + Duration::from_millis(ms)).await;
                    (Instant::now() >= start + Duration::from_millis(ms), ms)
                })
            });
            for wait in waits {
                let (due, ms) = wait.await.unwrap();
                assert!(due, "the wait of {ms} ms ended early");
            }
        });
    }

    #[test]
    fn a_deadline_in_the_past_is_ready_at_once() {
        on_a_precise_thread(async {
            crate::clock::sleep_until(Instant::now() - Duration::from_secs(1)).await;
            crate::clock::sleep(Duration::ZERO).await;
        });
    }

    #[test]
    fn cancelled_waits_are_swept_out() {
        on_a_precise_thread(async {
            for _ in 0..5 * SWEEP_ABOVE {
                let mut wait = Box::pin(crate::clock::sleep(Duration::from_secs(3600)));
                assert!(futures_util::poll!(&mut wait).is_pending());
            }
            let left = TIMER.with_borrow(|t| t.as_ref().map_or(0, |t| t.heap.len()));
            assert!(left <= 2 * SWEEP_ABOVE, "{left} cancelled waits are still in the heap");
        });
    }

    #[test]
    fn a_wait_outlives_its_timer() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let timer = install().unwrap();
            let start = Instant::now();
            let wait = tokio::spawn(crate::clock::sleep(Duration::from_millis(20)));
            tokio::task::yield_now().await;
            drop(timer);
            wait.await.unwrap();
            assert!(start.elapsed() >= Duration::from_millis(20));
        });
    }

    #[tokio::test(start_paused = true)]
    async fn on_a_paused_clock_a_wait_takes_no_real_time() {
        let real = std::time::Instant::now();
        crate::clock::sleep(Duration::from_secs(3600)).await;
        assert!(real.elapsed() < Duration::from_secs(60));
    }
}
