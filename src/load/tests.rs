//! Whole loads on a paused clock, against targets in memory.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::progress::Shared;
use super::scenario::Demand;
use super::spec::{LoadSpec, Phases};
use super::testing::{answers, http, ms, response, run, run_with, spec, writes};
use super::{Arrivals, LoadOutcome, Observer};
use crate::results::{Phase, Window};

fn sum(outcome: &LoadOutcome, figure: impl Fn(&Window) -> u64) -> u64 {
    outcome.windows.iter().filter(|w| w.phase != Phase::Warmup).map(figure).sum()
}

fn errors(outcome: &LoadOutcome) -> Vec<(&str, u64)> {
    outcome.totals.errors.iter().map(|(kind, n)| (kind.as_str(), *n)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_target_that_keeps_up_gets_every_arrival_and_all_are_good() {
    let outcome = run(&spec(100.0, ms(5_000)), answers(200, ms(20))).await;
    let totals = &outcome.totals;
    assert_eq!((totals.requests, totals.good, totals.missed), (500, 500, 0));
    assert_eq!((totals.offered_per_s, totals.achieved_per_s), (Some(100.0), 100.0));
    assert_eq!(totals.received_bytes, 500 * 5);
    assert_eq!(outcome.windows.len(), 5);
    for window in &outcome.windows {
        assert_eq!((window.planned, window.sent, window.good), (100, 100, 100));
        assert_eq!((window.p50_s, window.attainment, window.goodput_per_s), (Some(0.02), Some(1.0), 100.0));
        assert_eq!(window.bins.len(), 10);
        assert!(window.valid && window.bins.iter().all(|bin| (bin.sent, bin.good, bin.within) == (10, 10, 0)));
    }
    assert!(!totals.driver_limited && !outcome.nothing_reached && outcome.notes.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_stall_is_charged_to_every_request_that_was_due_in_it() {
    // One connection, 100/s, and the hundredth request takes a second. A driver that measures from the send would
    // report one slow request; from the intended start, the 100 that had to wait are slow too.
    let mut spec = spec(100.0, ms(4_000));
    spec.scenario.connections = 1;
    spec.scenario.timeout = ms(3_000);
    let stall = http(|request| async move {
        if request.uri().path() == "/100" {
            tokio::time::sleep(ms(1_000)).await;
        }
        response(200)
    });
    let totals = run(&spec, stall).await.totals;
    let (latency, service, lag) = (totals.latency_s.unwrap(), totals.service_s.unwrap(), totals.lag_s.unwrap());
    assert_eq!((totals.requests, totals.good, totals.connections_opened), (400, 400, 1));
    // Of 400: 100 waited, evenly from 0.01 s to 1 s.
    assert_eq!((latency.p50, latency.max), (0.0, 1.0));
    assert!((latency.p90 - 0.6).abs() < 0.011 && (latency.p99 - 0.96).abs() < 0.011, "{latency:?}");
    assert_eq!((service.p50, service.p99, service.max), (0.0, 0.0, 1.0));
    assert_eq!(lag.max, 0.0, "waiting for a connection is not the driver's lag");
}

#[tokio::test(start_paused = true)]
async fn a_timeout_counts_as_the_timeout_and_from_the_intended_start() {
    let mut spec = spec(10.0, ms(2_000));
    spec.quantile = 0.9;
    let half = http(|request| async move {
        let number: u64 = request.uri().path()[1..].parse().unwrap();
        tokio::time::sleep(if number.is_multiple_of(2) { ms(30) } else { ms(60_000) }).await;
        response(200)
    });
    let outcome = run(&spec, half).await;
    assert_eq!(errors(&outcome), [("timeout", 10)]);
    for window in &outcome.windows {
        assert_eq!((window.success, window.timeouts, window.errors), (5, 5, 0));
        assert!((window.p50_s.unwrap() - 0.03).abs() < 3e-5);
        assert_eq!((window.p_q_s, window.p99_s), (Some(1.0), Some(1.0)));
        assert_eq!(window.attainment, Some(0.5));
    }
    assert_eq!(outcome.totals.latency_s.unwrap().max, 1.0);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_too_late_to_be_good_is_still_a_success() {
    let mut spec = spec(10.0, ms(1_000));
    spec.good_latency = Some(ms(250));
    let outcome = run(&spec, answers(200, ms(300))).await;
    assert_eq!((outcome.windows[0].success, outcome.windows[0].good), (10, 0));
    assert!(outcome.totals.errors.is_empty());
}

#[tokio::test(start_paused = true)]
async fn fast_errors_count_as_failures_but_not_as_latencies() {
    let outcome = run(&spec(10.0, ms(1_000)), answers(503, ms(1))).await;
    assert_eq!(errors(&outcome), [("status_503", 10)]);
    let window = &outcome.windows[0];
    assert_eq!((window.sent, window.errors, window.good), (10, 10, 0));
    assert_eq!((window.p50_s, window.p_q_s, window.attainment), (None, None, Some(0.0)));
    assert_eq!((outcome.totals.latency_s, outcome.totals.connections_opened), (None, 1));
    assert_eq!(outcome.totals.achieved_per_s, 10.0, "an error is an answer too");
}

#[tokio::test(start_paused = true)]
async fn a_redirect_is_a_success_and_is_not_followed() {
    let outcome = run(&spec(10.0, ms(1_000)), answers(302, ms(1))).await;
    assert_eq!((outcome.totals.requests, outcome.totals.good), (10, 10));
}

#[tokio::test(start_paused = true)]
async fn refused_connections_are_results_and_not_missed() {
    let refuse = |_| Err(io::Error::from_raw_os_error(libc::ECONNREFUSED));
    let outcome = run(&spec(10.0, ms(2_000)), refuse).await;
    assert_eq!(errors(&outcome), [("refused", 20)]);
    assert_eq!((outcome.totals.requests, outcome.totals.missed), (20, 0));
    assert!(outcome.nothing_reached && !outcome.totals.driver_limited);
    assert!(outcome.windows.iter().all(|w| w.valid && w.errors == 10));
}

#[tokio::test(start_paused = true)]
async fn what_the_driver_itself_could_not_issue_is_missed_and_not_the_targets_fault() {
    let no_files = |_| Err(io::Error::from_raw_os_error(libc::EMFILE));
    let outcome = run(&spec(10.0, ms(2_000)), no_files).await;
    assert_eq!((outcome.totals.requests, outcome.totals.missed), (0, 20));
    assert!(outcome.totals.errors.is_empty() && outcome.totals.driver_limited);
    assert!(outcome.windows.iter().all(|w| !w.valid && w.attainment.is_none() && w.missed == 10));
    assert!(outcome.notes[0].contains("file descriptors"), "{:?}", outcome.notes);
}

#[tokio::test(start_paused = true)]
async fn broken_answers_are_told_apart() {
    for (bytes, kind) in [
        (&b""[..], "closed"),
        (b"HTTP/1.1 200 OK\r\ncontent-le", "closed"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhell", "truncated"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhell\r\n", "truncated"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n", "malformed"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "malformed"),
        (b"HTTP/1.1 abc\r\n\r\n", "malformed"),
        (b"HTTP/1.1 500 No\r\ncontent-length: 10\r\n\r\nhell", "status_500"),
    ] {
        let outcome = run(&spec(10.0, ms(1_000)), writes(bytes)).await;
        assert_eq!(errors(&outcome), [(kind, 10)], "{:?}", String::from_utf8_lossy(bytes));
        assert_eq!(outcome.windows[0].errors, 10);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_until_close_and_one_with_connection_close_are_answers() {
    for bytes in [
        &b"HTTP/1.1 200 OK\r\n\r\nuntil the end"[..],
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.0 204 No Content\r\n\r\n",
    ] {
        let outcome = run(&spec(10.0, ms(1_000)), writes(bytes)).await;
        assert_eq!((outcome.totals.good, outcome.totals.connections_opened), (10, 10));
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_closed_while_idle_is_not_a_failure() {
    // Answers keep-alive, then closes 50 ms later: between two requests, which are 100 ms apart.
    let closes = |mut stream: DuplexStream| {
        tokio::task::spawn_local(async move {
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
            tokio::time::sleep(ms(50)).await;
        });
        Ok(())
    };
    let totals = run(&spec(10.0, ms(2_000)), closes).await.totals;
    assert_eq!((totals.good, totals.connections_opened), (20, 20));
    assert!(totals.errors.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_light_load_stays_on_one_warm_connection() {
    let totals = run(&spec(10.0, ms(5_000)), answers(200, ms(50))).await.totals;
    assert_eq!((totals.good, totals.connections_opened), (50, 1));
}

#[tokio::test(start_paused = true)]
async fn no_more_connections_are_used_than_allowed_and_who_waits_too_long_times_out() {
    /// Counts the requests that a server is busy with, also when their client leaves.
    struct Busy(Rc<Cell<usize>>);
    impl Drop for Busy {
        fn drop(&mut self) {
            self.0.set(self.0.get() - 1);
        }
    }
    let (busy, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let mut spec = spec(100.0, ms(1_000));
    spec.scenario.connections = 5;
    let peak = most.clone();
    let slow = http(move |_| {
        busy.set(busy.get() + 1);
        peak.set(peak.get().max(busy.get()));
        let guard = Busy(busy.clone());
        async move {
            tokio::time::sleep(ms(999)).await;
            drop(guard);
            response(200)
        }
    });
    let outcome = run(&spec, slow).await;
    assert_eq!(most.get(), 5);
    // Five are answered after 999 ms; all others get a connection with at most 51 ms left of their second.
    assert_eq!((outcome.totals.requests, outcome.totals.good, outcome.totals.missed), (100, 5, 0));
    assert_eq!(errors(&outcome), [("timeout", 95)]);
    assert_eq!(outcome.windows[0].timeouts, 95);
    assert!(outcome.windows[0].valid, "it is the target that is slow");
}

#[tokio::test(start_paused = true)]
async fn a_connect_that_hangs_ends_by_the_timeout() {
    struct Hangs;
    impl super::protocol::Dial for Hangs {
        type Stream = DuplexStream;
        async fn dial(&self) -> io::Result<DuplexStream> {
            std::future::pending().await
        }
    }
    let spec = spec(10.0, ms(1_000));
    let requests = super::requests::Requests::new(&spec.scenario.operations, "a", 0, false).unwrap();
    let (sender, mut windows) = tokio::sync::mpsc::unbounded_channel();
    let shared = Arc::new(Shared::default());
    let protocol = super::protocol::http1::Http1::new(Hangs);
    let drive = super::driver::drive(&spec, protocol, requests, crate::clock::now(), &shared, sender);
    let outcome = tokio::task::LocalSet::new().run_until(drive).await;
    assert_eq!(errors(&outcome), [("connect_timeout", 10)]);
    let window = windows.try_recv().unwrap();
    assert_eq!((window.timeouts, window.p50_s), (10, Some(1.0)));
    assert!(outcome.nothing_reached);
}

#[tokio::test(start_paused = true)]
async fn requests_in_flight_are_rate_times_latency() {
    let mut spec = spec(10.0, ms(4_000));
    spec.scenario.timeout = ms(2_000);
    let outcome = run(&spec, answers(200, ms(500))).await;
    // Little's law; the first half second fills up.
    let flights: Vec<f64> = outcome.windows.iter().map(|w| w.in_flight).collect();
    assert!((flights[0] - 4.0).abs() < 0.01 && flights[1..].iter().all(|f| (f - 5.0).abs() < 0.01), "{flights:?}");
}

#[tokio::test(start_paused = true)]
async fn windows_add_up_to_the_totals_and_the_warm_up_is_in_neither() {
    let mut spec = spec(200.0, ms(6_000));
    spec.scenario.demand = match spec.scenario.demand {
        Demand::Open { rate, .. } => Demand::Open { rate, arrivals: Arrivals::Poisson },
        closed => closed,
    };
    spec.phases = Phases::steady_after(ms(2_000));
    spec.window = ms(500);
    let mixed = http(|request| async move {
        let number: u64 = request.uri().path()[1..].parse().unwrap();
        tokio::time::sleep(ms(number % 7 * 200)).await;
        response(if number.is_multiple_of(5) { 503 } else { 200 })
    });
    let outcome = run(&spec, mixed).await;
    let totals = &outcome.totals;
    assert_eq!(outcome.windows.len(), 12);
    assert_eq!(outcome.windows.iter().filter(|w| w.phase == Phase::Warmup).count(), 4);
    assert_eq!(sum(&outcome, |w| w.sent), totals.requests);
    assert_eq!(sum(&outcome, |w| w.planned), totals.requests + totals.missed);
    assert_eq!(sum(&outcome, |w| w.good), totals.good);
    assert_eq!(sum(&outcome, |w| w.errors + w.timeouts), totals.errors.values().sum::<u64>());
    assert_eq!(sum(&outcome, |w| w.success + w.errors + w.timeouts), totals.requests);
    assert_eq!(sum(&outcome, |w| w.bins.iter().map(|b| u64::from(b.sent)).sum()), totals.requests);
    assert_eq!(sum(&outcome, |w| w.bins.iter().map(|b| u64::from(b.good)).sum()), totals.good);
    assert!(totals.requests > 600 && totals.requests < 1_000, "{}", totals.requests);
}

#[tokio::test(start_paused = true)]
async fn stopping_early_delivers_every_window_and_the_last_one_cut() {
    let (spec, shared) = (spec(10.0, ms(60_000)), Arc::new(Shared::default()));
    let stop = shared.stop.clone();
    tokio::spawn(async move {
        tokio::time::sleep(ms(50 + 3_450)).await;
        stop.cancel();
    });
    let outcome = run_with(&spec, &shared, answers(200, ms(700))).await;
    let widths: Vec<f64> = outcome.windows.iter().map(|w| w.width_s).collect();
    assert_eq!(widths, [1.0, 1.0, 1.0, 0.45]);
    assert_eq!(outcome.windows.iter().map(|w| w.sent).collect::<Vec<_>>(), [10, 10, 10, 5]);
    assert_eq!(outcome.windows.iter().map(|w| w.valid).collect::<Vec<_>>(), [true, true, true, false]);
    assert_eq!(outcome.totals.good, 35, "what was under way is waited for");
    assert!(!outcome.totals.driver_limited);
}

#[tokio::test(start_paused = true)]
async fn a_window_is_delivered_when_its_last_request_has_ended() {
    let (spec, shared) = (spec(10.0, ms(3_000)), Arc::new(Shared::default()));
    let requests = super::requests::Requests::new(&spec.scenario.operations, "a", 0, false).unwrap();
    let (sender, mut windows) = tokio::sync::mpsc::unbounded_channel();
    let origin = crate::clock::now();
    let delivered = tokio::spawn(async move {
        let mut at = Vec::new();
        while windows.recv().await.is_some() {
            at.push((crate::clock::now() - origin).as_millis());
        }
        at
    });
    struct Slow;
    impl super::protocol::Dial for Slow {
        type Stream = DuplexStream;
        async fn dial(&self) -> io::Result<DuplexStream> {
            let (near, far) = tokio::io::duplex(1024);
            answers(200, ms(250))(far)?;
            Ok(near)
        }
    }
    let protocol = super::protocol::http1::Http1::new(Slow);
    let drive = super::driver::drive(&spec, protocol, requests, origin, &shared, sender);
    tokio::task::LocalSet::new().run_until(drive).await;
    // The last request of a window is due 100 ms before its end and takes 250 ms; looked at every 100 ms.
    assert_eq!(delivered.await.unwrap(), [1_200, 2_200, 3_150]);
}

#[tokio::test(start_paused = true)]
async fn successes_within_the_gates_limit_are_counted_once_it_is_known() {
    let (spec, shared) = (spec(10.0, ms(4_000)), Arc::new(Shared::default()));
    let limit = shared.limit.clone();
    tokio::spawn(async move {
        tokio::time::sleep(ms(50 + 1_950)).await;
        limit.set(ms(100));
    });
    let slower = http(|request| async move {
        let number: u64 = request.uri().path()[1..].parse().unwrap();
        tokio::time::sleep(if number < 30 { ms(40) } else { ms(140) }).await;
        response(200)
    });
    let outcome = run_with(&spec, &shared, slower).await;
    let within: Vec<u32> = outcome.windows.iter().map(|w| w.bins.iter().map(|b| b.within).sum()).collect();
    assert_eq!(within, [0, 0, 10, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_closed_loop_sends_when_the_last_answer_is_there() {
    let mut spec = spec(1.0, ms(5_000));
    spec.scenario.demand = Demand::Closed { users: 2 };
    let totals = run(&spec, answers(200, ms(100))).await.totals;
    // Two users, ten requests a second each. The last ones end with the load.
    assert_eq!((totals.requests, totals.connections_opened), (100, 2));
    assert_eq!((totals.offered_per_s, totals.lag_s), (None, None));
    let latency = totals.latency_s.unwrap();
    assert_eq!((latency.p50, latency.max), (0.1, 0.1));
}

#[tokio::test(start_paused = true)]
async fn a_closed_loop_does_not_hammer_a_target_that_refuses() {
    let mut spec = spec(1.0, ms(1_000));
    spec.scenario.demand = Demand::Closed { users: 3 };
    let refuse = |_| Err(io::Error::from_raw_os_error(libc::ECONNREFUSED));
    let outcome = run(&spec, refuse).await;
    assert_eq!(errors(&outcome), [("refused", 300)]);
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_sends_the_same_requests_at_the_same_times() {
    let record = async || {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let mut spec = spec(50.0, ms(3_000));
        spec.seed = 42;
        spec.numbered = true;
        spec.scenario.demand = match spec.scenario.demand {
            Demand::Open { rate, .. } => Demand::Open { rate, arrivals: Arrivals::Poisson },
            closed => closed,
        };
        let (log, start) = (seen.clone(), crate::clock::now());
        let server = http(move |request| {
            let number = request.headers()["x-brownout-seq"].to_str().unwrap().to_owned();
            log.borrow_mut().push((crate::clock::now() - start, number));
            async { response(200) }
        });
        run(&spec, server).await;
        seen.take()
    };
    let first: Vec<(Duration, String)> = record().await;
    assert_eq!(first, record().await);
    assert!(first.iter().enumerate().all(|(n, (_, number))| *number == n.to_string()));
}

#[tokio::test(start_paused = true)]
async fn progress_says_how_it_is_doing() {
    let (spec, shared) = (spec(4.0, ms(3_000)), Arc::new(Shared::default()));
    let watched = shared.clone();
    let seen = tokio::spawn(async move {
        tokio::time::sleep(ms(50 + 2_150)).await;
        watched.progress()
    });
    run_with(&spec, &shared, answers(200, ms(150))).await;
    let progress = seen.await.unwrap();
    assert_eq!(progress.elapsed, ms(2_100));
    assert_eq!((progress.counts.planned, progress.counts.ended, progress.counts.in_flight), (9, 8, 1));
    assert_eq!((progress.latency_s, progress.connections_opened), (Some((0.15, 0.15)), 1));
}

/// The origin lies 50 ms ahead, so that `spec` and `run` can be told apart from a driver that starts at once.
#[tokio::test(start_paused = true)]
async fn nothing_is_sent_before_the_origin() {
    let (seen, start) = (Rc::new(Cell::new(None)), crate::clock::now());
    let first = seen.clone();
    let server = http(move |_| {
        first.set(first.get().or(Some(crate::clock::now() - start)));
        async { response(200) }
    });
    let spec: LoadSpec = spec(10.0, ms(200));
    run(&spec, server).await;
    assert_eq!(seen.get(), Some(ms(50)));
}

#[tokio::test(start_paused = true)]
async fn an_observer_is_told_of_everything_that_becomes_of_an_arrival() {
    #[derive(Debug, Default)]
    struct Tally(std::sync::Mutex<Vec<&'static str>>);
    impl Tally {
        fn note(&self, what: &'static str) {
            self.0.lock().unwrap().push(what);
        }
    }
    impl Observer for Tally {
        fn planned(&self) {
            self.note("planned");
        }
        fn sent(&self, lag: Duration) {
            assert_eq!(lag, Duration::ZERO);
            self.note("sent");
        }
        fn missed(&self, was_sent: bool) {
            assert!(was_sent);
            self.note("missed");
        }
        fn ended(&self, latency: Duration, good: bool) {
            assert_eq!((latency, good), (ms(30), true));
            self.note("ended");
        }
    }
    let (tally, dials) = (Arc::new(Tally::default()), Cell::new(0));
    let mut spec = spec(10.0, ms(200));
    spec.observer = Some(tally.clone());
    let second_time_lucky = move |stream| {
        if dials.replace(1) == 0 {
            return Err(io::Error::from_raw_os_error(libc::EADDRNOTAVAIL));
        }
        answers(200, ms(30))(stream)
    };
    run(&spec, second_time_lucky).await;
    assert_eq!(*tally.0.lock().unwrap(), ["planned", "sent", "missed", "planned", "sent", "ended"]);
}

#[tokio::test(start_paused = true)]
async fn a_driver_that_was_held_up_does_not_open_a_connection_for_each_arrival_it_owes() {
    let held_up = Rc::new(Cell::new(false));
    let server = http(move |_| {
        let first = !held_up.replace(true);
        async move {
            if first {
                // As if the whole machine had stood still: nobody gets a turn while the time passes.
                tokio::time::advance(ms(300)).await;
            }
            response(200)
        }
    });
    let totals = run(&spec(10_000.0, ms(500)), server).await.totals;
    assert_eq!((totals.good, totals.missed), (5_000, 0));
    assert!(totals.lag_s.unwrap().max > 0.25, "the lag is told");
    assert!(totals.connections_opened < 500, "{} connections", totals.connections_opened);
}
