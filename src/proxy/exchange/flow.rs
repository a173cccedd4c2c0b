//! One direction's body on its way through its faults, and when its next piece is due.

use bytes::Bytes;
use smallvec::SmallVec;

use crate::clock::{self, Instant};
use crate::faults::CutEnd;
use crate::faults::compose::{BodyCourse, Source};
use crate::proxy::drip::{Drip, Due, Piece};

/// A body that is shaped, or one that passes as it comes: then it costs nothing.
#[derive(Default)]
pub(super) struct Flow(Option<Box<Shaped>>);

struct Shaped {
    drip: Drip,
    due: Due,
}

impl Flow {
    pub(super) fn new(course: BodyCourse) -> Self {
        if course.shapes_nothing() { Self(None) } else { Self::of(Drip::new(course)) }
    }

    /// As [`new`](Self::new), with bytes that have come already; with `is_last` they are all.
    pub(super) fn after(course: BodyCourse, bytes: Bytes, is_last: bool) -> Self {
        let mut flow = Self::of(Drip::new(course));
        flow.start(!bytes.is_empty());
        flow.take(bytes, is_last);
        flow
    }

    fn of(drip: Drip) -> Self {
        Self(Some(Box::new(Shaped { drip, due: Due::Now })))
    }

    /// The body passes as it comes.
    pub(super) fn is_idle(&self) -> bool {
        self.0.is_none()
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.0.as_ref().is_some_and(|shaped| shaped.drip.is_waiting())
    }

    /// For the marks on the head.
    pub(super) fn sources(&self) -> SmallVec<[Source; 2]> {
        self.0.iter().flat_map(|shaped| shaped.drip.sources()).collect()
    }

    /// Whether this hit may still act on the body.
    pub(super) fn is_shaped_by(&self, hit: usize) -> bool {
        self.0.as_ref().is_some_and(|shaped| shaped.drip.hits().any(|busy| busy == hit))
    }

    /// Whose hit holds back what waits.
    pub(super) fn holder(&self) -> Option<usize> {
        self.0.as_ref()?.drip.holder()
    }

    /// Drops what was asked by released rules; what they held back may go.
    pub(super) fn forget(&mut self, released: impl Fn(usize) -> bool) {
        let Some(shaped) = &mut self.0 else { return };
        let changed = shaped.drip.forget(released);
        if shaped.drip.is_idle() {
            self.0 = None;
        } else if changed {
            shaped.look();
        }
    }

    /// See [`Drip::shorter`].
    pub(super) fn shorter(&mut self, length: Option<u64>) -> Option<u64> {
        self.0.as_mut()?.drip.shorter(length)
    }

    /// The head is out: see [`Drip::start`].
    pub(super) fn start(&mut self, has_body: bool) {
        if let Some(shaped) = &mut self.0 {
            shaped.drip.start(clock::now(), has_body);
            shaped.look();
        }
    }

    pub(super) fn deadline(&self) -> Option<(Instant, Source, CutEnd)> {
        self.0.as_ref()?.drip.deadline()
    }

    /// Takes bytes in. Only while nothing waits, and not while it is idle.
    pub(super) fn take(&mut self, bytes: Bytes, is_last: bool) {
        if let Some(shaped) = &mut self.0 {
            shaped.drip.take(bytes, is_last);
            shaped.look();
        }
    }

    /// The next piece, which is due.
    pub(super) fn next(&mut self) -> Piece {
        let Some(shaped) = &mut self.0 else { return Piece { bytes: Bytes::new(), is_last: false, cut: None } };
        let piece = shaped.drip.next();
        shaped.look();
        piece
    }

    pub(super) fn take_acted(&mut self) -> SmallVec<[Source; 2]> {
        self.0.as_mut().map(|shaped| shaped.drip.take_acted()).unwrap_or_default()
    }

    pub(super) fn due(&self) -> Due {
        self.0.as_ref().map_or(Due::Never, |shaped| shaped.due)
    }
}

impl Shaped {
    fn look(&mut self) {
        if self.drip.is_waiting() {
            self.due = self.drip.due(clock::now());
        }
    }
}

/// Waits until it is due. Can be cancelled.
pub(super) async fn reached(due: Due) {
    match due {
        Due::Now => {}
        Due::At(due) => clock::sleep_until(due).await,
        Due::Never => std::future::pending().await,
    }
}
