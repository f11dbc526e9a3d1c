//! Which free memory other threads withhold, and what an allocation that fails waits for.
//!
//! A thread that takes free pages or slots for longer than an allocation does counts when it begins and when it ends.
//! An allocation has failed for certain only if both counts were equal, and stayed so.

use crate::sync::{AtomicU32, AtomicU64, Ordering, fence};

/// Counts of threads that withhold memory.
#[derive(Debug, Default)]
pub(super) struct Withheld {
    /// How often threads began to withhold memory.
    begun: AtomicU32,
    /// How often they ended.
    ended: AtomicU32,
    /// The progress of the others when an allocation had waited for them in vain.
    #[cfg_attr(modelled, expect(dead_code, reason = "allocators, which wait, are not modelled"))]
    waited: AtomicU64,
}

impl Withheld {
    /// Does `work`, which withholds memory.
    pub(super) fn during<R>(&self, work: impl FnOnce() -> R) -> R {
        // Relaxed: the fence publishes it.
        self.begun.fetch_add(1, Ordering::Relaxed);
        // Release: pairs with the fence in `seen`. A thread that has read anything that this one writes from now on
        // sees that it has begun.
        fence(Ordering::Release);
        let result = work();
        // Release: pairs with the Acquire in `seen`; a thread that sees it finds the memory that was withheld.
        self.ended.fetch_add(1, Ordering::Release);
        result
    }

    /// How often threads withheld memory; `None`, if one may do so now. If two answers are the same number, none did in
    /// between.
    pub(super) fn seen(&self) -> Option<u32> {
        // Acquire: pairs with the fence in `during`. A caller that came upon withheld memory has read something that
        // its thread wrote: the state of a block, the word of a bitmap, or the number of idle slabs.
        fence(Ordering::Acquire);
        // Acquire: pairs with the Release in `during`.
        let ended = self.ended.load(Ordering::Acquire);
        // Relaxed: the fence orders it.
        let begun = self.begun.load(Ordering::Relaxed);
        // If they are equal, none began between the two loads.
        (begun == ended).then_some(begun)
    }
}

#[cfg(not(modelled))]
impl Withheld {
    /// Threads that withhold memory now.
    pub(super) fn count(&self) -> u32 {
        // Acquire: pairs with the Release in `during`. A thread that has ended has published its memory.
        let over = self.ended.load(Ordering::Acquire);
        // Relaxed: a number.
        self.begun.load(Ordering::Relaxed).wrapping_sub(over)
    }

    /// Notes the progress of the others when an allocation has waited for them in vain.
    pub(super) fn note_waited(&self, progress: u64) {
        // Relaxed: only compared with a later progress.
        self.waited.store(progress, Ordering::Relaxed);
    }

    /// Has one waited in vain at this progress?
    pub(super) fn has_waited(&self, progress: u64) -> bool {
        // Relaxed: as above.
        self.waited.load(Ordering::Relaxed) == progress
    }
}
