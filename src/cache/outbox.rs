//! An outbox: blocks of one class that one other cache handed out, until they fill a magazine. The blocks are in a bin.

use core::cell::Cell;

use crate::raw::{Order, State};

use super::layout::OUTBOXES;

/// The state that the blocks of an outbox had as live ones. It has their class and their owner.
#[derive(Debug, Default)]
pub struct Outbox(Cell<u16>);

impl Outbox {
    /// The outbox for a block in this state. Neighbouring classes of one owner have different ones, and so do
    /// neighbouring owners.
    pub(super) fn number_for(live: State) -> usize {
        let class = live.class();
        (live.owner().cache().unwrap_or(0) * 5 + class.place() + class.place() / Order::COUNT * 11) % OUTBOXES
    }

    pub(super) fn of(&self) -> State {
        State::from_bits(self.0.get())
    }

    pub(super) fn set(&self, live: State) {
        self.0.set(live.bits());
    }
}
