//! A sweeper's cycle over an allocator, in steps: it takes back the blocks of depots and of ended threads, then
//! sweeps all pages. Any time may pass between two steps.

use crate::raw::slabs::{Cycle, Discards, Step};

use super::pool_allocator::PoolAllocator;

impl PoolAllocator {
    /// The next step, of at most `pages` pages, and how many bytes it gave back to the operating system. The first step
    /// of a cycle asks `discards` which pages the cycle gives back at its end. Lock-free, except for the system's
    /// calls; abandoning it anywhere does no harm.
    ///
    /// The caches of running threads stay as they are: asking for their blocks would cost these threads something in
    /// each cycle.
    pub(crate) fn sweep_step(
        &self,
        cycle: &mut Cycle,
        pages: u32,
        discards: impl FnOnce() -> Discards,
    ) -> (Step, usize) {
        let Some(instance) = self.started() else { return (Step { is_last: true, ..Step::default() }, 0) };
        if cycle.is_new() {
            instance.collect(None);
            // Locked memory stays.
            cycle.set_discards(if self.options.lock { Discards::Nothing } else { discards() });
        }
        instance.backend.heap.sweep_step(cycle, pages)
    }
}
