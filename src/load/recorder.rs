//! Counts what becomes of every arrival. Pure: times are handed in, as offsets from the run's origin.
//!
//! A request belongs to the window of its intended start. A window is final as soon as all of its arrivals have
//! ended, at the latest one timeout after its end; its distributions are then reduced to quantiles. Memory: what
//! [`LoadSpec::bytes_per_open_window`] says for each window that is not final, of which there are no more than fit
//! into a timeout plus two, and a fixed set of histograms. It does not grow with requests.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::ending::{ErrorKind, OwnFault};
use super::grid::Grid;
use super::progress::{Counts, LatencyLimit, Observer};
use super::spec::LoadSpec;
use super::totals::{Total, Totals};
use super::window::{Counted, OpenWindow, Times, counts_as_latency};
use crate::results::{LoadTotals, Phase, Window};
use crate::stats::Histogram;

/// A request that has ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ended {
    pub(super) intended: Duration,
    /// When it was given to an open connection; absent if there never was one.
    pub(super) sent: Option<Duration>,
    pub(super) at: Duration,
    pub(super) result: Result<(), ErrorKind>,
    pub(super) received: u64,
    pub(super) body: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Recorder {
    grid: Grid,
    limit: Arc<LatencyLimit>,
    observer: Option<Arc<dyn Observer>>,
    open: VecDeque<OpenWindow>,
    /// Index of the first open window: all before it are final.
    first: u64,
    spare: Vec<Times>,
    counts: Counts,
    last_planned: Duration,
    /// Up to when the time in flight has been added to the windows.
    flight_until: Duration,
    /// No arrival before this is still to come.
    undrawn: Duration,
    totals: Totals,
    recent: Histogram<u32>,
    limited: bool,
}

impl Recorder {
    pub(super) fn new(spec: LoadSpec, limit: Arc<LatencyLimit>) -> Self {
        let timeout = spec.scenario.timeout;
        Self {
            limit,
            observer: spec.observer.clone(),
            open: VecDeque::new(),
            first: 0,
            spare: Vec::new(),
            counts: Counts::default(),
            last_planned: Duration::ZERO,
            flight_until: Duration::ZERO,
            undrawn: Duration::ZERO,
            totals: Totals::new(timeout),
            recent: Histogram::new(timeout, 2),
            limited: false,
            grid: Grid::new(spec),
        }
    }

    /// No arrival before this offset is still to come; `None`: no arrival at all.
    pub(super) fn nothing_before(&mut self, next: Option<Duration>) {
        self.undrawn = next.unwrap_or(Duration::MAX);
    }

    /// An arrival is due. Exactly one `ended` or `missed` must follow.
    pub(super) fn planned(&mut self, intended: Duration) {
        self.counts.planned += 1;
        if let Some(observer) = &self.observer {
            observer.planned();
        }
        self.last_planned = intended;
        if let Some(window) = self.window(intended) {
            window.planned += 1;
        }
    }

    /// The driver acts on a due arrival: sends it, or queues it because all connections are in use. Without a lag
    /// in a closed loop, where nothing is due.
    pub(super) fn issued(&mut self, intended: Duration, at: Duration, lag: Option<Duration>) {
        self.advance(at);
        self.counts.in_flight += 1;
        if let Some(observer) = &self.observer {
            observer.sent(lag.unwrap_or_default());
        }
        let mut spare = self.spare.pop();
        let timeout = self.grid.timeout;
        if let Some(window) = self.window(intended) {
            window.issued(lag, || spare.take().unwrap_or_else(|| Times::new(timeout)));
            if window.phase != Phase::Warmup
                && let Some(lag) = lag
            {
                self.totals.lag(lag);
            }
        }
        self.spare.extend(spare);
    }

    /// An arrival that the driver itself could not issue; `issued` tells whether it had been counted as such.
    pub(super) fn missed(&mut self, intended: Duration, at: Duration, fault: OwnFault, issued: bool) {
        self.advance(at);
        self.counts.in_flight -= u64::from(issued);
        self.counts.missed += 1;
        if let Some(observer) = &self.observer {
            observer.missed(issued);
        }
        if let Some(window) = self.window(intended) {
            window.missed += 1;
            if window.phase != Phase::Warmup {
                self.totals.missed(fault, 1);
            }
        }
    }

    /// A request that was issued has ended.
    pub(super) fn ended(&mut self, request: Ended) {
        self.advance(request.at);
        let took = request.at.saturating_sub(request.intended);
        // The driver may notice an answer late: what counts is that it was not there in time.
        let result = match request.result {
            Err(kind) if kind.is_timeout() => Err(kind),
            _ if took > self.grid.timeout => Err(ErrorKind::Timeout),
            result => result,
        };
        let latency = if result.is_err_and(ErrorKind::is_timeout) { self.grid.timeout } else { took };
        let until = request.intended + latency;
        let good = result.is_ok() && latency <= self.grid.good_within;
        let within = result.is_ok() && self.limit.allows(latency);
        self.counts.in_flight -= 1;
        self.counts.ended += 1;
        self.counts.good += u64::from(good);
        self.counts.failed += u64::from(result.is_err());
        if let Some(observer) = &self.observer {
            observer.ended(latency, good);
        }
        self.counts.unconnected += u64::from(result.is_err_and(ErrorKind::is_connect));
        if counts_as_latency(result) {
            self.recent.record(latency);
        }
        let offset = request.intended.saturating_sub(self.grid.start(self.grid.index(request.intended)));
        let Some(window) = self.window(request.intended) else { return };
        window.count(Counted { offset, latency, result, good, within });
        if window.phase != Phase::Warmup {
            let service = request.sent.map(|sent| until.saturating_sub(sent));
            self.totals.count(Total { latency, service, result, good, received: request.received, sent: request.body });
        }
    }

    /// The next window, if it is final by now.
    pub(super) fn next_final(&mut self, now: Duration) -> Option<Window> {
        self.advance(now);
        let end = self.grid.start(self.first + 1).min(self.grid.end);
        let outstanding = self.open.front().map_or(0, OpenWindow::outstanding);
        if self.first >= self.grid.windows() || now < end || self.undrawn < end || outstanding > 0 {
            return None;
        }
        Some(self.close_first())
    }

    /// Ends the load early: there are no arrivals from here on, and no windows.
    pub(super) fn stop(&mut self, at: Duration) {
        // A window needs a moment of its own if an arrival was due at this very one.
        self.grid.end = self.grid.end.min(at.max(self.last_planned + Duration::from_nanos(1)));
        self.nothing_before(None);
    }

    /// Arrivals that have neither ended nor been missed.
    pub(super) fn outstanding(&self) -> u64 {
        self.counts.planned - self.counts.ended - self.counts.missed
    }

    /// Gives up on what is outstanding, which is the driver's fault, and hands out the remaining windows.
    pub(super) fn finish(&mut self, now: Duration) -> Vec<Window> {
        self.advance(now);
        for window in &mut self.open {
            let lost = window.outstanding();
            window.missed += lost;
            self.counts.missed += lost;
            if window.phase != Phase::Warmup && lost > 0 {
                self.totals.missed(OwnFault::Late, lost);
            }
        }
        let left = self.grid.windows().saturating_sub(self.first);
        (0..left).map(|_| self.close_first()).collect()
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// Latencies since the last call, of successes and timeouts: median and 99 % quantile.
    pub(super) fn take_recent(&mut self) -> Option<(f64, f64)> {
        let quantiles = self.recent.quantile(0.5).zip(self.recent.quantile(0.99));
        self.recent.reset();
        quantiles
    }

    /// A window after the warm-up was not valid: the driver was the limit, not the target.
    pub(super) fn was_limited(&self) -> bool {
        self.limited
    }

    pub(super) fn totals(&self) -> &Totals {
        &self.totals
    }

    /// The totals; rate, connections and the watch's findings are the driver's to add.
    pub(super) fn summary(&self) -> LoadTotals {
        let windows = self.grid.windows();
        let measured = (0..windows)
            .map(|index| self.grid.frame(index))
            .filter(|frame| self.grid.phase(frame.start) != Phase::Warmup)
            .map(|frame| frame.width)
            .sum();
        self.totals.summary(measured)
    }

    fn close_first(&mut self) -> Window {
        let frame = self.grid.frame(self.first);
        let open = self.open.pop_front().unwrap_or_else(|| self.new_window(self.first));
        self.first += 1;
        let (window, times) = open.close(frame);
        if let Some(mut times) = times {
            times.reset();
            self.spare.push(times);
        }
        let driver_lost = !window.valid && !frame.cut && window.planned > 0;
        self.limited |= driver_lost && window.phase != Phase::Warmup;
        window
    }

    fn new_window(&self, index: u64) -> OpenWindow {
        OpenWindow::new(self.grid.phase(self.grid.start(index)), self.grid.width())
    }

    /// The window that an offset lies in, unless that is final or beyond the end.
    fn window(&mut self, at: Duration) -> Option<&mut OpenWindow> {
        let index = self.grid.index(at);
        let place = index.checked_sub(self.first)? as usize;
        if place >= self.open.len() {
            if index >= self.grid.windows() {
                return None;
            }
            for next in self.first + self.open.len() as u64..=index {
                let window = self.new_window(next);
                self.open.push_back(window);
            }
        }
        self.open.get_mut(place)
    }

    /// Adds the requests in flight to the windows that time has passed through since the last event.
    fn advance(&mut self, now: Duration) {
        let mut from = self.flight_until;
        if now <= from {
            return;
        }
        self.flight_until = now;
        let in_flight = self.counts.in_flight as f64;
        while in_flight > 0.0 && from < now {
            let index = self.grid.index(from);
            let to = self.grid.start(index + 1).min(now);
            let Some(window) = self.window(from) else { return };
            window.flight += in_flight * (to - from).as_secs_f64();
            from = to;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::testing::{ms, spec};
    use proptest::prelude::*;

    fn recorder(spec: &LoadSpec) -> Recorder {
        Recorder::new(spec.clone(), Arc::default())
    }

    fn ended(intended: u64, at: u64, result: Result<(), ErrorKind>) -> Ended {
        Ended { intended: ms(intended), sent: Some(ms(intended)), at: ms(at), result, received: 0, body: 0 }
    }

    #[test]
    fn a_window_is_not_final_before_its_end_its_arrivals_and_their_endings() {
        let mut recorder = recorder(&spec(10.0, ms(2_000)));
        recorder.nothing_before(Some(ms(900)));
        recorder.planned(ms(900));
        recorder.issued(ms(900), ms(900), Some(Duration::ZERO));
        assert!(recorder.next_final(ms(999)).is_none(), "before its end");
        assert!(recorder.next_final(ms(1_500)).is_none(), "an arrival may still be drawn");
        recorder.nothing_before(Some(ms(1_000)));
        assert!(recorder.next_final(ms(1_500)).is_none(), "a request is under way");
        recorder.ended(ended(900, 1_600, Ok(())));
        let window = recorder.next_final(ms(1_600)).unwrap();
        assert_eq!((window.start_s, window.sent, window.good), (0.0, 1, 1));
        assert!(recorder.next_final(ms(1_600)).is_none());
    }

    #[test]
    fn an_empty_window_is_invalid_but_no_driver_loss() {
        let mut recorder = recorder(&spec(10.0, ms(1_000)));
        recorder.nothing_before(None);
        let window = recorder.next_final(ms(1_000)).unwrap();
        assert_eq!((window.valid, window.attainment, window.p_q_s), (false, None, None));
        assert!(!recorder.was_limited());
    }

    #[test]
    fn a_driver_that_lags_or_misses_makes_the_window_invalid() {
        for (lag, missed, valid) in [(9, 0, true), (101, 0, false), (9, 1, true), (9, 2, false)] {
            let mut recorder = recorder(&spec(100.0, ms(1_000)));
            for n in 0..100u64 {
                recorder.planned(ms(n * 10));
                if n < missed {
                    recorder.missed(ms(n * 10), ms(n * 10), OwnFault::Ports, false);
                } else {
                    recorder.issued(ms(n * 10), ms(n * 10 + lag), Some(ms(lag)));
                    recorder.ended(ended(n * 10, n * 10 + lag, Ok(())));
                }
            }
            recorder.nothing_before(None);
            let window = recorder.next_final(ms(2_000)).unwrap();
            assert_eq!((window.valid, window.sent, window.missed), (valid, 100 - missed, missed), "lag {lag}");
            assert_eq!(recorder.was_limited(), !valid);
        }
    }

    #[test]
    fn what_is_lost_in_the_driver_is_missed_and_not_forgotten() {
        let mut recorder = recorder(&spec(10.0, ms(1_000)));
        recorder.planned(ms(0));
        recorder.issued(ms(0), ms(0), None);
        let windows = recorder.finish(ms(9_000));
        assert_eq!((windows.len(), windows[0].planned, windows[0].missed, windows[0].sent), (1, 1, 1, 0));
        assert_eq!((recorder.outstanding(), recorder.totals().own_faults().count()), (0, 1));
    }

    #[test]
    fn memory_does_not_grow_with_requests_and_a_window_takes_what_the_spec_says() {
        let spec = spec(1_000.0, ms(3_600_000));
        assert!(spec.bytes_per_open_window() < 58 * 1024, "{} bytes", spec.bytes_per_open_window());
        let mut recorder = recorder(&spec);
        let mut most = 0;
        // An hour at 100/s against a target that answers after 990 ms of 1,000.
        for n in 0..360_000u64 {
            let at = n * 10;
            recorder.nothing_before(Some(ms(at)));
            recorder.planned(ms(at));
            recorder.issued(ms(at), ms(at), Some(Duration::ZERO));
            if n >= 99 {
                recorder.ended(ended(at - 990, at, Ok(())));
            }
            while recorder.next_final(ms(at)).is_some() {}
            most = most.max(recorder.open.len() + recorder.spare.len());
        }
        assert!(most <= 3, "{most} windows at once");
    }

    proptest! {
        #[test]
        fn every_arrival_is_counted_exactly_once(
            requests in prop::collection::vec((0u64..5_000, 0u64..1_500, 0u8..6), 0..200),
            stop in 100u64..6_000,
        ) {
            let mut recorder = recorder(&spec(10.0, ms(5_000)));
            let mut events: Vec<(u64, bool, usize)> = Vec::new();
            for (n, (intended, took, _)) in requests.iter().enumerate().filter(|(_, r)| r.0 < stop) {
                events.push((*intended, true, n));
                events.push((intended + took.min(&1_000), false, n));
            }
            events.sort_unstable_by_key(|(at, starts, n)| (*at, !*starts, *n));
            let (mut windows, mut stopped, mut planned) = (Vec::new(), false, 0);
            for (at, starts, n) in events {
                if at >= stop && !stopped {
                    recorder.stop(ms(stop));
                    stopped = true;
                }
                let (intended, took, how) = requests[n];
                if starts {
                    planned += 1;
                    recorder.nothing_before(Some(ms(intended)));
                    recorder.planned(ms(intended));
                    recorder.issued(ms(intended), ms(at), Some(Duration::ZERO));
                } else if how == 0 {
                    recorder.missed(ms(intended), ms(at), OwnFault::Memory, true);
                } else {
                    let result = match how {
                        _ if took >= 1_000 => Err(ErrorKind::Timeout),
                        1 => Err(ErrorKind::Status(500)),
                        2 => Err(ErrorKind::Reset),
                        _ => Ok(()),
                    };
                    recorder.ended(ended(intended, at, result));
                }
                windows.extend(std::iter::from_fn(|| recorder.next_final(ms(at))));
            }
            windows.extend(recorder.finish(ms(10_000)));
            let sum = |figure: fn(&Window) -> u64| windows.iter().map(figure).sum::<u64>();
            let totals = recorder.summary();
            prop_assert_eq!(sum(|w| w.planned), planned);
            prop_assert_eq!(sum(|w| w.sent), totals.requests);
            prop_assert_eq!(sum(|w| w.sent + w.missed), planned);
            prop_assert_eq!(sum(|w| w.good), totals.good);
            prop_assert_eq!(sum(|w| w.bins.iter().map(|b| u64::from(b.sent)).sum()), totals.requests);
            prop_assert!(windows.iter().all(|w| w.success + w.errors + w.timeouts == w.sent));
            let starts: Vec<f64> = windows.iter().map(|w| w.start_s).collect();
            prop_assert_eq!(starts, (0..windows.len()).map(|n| n as f64).collect::<Vec<_>>());
        }
    }
}
