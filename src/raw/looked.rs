//! For each order the node at which the last look along its stacks ended. The next one goes on there, so that useless
//! nodes at the tops hide none for long.

use super::order::{BlockIndex, Order};
use crate::check::at;
use crate::sync::{AtomicU32, Ordering};

/// Where looks along the stacks go on. Hints.
#[derive(Debug)]
pub(super) struct Looked([AtomicU32; Order::COUNT]);

impl Looked {
    pub(super) fn new() -> Self {
        Self([(); Order::COUNT].map(|()| AtomicU32::new(0)))
    }

    pub(super) fn last(&self, order: Order) -> BlockIndex {
        // Relaxed: a hint.
        BlockIndex::new(at(&self.0[..], order.place()).load(Ordering::Relaxed))
    }

    pub(super) fn note(&self, order: Order, last: BlockIndex) {
        // Relaxed: a hint.
        at(&self.0[..], order.place()).store(last.get(), Ordering::Relaxed);
    }
}
