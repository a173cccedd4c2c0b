//! How the faults of several rules are put together: one law, in one place.
//!
//! Delays add. The first terminal effect wins. Of several body rates the slowest acts, of several cuts the
//! earliest. Everything else a fault asked for is kept, so that it can take over when the winner's rule is
//! released, and is counted as skipped if it never did.

use std::time::Duration;

use smallvec::SmallVec;

use super::effect::{Cut, RequestEffect, ResponseEffect, Terminal};
use crate::units::ByteRate;

/// Which fault of which hit of a plan asked for something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Source {
    /// Index of the hit in its plan: composition order.
    pub hit: usize,
    /// Index of the fault in its rule.
    pub fault: usize,
}

/// One thing asked for, and by whom.
pub type Asked<T> = SmallVec<[(Source, T); 1]>;

/// What one request will suffer before the upstream is contacted, in this order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RequestCourse {
    /// Waits, one after another: they add.
    pub delays: Asked<Duration>,
    /// Terminal effects in composition order: the first whose rule is not released acts.
    pub terminals: Asked<Terminal>,
}

/// What one response will suffer, in this order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ResponseCourse {
    /// Waits, one after another: they add.
    pub delays: Asked<Duration>,
    /// Terminal effects in composition order: the first whose rule is not released acts.
    pub terminals: Asked<Terminal>,
    /// Body rates with the size of a piece, slowest first: the first whose rule is not released acts.
    pub rates: Asked<(ByteRate, Option<u64>)>,
    /// Cuts, earliest first: the first whose rule is not released acts.
    pub cuts: Asked<Cut>,
}

/// Composes what was asked of a request.
pub fn request_course(effects: impl IntoIterator<Item = (Source, RequestEffect)>) -> RequestCourse {
    let mut course = RequestCourse::default();
    for (source, effect) in effects {
        if !effect.delay.is_zero() {
            course.delays.push((source, effect.delay));
        }
        course.terminals.extend(effect.terminal.map(|t| (source, t)));
    }
    course
}

/// Composes what was asked of a response.
pub fn response_course(effects: impl IntoIterator<Item = (Source, ResponseEffect)>) -> ResponseCourse {
    let mut course = ResponseCourse::default();
    for (source, effect) in effects {
        if !effect.delay.is_zero() {
            course.delays.push((source, effect.delay));
        }
        course.terminals.extend(effect.terminal.map(|t| (source, t)));
        course.rates.extend(effect.body.rate.map(|rate| (source, (rate, effect.body.chunk))));
        course.cuts.extend(effect.body.cut.map(|cut| (source, cut)));
    }
    course.rates.sort_by(|(_, (a, _)), (_, (b, _))| a.per_second().total_cmp(&b.per_second()));
    course.cuts.sort_by_key(|(_, cut)| cut.after);
    course
}
