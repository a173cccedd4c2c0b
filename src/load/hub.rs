//! What the tasks of one driver share: the connections' workers, the queue, the recorder. One thread only.

use std::cell::{Cell, RefCell, RefMut};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::Notify;

use super::protocol::Protocol;
use super::recorder::Recorder;
use super::requests::Requests;
use super::worker::Worker;
use crate::clock::{self, Instant};

/// One arrival.
#[derive(Debug, Clone, Copy)]
pub(super) struct Job {
    pub(super) sequence: u64,
    pub(super) intended: Duration,
}

/// See the module. No borrow of a cell is held across an await.
pub(super) struct Hub<P> {
    pub(super) protocol: P,
    pub(super) requests: Requests,
    pub(super) timeout: Duration,
    pub(super) connections_opened: Cell<u64>,
    origin: Instant,
    most_workers: usize,
    recorder: RefCell<Recorder>,
    workers: RefCell<Workers>,
    unstarted: Cell<usize>,
    /// No arrival is to come: the last request to end says so.
    draining: Cell<bool>,
    drained: Notify,
}

/// One worker per connection.
#[derive(Default)]
struct Workers {
    desks: Vec<Desk>,
    /// Who has nothing to do, the last one to become so at the end: it is asked first, so that few connections
    /// serve a light load and stay warm.
    idle: Vec<usize>,
    /// Arrivals that are due while all workers are busy and no more are allowed.
    waiting: VecDeque<Job>,
}

/// Where an idle worker finds its next job.
#[derive(Default)]
struct Desk {
    job: Option<Job>,
    waker: Option<Waker>,
}

impl<P: Protocol> Hub<P> {
    pub(super) fn new(
        protocol: P,
        requests: Requests,
        recorder: Recorder,
        origin: Instant,
        timeout: Duration,
        most_workers: usize,
    ) -> Self {
        Self {
            protocol,
            requests,
            timeout,
            connections_opened: Cell::new(0),
            origin,
            most_workers,
            recorder: RefCell::new(recorder),
            workers: RefCell::default(),
            unstarted: Cell::new(0),
            draining: Cell::new(false),
            drained: Notify::new(),
        }
    }

    /// Now, as an offset from the origin.
    pub(super) fn now(&self) -> Duration {
        clock::now().saturating_duration_since(self.origin)
    }

    /// The moment of an offset.
    pub(super) fn moment(&self, offset: Duration) -> Instant {
        self.origin + offset
    }

    pub(super) fn recorder(&self) -> RefMut<'_, Recorder> {
        self.recorder.borrow_mut()
    }

    /// Hands a due arrival to an idle worker, to a new one, or to the queue.
    pub(super) fn dispatch(self: &Rc<Self>, job: Job, now: Duration) {
        self.recorder().planned(job.intended);
        let mut workers = self.workers.borrow_mut();
        if let Some(id) = workers.idle.pop() {
            self.unstarted.set(self.unstarted.get() + 1);
            let desk = &mut workers.desks[id];
            desk.job = Some(job);
            if let Some(waker) = desk.waker.take() {
                waker.wake();
            }
        } else if workers.desks.len() < self.most_workers {
            self.unstarted.set(self.unstarted.get() + 1);
            let id = workers.desks.len();
            workers.desks.push(Desk::default());
            tokio::task::spawn_local(Worker::new(self.clone()).serve_arrivals(id, job));
        } else {
            workers.waiting.push_back(job);
            // From here on it waits because the target is slow, not because the driver is.
            self.recorder().issued(job.intended, now, Some(now.saturating_sub(job.intended)));
        }
    }

    /// Arrivals that were handed to a worker which has not had a turn since.
    pub(super) fn unstarted(&self) -> usize {
        self.unstarted.get()
    }

    /// A worker has its turn on an arrival that it was handed.
    pub(super) fn started(&self) {
        self.unstarted.set(self.unstarted.get() - 1);
    }

    /// The arrival that has waited longest. Without one, the worker counts as idle from now on.
    pub(super) fn next_waiting(&self, id: usize) -> Option<Job> {
        let mut workers = self.workers.borrow_mut();
        let waiting = workers.waiting.pop_front();
        if waiting.is_none() {
            workers.idle.push(id);
        }
        waiting
    }

    /// The job that an idle worker was handed.
    pub(super) fn poll_job(&self, id: usize, cx: &mut Context<'_>) -> Poll<Job> {
        let desk = &mut self.workers.borrow_mut().desks[id];
        if let Some(job) = desk.job.take() {
            return Poll::Ready(job);
        }
        match &mut desk.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// To be called after every request that ended or was missed.
    pub(super) fn one_less(&self) {
        if self.draining.get() && self.recorder().outstanding() == 0 {
            self.drained.notify_one();
        }
    }

    /// Waits until nothing is outstanding. To be called once no arrival is to come.
    pub(super) async fn drained(&self) {
        self.draining.set(true);
        while self.recorder().outstanding() > 0 {
            self.drained.notified().await;
        }
    }
}
