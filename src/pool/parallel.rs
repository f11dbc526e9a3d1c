//! A sweep by several threads, with rayon.

extern crate std;

use alloc::vec::Vec;
use std::panic;

use rayon::prelude::*;

use super::MemoryPool;
use crate::id::HeapId;
use crate::raw::{Buddy, Order, Sweep};
use crate::stats::SweepReport;
use crate::thread;

/// The part of a heap that one task merges: 65 536 units, a few hundred microseconds if all are single.
const PART: Option<Order> = Order::new(16);

impl MemoryPool {
    /// Sweeps as [`sweep`](Self::sweep), with the threads of rayon. Heaps are cut into parts of 65 536 smallest
    /// blocks, which are merged at the same time. One thread tidies the free stacks of a heap afterwards; several
    /// heaps are tidied at the same time. The report is that of `sweep`.
    ///
    /// Of use where a program waits for the sweep of a heap with hundreds of thousands of blocks, or of several such
    /// heaps, and has processors to spare. For merging beside the program's work there is the
    /// [`Sweeper`](crate::Sweeper).
    ///
    /// It runs in the calling thread's rayon pool; [`ThreadPool::install`](rayon::ThreadPool::install) chooses
    /// another one. Where rayon can't start its threads, this is `sweep`.
    ///
    /// # Progress
    ///
    /// The merging is lock-free. The calling thread waits for the others.
    ///
    /// # Complexity
    ///
    /// O(blocks) in all.
    ///
    /// # Examples
    ///
    /// ```
    /// # let pool = mempool::MemoryPool::new();
    /// # let mut heap = vec![0u8; 1 << 20];
    /// # pool.add_heap(heap.as_mut_ptr(), heap.len())?;
    /// println!("{}", pool.sweep_parallel());
    /// # Ok::<(), mempool::AddHeapError>(())
    /// ```
    #[cfg_attr(docsrs, doc(cfg(feature = "rayon")))]
    pub fn sweep_parallel(&self) -> SweepReport {
        // It panics where the threads can't be started.
        if panic::catch_unwind(rayon::current_num_threads).is_err() {
            return self.sweep();
        }
        let pinned = self.begin_sweep();
        let heaps: Vec<HeapId> = pinned.view().by_age().map(|heap| heap.id).collect();
        self.swept(&sum(heaps.into_par_iter().map(|heap| self.sweep_steps(heap))))
    }

    fn sweep_steps(&self, heap: HeapId) -> Sweep {
        // Looked up anew for each step: it may be another thread that merges that, and heaps come and go.
        let with = |run: &dyn Fn(&Buddy) -> Sweep| {
            self.heaps.pin().view().get(heap).map_or_else(Sweep::default, |heap| run(heap.buddy()))
        };
        let order = PART.unwrap_or(Order::MAX);
        let steps = self.heaps.pin().view().get(heap).map(|heap| heap.buddy().steps(order).collect::<Vec<_>>());
        let steps = steps.unwrap_or_default().into_par_iter();
        let mut total = sum(steps
            .map(|step| with(&|buddy| buddy.merge_step(step.start, step.end - step.start, thread::sweep_shard()).0)));
        let seams = with(&|buddy| buddy.merge_seams(order, thread::sweep_shard()));
        // These blocks were visited before.
        total.add(&Sweep { blocks: 0, free_units: 0, largest_found: None, ..seams });
        let blocks = total.blocks;
        total.add(&with(&|buddy| Sweep {
            dropped: buddy.finish_steps(blocks, thread::sweep_shard()),
            ..Sweep::default()
        }));
        total
    }
}

fn sum(sweeps: impl ParallelIterator<Item = Sweep>) -> Sweep {
    sweeps.reduce(Sweep::default, |mut total, sweep| {
        total.add(&sweep);
        total
    })
}
