//! Sweeps, and the other ways to find free pages before the heap grows or an allocation fails.

use super::pages::Slabs;
use super::spans::GROWTH_PART;
#[cfg(not(modelled))]
use crate::raw::withheld;
use crate::sync::{Ordering, model_or};
use crate::thread;

/// Before a heap grows it is swept, if spans of this part of it were taken since the last time. So that costs each
/// little. Under loom a larger part: no model has 16 pages.
const SWEEP_PART: u32 = model_or(4, 16);
/// Do allocations of spans tidy? Under loom only sweeps do: the models of spans would have too many interleavings.
pub(super) const TIDIES: bool = cfg!(not(modelled));

impl<const CLASSES: usize> Slabs<CLASSES> {
    /// Tidies the stacks, if more than `few` blocks may be in a wrong one because they grew by merging; false, if not.
    pub(super) fn tidy_stacks(&self, few: u32) -> bool {
        let wanted = TIDIES && self.buddy.displaced() > u64::from(few) && self.buddy.start_to_tidy();
        if wanted {
            let (_, entries) = self.buddy.tidy_singly(thread::sweep_shard());
            // Relaxed: a number.
            self.entries.store(entries as u32, Ordering::Relaxed);
        }
        wanted
    }

    /// Sweeps, if there may be a span of `pages` pages then, and if the last time is long enough ago; false, if not.
    #[cold]
    pub(super) fn tidy(&self, pages: u32) -> bool {
        let grown = self.grown();
        // Relaxed, all: numbers.
        let free = if TIDIES { grown.saturating_sub(self.resident.out()) } else { 0 };
        let is_worth_it = free.saturating_add(self.idle()) >= pages.max(grown / GROWTH_PART);
        // Never twice for nothing: another thread may have just taken the pages that count as free.
        if !is_worth_it || self.taken.load(Ordering::Relaxed) < (grown / SWEEP_PART).max(1) {
            return false;
        }
        self.taken.store(0, Ordering::Relaxed);
        self.sweep();
        self.has_swept.store(1, Ordering::Relaxed);
        true
    }

    /// Has an allocation swept by itself since the last call? True for one caller.
    #[cfg(not(modelled))]
    pub fn take_has_swept(&self) -> bool {
        // Relaxed, both: nothing is published by it.
        self.has_swept.load(Ordering::Relaxed) != 0 && self.has_swept.swap(0, Ordering::Relaxed) != 0
    }

    /// Gives back spares, closes idle slabs, and merges buddies that two releases at the same moment have missed.
    /// O(pages). Lock-free.
    pub fn sweep(&self) {
        self.withholding(|| {
            let grown = self.grown();
            self.give_spares();
            self.close_idle(0..grown);
            self.buddy.sweep_first(grown, None, thread::sweep_shard());
        });
    }

    /// Does `work`, which withholds free pages or slots for longer than an allocation does. An allocation that fails
    /// meanwhile knows that it may find them later. Lock-free if `work` is.
    pub fn withholding<R>(&self, work: impl FnOnce() -> R) -> R {
        self.withheld.during(work)
    }

    /// An attempt to allocate. `None`: it failed, but another thread may have withheld memory, so it has to be made
    /// again.
    pub fn attempt<R>(&self, attempt: impl FnOnce() -> Option<R>) -> Option<Option<R>> {
        let before = self.withheld.seen();
        let found = attempt();
        let is_certain = found.is_some() || (before.is_some() && before == self.withheld.seen());
        is_certain.then_some(found)
    }
}

/// For allocations that fail while another thread withholds memory.
#[cfg(not(modelled))]
impl<const CLASSES: usize> Slabs<CLASSES> {
    /// A number that changes when something is published, or when fewer threads withhold memory. The caller's own work
    /// that is over does not change it.
    pub fn progress(&self) -> u64 {
        let version = self.buddy.version().wrapping_add(self.bitmaps.version());
        withheld::progress(version, self.withheld.count())
    }

    /// Notes that an allocation has waited in vain, as long as one may, for the threads that withhold memory now.
    pub fn note_waited(&self) {
        self.waited.note(self.progress());
    }

    /// Has an allocation waited in vain, without any progress of the others since?
    pub fn has_waited(&self) -> bool {
        self.waited.has(self.progress())
    }
}
