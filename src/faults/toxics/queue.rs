//! Items on their way, each with the time at which it is through.

use std::collections::VecDeque;

use super::buffer::{LIMIT, weight};
use super::{Given, Item};
use crate::clock::Instant;

/// A line on which everything is late and nothing overtakes.
#[derive(Debug, Default)]
pub(super) struct Queue {
    items: VecDeque<(Instant, Item)>,
    last: Option<Instant>,
    weight: usize,
}

impl Queue {
    pub(super) fn has_room(&self) -> bool {
        self.weight < LIMIT
    }

    /// Adds an item that is through at `due`, or with the one before it if that is later: a stream keeps its order.
    pub(super) fn put(&mut self, due: Instant, item: Item) {
        let due = self.last.map_or(due, |last| last.max(due));
        self.last = Some(due);
        self.weight += weight(&item);
        self.items.push_back((due, item));
    }

    /// What is through by now, else when the next one will be.
    pub(super) fn give(&mut self, now: Instant) -> Given {
        match self.items.front() {
            None => Given::Nothing,
            Some((due, _)) if *due > now => Given::At(*due),
            Some(_) => {
                let Some((_, item)) = self.items.pop_front() else { return Given::Nothing };
                self.weight -= weight(&item);
                Given::Item(item)
            }
        }
    }

    /// Takes everything out, through or not.
    pub(super) fn take_all(&mut self) -> VecDeque<Item> {
        self.weight = 0;
        self.items.drain(..).map(|(_, item)| item).collect()
    }
}
