//! A fault whose waits are never longer than the configuration allows.

use std::sync::Arc;
use std::time::Duration;

use crate::dice::Dice;
use crate::faults::{
    Fault, MessageEffect, MessageView, RequestEffect, RequestView, ResponseEffect, ResponseView, Terminal,
};
use crate::units::show_duration;

/// Passes on what the fault inside asks for, waits cut to a length.
#[derive(Debug)]
pub(super) struct Capped {
    inside: Arc<dyn Fault>,
    longest: Duration,
}

impl Capped {
    pub(super) fn around(inside: Arc<dyn Fault>, longest: Duration) -> Arc<dyn Fault> {
        Arc::new(Self { inside, longest })
    }

    /// A hang without an end of its own gets one.
    fn cut(&self, delay: &mut Duration, terminal: Option<&mut Terminal>) {
        *delay = (*delay).min(self.longest);
        if let Some(Terminal::Hang { wait, .. }) = terminal {
            *wait = Some(wait.map_or(self.longest, |wait| wait.min(self.longest)));
        }
    }
}

impl Fault for Capped {
    fn on_request(&self, request: &RequestView<'_>, dice: Dice) -> RequestEffect {
        let mut effect = self.inside.on_request(request, dice);
        self.cut(&mut effect.delay, effect.terminal.as_mut());
        effect
    }

    fn on_response(&self, response: &ResponseView<'_>, dice: Dice) -> ResponseEffect {
        let mut effect = self.inside.on_response(response, dice);
        self.cut(&mut effect.delay, effect.terminal.as_mut());
        effect
    }

    fn on_message(&self, message: &MessageView, dice: Dice) -> MessageEffect {
        let mut effect = self.inside.on_message(message, dice);
        self.cut(&mut effect.delay, None);
        effect
    }

    fn describe(&self) -> String {
        format!("{}, at most {}", self.inside.describe(), show_duration(self.longest))
    }
}
