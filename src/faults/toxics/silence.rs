//! Silence that can be taken back: bytes are held, and go on when it is released. What the rules' `timeout` is on TCP.

use std::time::Duration;

use super::buffer::Buffer;
use super::{CloseHow, Given, Item, Rest, Site, Stage, Toxic};
use crate::clock::Instant;

/// Holds everything for `wait` (`None`: until the sender leaves), then ends the connection.
#[derive(Debug, Clone, Copy)]
pub(in crate::faults) struct Silence {
    pub(in crate::faults) wait: Option<Duration>,
    pub(in crate::faults) then: CloseHow,
}

impl Toxic for Silence {
    fn stage(&self, site: Site) -> Option<Box<dyn Stage>> {
        let since = site.since();
        let ends = self.wait.map(|wait| (since + wait, self.then));
        let mut held = Held { ends, left: false, buffer: Buffer::default(), since };
        site.rest.items.into_iter().for_each(|item| held.take(item));
        Some(Box::new(held))
    }
}

struct Held {
    ends: Option<(Instant, CloseHow)>,
    /// The sender has said goodbye.
    left: bool,
    buffer: Buffer,
    since: Instant,
}

impl Stage for Held {
    fn has_room(&self) -> bool {
        self.buffer.has_room()
    }

    fn take(&mut self, item: Item) {
        self.left |= matches!(item, Item::End { .. });
        self.buffer.push(item);
    }

    fn give(&mut self, _: Instant) -> Given {
        if self.left && self.ends.is_none() { Given::Close(CloseHow::Close) } else { Given::Nothing }
    }

    fn ends(&self) -> Option<(Instant, CloseHow)> {
        self.ends
    }

    fn leave(&mut self) -> Rest {
        Rest { items: self.buffer.take_all(), since: Some(self.since), ..Rest::default() }
    }
}
