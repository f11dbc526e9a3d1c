//! An outbox: blocks of one class that one other cache handed out, until they fill a magazine. The blocks are in a bin.

use core::cell::Cell;
use core::ptr;

use crate::raw::{Class, Order, State};

use super::bias::Words;
use super::layout::OUTBOXES;

/// The words of a cache.
type OwnerWords = Words<{ Class::COUNT }>;

/// What the blocks of an outbox have in common.
#[derive(Debug)]
pub struct Outbox {
    /// The state that they had as live ones. It has their class and their owner.
    of: Cell<u16>,
    /// The words of their owner; null where it has no bias.
    words: Cell<*const OwnerWords>,
}

// SAFETY: the words are shared by all threads, and live as long as the pool.
unsafe impl Send for Outbox {}

impl Default for Outbox {
    fn default() -> Self {
        Self { of: Cell::new(0), words: Cell::new(ptr::null()) }
    }
}

impl Outbox {
    /// The outbox for a block in this state. Neighbouring classes of one owner have different ones, and so do
    /// neighbouring owners.
    pub(super) fn number_for(live: State) -> usize {
        let class = live.class();
        (live.owner().cache().unwrap_or(0) * 5 + class.place() + class.place() / Order::COUNT * 11) % OUTBOXES
    }

    pub(super) fn of(&self) -> State {
        State::from_bits(self.of.get())
    }

    /// The words of their owner.
    ///
    /// # Safety
    ///
    /// The pool lives.
    pub(super) unsafe fn words(&self) -> Option<&OwnerWords> {
        // SAFETY: null, or the words of a cache, which lives as long as the pool.
        unsafe { self.words.get().as_ref() }
    }

    pub(super) fn set(&self, live: State, words: Option<&OwnerWords>) {
        self.of.set(live.bits());
        self.words.set(words.map_or(ptr::null(), ptr::from_ref));
    }
}
