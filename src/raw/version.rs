//! What a heap tells: its version, which says whether anything was published since a thread looked; how many nodes are
//! out of place; and the board, on which it tells of its blocks.

use super::buddy::{Buddy, Listing};
use super::order::Order;
use crate::sync::Ordering;

impl Buddy {
    /// A number that grows with every publication. If two readings are equal, nothing was published between them.
    ///
    /// It is the sum of counters that only grow. A later reading finds each as large or larger, so that equal sums mean
    /// equal counters, until one wraps: the tag of a stack does after 2^39 pushes in a heap of 2^24 units, half an hour
    /// of nothing else, and after 2^32 in the largest heap, 12 s (`stack`). If just as much was pushed in between as
    /// makes the sum wrap around, an allocation may fail, or a sweeper leave a heap at rest, though a block was
    /// published. That block stays free, and the next publication makes the readings differ again.
    pub fn version(&self) -> u64 {
        let pushes = self.shards.through(self.geometry.max_order().place()).map(|stack| stack.pushes(&self.links));
        // Acquire: pairs with the Release in `note_displaced`; as with `pushes`.
        pushes.fold(self.displaced.load(Ordering::Acquire), u64::wrapping_add)
    }

    /// Counts a node that was left where its state does not fit, or a block that was published while its node stands in
    /// an unknown place.
    pub(super) fn note_displaced(&self) {
        // Release: pairs with the Acquire in `version`; makes the publication visible to a thread that counts it.
        self.displaced.fetch_add(1, Ordering::Release);
        self.tell(Order::ZERO);
    }

    /// How many nodes may be out of place.
    pub(super) fn displaced(&self) -> u64 {
        // Relaxed, both: a hint.
        self.displaced.load(Ordering::Relaxed).wrapping_sub(self.tidied.load(Ordering::Relaxed))
    }

    /// Do the stacks want tidying? If so, they count as tidied from now on.
    pub(super) fn start_to_tidy(&self) -> bool {
        // Acquire: pairs with the Release in `note_displaced`; the tidying sees the nodes that count as tidied.
        // No model needs the Acquire: a node that a tidying misses costs a search, and no more.
        let displaced = self.displaced.load(Ordering::Acquire);
        // Relaxed, both: a hint. Nodes that are displaced meanwhile count for the next time.
        let wanted = displaced != self.tidied.load(Ordering::Relaxed);
        if wanted {
            self.tidied.store(displaced, Ordering::Relaxed);
        }
        wanted
    }

    /// Tells the board that this thread has just published something by a read-modify-write, in a stack of `order`, if
    /// it is in one.
    #[inline]
    pub(super) fn tell(&self, order: Order) {
        if let Some(Listing { board, entry }) = &self.listing {
            board.published(*entry, order.get());
        }
    }

    /// Tells the board of blocks that were free all the time: their nodes were in no stack for a while, or nobody knew
    /// of them.
    pub(crate) fn tell_of_stacks(&self) {
        if let Some(Listing { board, entry }) = &self.listing {
            board.raise(*entry);
        }
    }

    /// Sets where it tells of its blocks. Before others see the heap.
    pub(crate) fn list(&mut self, listing: Listing) {
        self.listing = Some(listing);
    }

    /// Where it tells of its blocks.
    pub(crate) fn listing(&self) -> Option<&Listing> {
        self.listing.as_ref()
    }
}
