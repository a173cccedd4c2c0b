//! Whoever wants to see a run while it goes on: the terminal's progress line, the exporter.

use crate::results::{Phase, Run, Window};

/// Told about a run as it goes on. Called on the runner's task: must not block.
pub trait Spectator: Send {
    /// Run `index` (from 1) of `of` has entered a phase; `None` when its load has ended.
    fn phase(&mut self, index: usize, of: usize, phase: Option<Phase>) {
        let _ = (index, of, phase);
    }

    /// A window is final.
    fn window(&mut self, window: &Window) {
        let _ = window;
    }

    /// A run has been measured.
    fn measured(&mut self, run: &Run) {
        let _ = run;
    }
}

/// Several spectators are one.
impl Spectator for Vec<Box<dyn Spectator>> {
    fn phase(&mut self, index: usize, of: usize, phase: Option<Phase>) {
        self.iter_mut().for_each(|s| s.phase(index, of, phase));
    }

    fn window(&mut self, window: &Window) {
        self.iter_mut().for_each(|s| s.window(window));
    }

    fn measured(&mut self, run: &Run) {
        self.iter_mut().for_each(|s| s.measured(run));
    }
}
