//! A sweeper's cycle over all heaps of a pool, in steps, with any time between them.

use alloc::vec::Vec;

use super::{MemoryPool, count};
use crate::id::HeapId;
use crate::thread;

/// A sweeper's place in a pool. It remembers heaps by their ids, so that they may come and go meanwhile.
#[derive(Debug)]
pub(crate) struct Cycle {
    /// The next heap, or the first one after it that is still there; and the next unit in it.
    heap: HeapId,
    unit: u32,
    /// The cycle has swept something.
    begun: bool,
    /// The version of the heap when its part of the cycle began, and whether anything was merged there since.
    version: u64,
    changed: bool,
    /// Blocks of it that were visited since.
    blocks: u64,
    /// Heaps in which there was nothing to merge, and their versions then. While nothing is published there, nothing can be.
    at_rest: Vec<(HeapId, u64)>,
}

/// The result of a step.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Step {
    /// Units that the step passed over.
    pub units: u32,
    /// Pairs of buddies that were merged.
    pub merges: u64,
    /// The cycle is over. The next step begins another one.
    pub is_last: bool,
}

impl MemoryPool {
    /// Merges the next step, of so many units at most, of the heaps that are not at rest. With the last step of a heap goes
    /// the tidying of its stacks, O(entries); with the first of a cycle, what threads left that are gone or is on its way
    /// between threads goes back to the heaps. Lock-free; abandoned anywhere, it harms nothing, as a sweep.
    ///
    /// Other threads are not asked to flush their caches: that would cost them something in each cycle.
    pub(crate) fn sweep_step(&self, cycle: &mut Cycle, units: u32) -> Step {
        if cycle.is_new() {
            self.collect();
        }
        let shard = thread::sweep_shard();
        let pinned = self.heaps.pin();
        let view = pinned.view();
        if cycle.is_new() {
            self.reach(&pinned).reclaim(None);
        }
        while let Some(heap) = view.from(cycle.heap) {
            if heap.id != cycle.heap {
                (cycle.heap, cycle.unit) = (heap.id, 0);
            }
            let (buddy, from) = (heap.buddy(), cycle.unit);
            if from == 0 {
                (cycle.version, cycle.changed, cycle.blocks) = (buddy.version(), false, 0);
                if cycle.at_rest.contains(&(heap.id, cycle.version)) {
                    cycle.go_on();
                    continue;
                }
            }
            cycle.begun = true;
            let (sweep, next) = buddy.merge_step(from, units, shard);
            cycle.changed |= sweep.merges > 0 || !sweep.is_settled();
            cycle.blocks += sweep.blocks;
            if next >= buddy.geometry().units() {
                cycle.changed |= buddy.finish_steps(cycle.blocks, shard) > 0;
                cycle.note_rest();
                cycle.go_on();
            } else {
                cycle.unit = next;
            }
            count(&self.counters.merges, sweep.merges);
            // What lies inside one large block is not looked at.
            return Step { units: next.wrapping_sub(from).min(units), merges: sweep.merges, is_last: false };
        }
        count(&self.counters.sweeps, u64::from(cycle.begun));
        cycle.at_rest.retain(|(heap, _)| view.get(*heap).is_some());
        cycle.restart();
        Step { is_last: true, ..Step::default() }
    }
}

/// The first cycle, at its beginning.
impl Default for Cycle {
    fn default() -> Self {
        Self { heap: HeapId(0), unit: 0, begun: false, version: 0, changed: false, blocks: 0, at_rest: Vec::new() }
    }
}

impl Cycle {
    fn restart(&mut self) {
        (self.heap, self.unit, self.begun) = (HeapId(0), 0, false);
    }

    /// Is the next step the first one?
    pub(crate) fn is_new(&self) -> bool {
        !self.begun && (self.heap, self.unit) == (HeapId(0), 0)
    }

    /// To the next heap.
    fn go_on(&mut self) {
        (self.heap, self.unit) = (self.heap.next(), 0);
    }

    /// The heap is done: is there nothing more to do until something is published there?
    fn note_rest(&mut self) {
        self.at_rest.retain(|(heap, _)| *heap != self.heap);
        if !self.changed {
            self.at_rest.push((self.heap, self.version));
        }
    }
}
