//! A cycle of a sweeper: what threads left that are gone, and a sweep of all pages in steps, with whatever time between them.

use crate::cache::thread_registry;
use crate::raw::slabs::{Cycle, Discards, Step};

use super::PoolAllocator;

impl PoolAllocator {
    /// The next step, of so many pages at most, and how many bytes it gave back to the operating system; with the first one of a
    /// cycle goes what threads left that are gone or is on its way between threads. `discards` says what the cycle that begins gives
    /// back in its end. Lock-free but for the operating system's calls; abandoned anywhere, it harms nothing.
    ///
    /// What running threads have cached stays: to ask them for it would cost them something in each cycle.
    pub(crate) fn sweep_step(
        &self,
        cycle: &mut Cycle,
        pages: u32,
        discards: impl FnOnce() -> Discards,
    ) -> (Step, usize) {
        let Some(backend) = self.started_backend() else { return (Step { is_last: true, ..Step::default() }, 0) };
        if cycle.is_new() {
            backend.collect(None, thread_registry());
            // Locked memory stays.
            cycle.set_discards(if self.options.lock { Discards::Nothing } else { discards() });
        }
        backend.heap.sweep_step(cycle, pages)
    }
}
