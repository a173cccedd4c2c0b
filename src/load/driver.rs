//! The driver: paces arrivals, keeps the windows, and brings the load to its end.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

use super::hub::{Hub, Job};
use super::progress::{Progress, Shared};
use super::protocol::Protocol;
use super::recorder::Recorder;
use super::requests::Requests;
use super::scenario::Demand;
use super::spec::LoadSpec;
use super::watch::{Watch, thread_cpu};
use super::worker::Worker;
use crate::clock::{self, Instant};
use crate::results::{LoadTotals, Window};
use crate::units::show_duration;

/// How often final windows are handed out and progress is published.
const TICK: Duration = Duration::from_millis(100);
/// At most so many arrivals are handed to workers that have not had a turn since. A driver that was held up would
/// else open a connection for each of all those that fell due meanwhile, and be held up again by that.
const AHEAD: usize = 64;
/// After the last request's timeout, how much longer its end is waited for.
const GRACE: Duration = Duration::from_secs(1);

/// The note of a load that sent too late in some windows, by the driver's own measure: whoever judges windows by
/// another one takes it out.
pub const LATE_NOTE: &str = "the driver sent too late or not at all in some windows: they are not valid";

/// What a load came to.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadOutcome {
    /// Over all windows but those of the warm-up.
    pub totals: LoadTotals,
    /// The windows that were not fetched before, in order.
    pub windows: Vec<Window>,
    /// What a reader must know about the driver's own part, one sentence each.
    pub notes: Vec<String>,
    /// There were requests, and none of them got as far as a connection.
    pub nothing_reached: bool,
}

/// Runs a load to its end, or to `shared.stop`, on this thread.
pub(super) async fn drive<P: Protocol>(
    spec: &LoadSpec,
    protocol: P,
    requests: Requests,
    origin: Instant,
    shared: &Arc<Shared>,
    windows: UnboundedSender<Window>,
) -> LoadOutcome {
    let (timeout, most) = (spec.scenario.timeout, spec.scenario.connections);
    let recorder = Recorder::new(spec.clone(), shared.limit.clone());
    let hub = Rc::new(Hub::new(protocol, requests, recorder, origin, timeout, most));
    let watch = RefCell::new(Watch::default());
    let load = async {
        match spec.scenario.demand {
            Demand::Open { rate, arrivals } => {
                pace(&hub, arrivals.pacer(rate, spec.duration, spec.seed), shared).await;
            }
            Demand::Closed { users } => start_users(&hub, users, spec.duration, shared).await,
        }
        wait_for_end(&hub, spec.duration, shared).await;
        // Bounded: a worker that was lost must not keep the run for ever.
        let _ = tokio::time::timeout(timeout + GRACE, hub.drained()).await;
    };
    tokio::select! {
        () = load => {}
        never = keep(&hub, &watch, shared, &windows) => match never {},
    }
    for window in hub.recorder().finish(hub.now()) {
        let _ = windows.send(window);
    }
    publish(&hub, shared, None);
    outcome(&hub, spec, &watch.into_inner())
}

/// Dispatches arrivals as they fall due.
async fn pace<P: Protocol>(hub: &Rc<Hub<P>>, mut pacer: Box<dyn super::Pacer>, shared: &Shared) {
    let mut stopped = std::pin::pin!(shared.stop.cancelled());
    let (mut sequence, mut next) = (0, pacer.next());
    while let Some(first) = next {
        hub.recorder().nothing_before(Some(first));
        tokio::select! {
            biased;
            () = &mut stopped => return,
            () = clock::sleep_until(hub.moment(first)) => {}
        }
        let now = hub.now();
        while let Some(intended) = next.filter(|due| *due <= now && hub.unstarted() < AHEAD) {
            hub.dispatch(Job { sequence, intended }, now);
            sequence += 1;
            next = pacer.next();
        }
        if next.is_some_and(|due| due <= hub.now()) {
            // Behind: the workers get a turn, and what they free is used again.
            tokio::task::yield_now().await;
        }
    }
    hub.recorder().nothing_before(None);
}

/// Starts the users of a closed loop at the origin.
async fn start_users<P: Protocol>(hub: &Rc<Hub<P>>, users: usize, duration: Duration, shared: &Arc<Shared>) {
    hub.recorder().nothing_before(None);
    clock::sleep_until(hub.moment(Duration::ZERO)).await;
    let sequence = Rc::new(Cell::new(0));
    for _ in 0..users {
        let (sequence, shared) = (sequence.clone(), shared.clone());
        tokio::task::spawn_local(Worker::new(hub.clone()).serve_user(move |now| {
            (now < duration && !shared.stop.is_cancelled()).then(|| sequence.replace(sequence.get() + 1))
        }));
    }
}

/// Waits until the load's time is over or it is stopped, whichever is first.
async fn wait_for_end<P: Protocol>(hub: &Hub<P>, duration: Duration, shared: &Shared) {
    tokio::select! {
        biased;
        () = shared.stop.cancelled() => hub.recorder().stop(hub.now()),
        () = clock::sleep_until(hub.moment(duration)) => {}
    }
}

/// Hands out windows as they become final, publishes progress, watches the thread; for ever.
async fn keep<P: Protocol>(
    hub: &Hub<P>,
    watch: &RefCell<Watch>,
    shared: &Shared,
    windows: &UnboundedSender<Window>,
) -> std::convert::Infallible {
    let mut latency_s = None;
    for tick in 0u32.. {
        clock::sleep_until(hub.moment(TICK * tick)).await;
        let now = hub.now();
        if tick % 10 == 0 {
            latency_s = hub.recorder().take_recent();
        }
        watch.borrow_mut().sample(now, thread_cpu());
        // Before the windows: who is woken by one finds a progress that knows of it.
        publish(hub, shared, latency_s);
        loop {
            let next = hub.recorder().next_final(now);
            match next {
                // Nobody may be listening: a load command wants only the totals.
                Some(window) => drop(windows.send(window)),
                None => break,
            }
        }
    }
    std::future::pending().await
}

fn publish<P: Protocol>(hub: &Hub<P>, shared: &Shared, latency_s: Option<(f64, f64)>) {
    shared.publish(Progress {
        elapsed: hub.now(),
        counts: hub.recorder().counts(),
        connections_opened: hub.connections_opened.get(),
        latency_s,
    });
}

fn outcome<P: Protocol>(hub: &Hub<P>, spec: &LoadSpec, watch: &Watch) -> LoadOutcome {
    let recorder = hub.recorder();
    let mut notes: Vec<String> = recorder
        .totals()
        .own_faults()
        .map(|(fault, arrivals)| format!("{arrivals} arrivals were missed: {}", fault.words()))
        .collect();
    if let Some((busy, of)) = watch.busy() {
        let (busy, of) = (show_duration(busy), show_duration(of));
        notes.push(format!("the driver used its whole core for {busy} of {of}: it may have been the limit"));
    }
    if recorder.was_limited() {
        notes.push(LATE_NOTE.to_owned());
    }
    let totals = LoadTotals {
        offered_per_s: spec.scenario.rate().map(crate::units::Rate::per_second),
        driver_limited: !notes.is_empty(),
        connections_opened: hub.connections_opened.get(),
        ..recorder.summary()
    };
    LoadOutcome { totals, windows: Vec::new(), nothing_reached: recorder.totals().nothing_reached(), notes }
}
