//! What a stage holds back, within bounds.

use std::collections::VecDeque;

use super::Item;

/// A stage that holds more than this should not be given more: what bounds the memory of a connection under a delay.
pub(super) const LIMIT: usize = 4 << 20;
/// What an item costs besides its bytes, so that many small ones are bounded, too.
const OVERHEAD: usize = 64;

/// Items in order, and what they weigh.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    items: VecDeque<Item>,
    weight: usize,
}

pub(super) fn weight(item: &Item) -> usize {
    match item {
        Item::Data { bytes, .. } => bytes.len() + OVERHEAD,
        Item::End { .. } => OVERHEAD,
    }
}

impl Buffer {
    pub(super) fn of(items: VecDeque<Item>) -> Self {
        let weight = items.iter().map(weight).sum();
        Self { items, weight }
    }

    pub(super) fn has_room(&self) -> bool {
        self.weight < LIMIT
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(super) fn push(&mut self, item: Item) {
        self.weight += weight(&item);
        self.items.push_back(item);
    }

    pub(super) fn front(&self) -> Option<&Item> {
        self.items.front()
    }

    pub(super) fn pop(&mut self) -> Option<Item> {
        let item = self.items.pop_front()?;
        self.weight -= weight(&item);
        Some(item)
    }

    /// Takes at most so many bytes from the front; an end counts as none.
    pub(super) fn pop_bytes(&mut self, most: usize) -> Option<Item> {
        if let Some(Item::Data { bytes, arrived }) = self.items.front_mut()
            && bytes.len() > most
        {
            self.weight -= most;
            return Some(Item::Data { bytes: bytes.split_to(most), arrived: *arrived });
        }
        self.pop()
    }

    pub(super) fn take_all(&mut self) -> VecDeque<Item> {
        self.weight = 0;
        std::mem::take(&mut self.items)
    }
}
