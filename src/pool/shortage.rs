//! Allocations past the cache: from the stacks of a heap, by a search, with the help of other threads; and why there is
//! no block.

use core::ptr::NonNull;

use super::scope::Scope;
use super::{MemoryPool, count};
use crate::error::AllocError;
use crate::heaps::Heap;
use crate::raw::search::{SearchEnd, is_enough};
use crate::raw::{self, Class, Exhausted, LastFailure, withheld};
use crate::sync::{model_or, yield_now};
use crate::thread;

/// Most times that an allocation lets other threads run that are giving back cached blocks. A thread that does not end
/// even then is not waited for: in the child of a fork it never does.
/// Under loom few: each costs an execution for every interleaving.
const MAX_FLUSH_WAITS: u32 = model_or(3, 400);

/// No block: what there was instead, or `None` where no heap could ever have it.
pub(super) type Refused = Option<Exhausted>;

impl MemoryPool {
    /// Takes a block past the cache:
    ///
    /// 1. from the stacks of the first heap that has one;
    /// 2. by a search, after the cached blocks within reach went back to the heaps;
    /// 3. the same once more, after the other threads were asked to flush: those that do so in time help;
    /// 4. the same again, while another thread is giving back cached blocks.
    pub(super) fn take_from_heaps(&self, scope: &Scope<'_>, want: Option<Class>) -> Result<NonNull<u8>, Refused> {
        let shard = self.shard();
        let stacks = |want: Class| {
            scope.take_first(want.covering()?, |heap| Some(heap.pointer(heap.buddy().alloc(want, shard)?)))
        };
        if let Some(block) = want.and_then(stacks) {
            return Ok(block);
        }
        let Some(want) = want.filter(|want| want.covering().is_some_and(|order| scope.largest() >= Some(order))) else {
            count(&self.counters.failures, 1);
            return Err(None);
        };
        let Some(last) = scope.last_failure() else { return Err(None) };
        // Only now is the thread's cache of use.
        let now = self.pin();
        let (own, reach) = (self.cache(), self.reach(&now));
        let (mut waits, mut attempts, mut steps) = (0, 0, 0);
        loop {
            let reclaimed = reach.reclaim(own);
            let withheld = self.caches.withheld.count();
            if reclaimed > 0
                && let Some(block) = stacks(want)
            {
                return Ok(block);
            }
            count(&self.counters.searches, u64::from(waits == 0));
            // While nobody publishes anything, another search costs nothing.
            let outcome = self.search_slow(scope, want, last);
            let exhausted = match outcome.found {
                Ok((place, block)) => {
                    let found = scope.heaps().nth(place).ok_or(None)?;
                    // The search has tidied it; and if it should have been looked into before, it will be from now on.
                    found.buddy().tell_of_stacks();
                    return Ok(found.pointer(block));
                }
                Err(exhausted) => exhausted,
            };
            (attempts, steps) = (attempts + outcome.attempts, steps + outcome.steps);
            let asked = waits == 0 && reach.ask_others(own);
            let is_enough = waits == MAX_FLUSH_WAITS || is_enough(attempts, steps);
            let progress = withheld::progress(outcome.version, withheld);
            if is_enough && withheld > 0 {
                last.waited.note(progress);
            }
            if !asked && (withheld == 0 || is_enough || last.waited.has(progress)) {
                count(&self.counters.failures, 1);
                return Err(Some(exhausted));
            }
            waits += 1;
            yield_now();
        }
    }

    #[cold]
    fn search_slow(&self, scope: &Scope<'_>, want: Class, last: &LastFailure) -> SearchEnd {
        let (heaps, shard) = (scope.heaps().map(Heap::buddy), thread::sweep_shard());
        let outcome = match *scope {
            Scope::All(view) => raw::search(heaps, || view.news(), want, last, shard),
            Scope::One(heap) => raw::search(heaps, || heap.buddy().version(), want, last, shard),
        };
        count(&self.counters.sweeps, u64::from(outcome.attempts));
        count(&self.counters.merges, outcome.merges);
        #[cfg(all(feature = "std", not(modelled)))]
        if outcome.attempts > 0 {
            self.wakers.wake();
        }
        outcome
    }

    #[cold]
    pub(super) fn explain(&self, scope: &Scope<'_>, requested: usize, refused: Refused) -> AllocError {
        let capacity = scope.capacity();
        match (refused, scope.largest()) {
            (_, None) => AllocError::NoHeap { requested },
            (None, Some(order)) => {
                AllocError::TooLarge { requested, largest_block: self.config.bytes(order), capacity }
            }
            (Some(Exhausted { largest, free_units }), Some(_)) => AllocError::OutOfMemory {
                requested,
                largest_free: largest.map_or(0, |order| self.config.bytes(order)),
                free: self.config.bytes_of(free_units),
                capacity,
            },
        }
    }
}
