//! A sweeper's cycle over all heaps of a pool, in steps, with any time between them.

use alloc::vec::Vec;

use super::{MemoryPool, count};
use crate::id::HeapId;
use crate::raw::sweep::steps::Cursor;
use crate::thread;

/// A sweeper's place in a pool. It remembers heaps by their ids, so that they may come and go meanwhile.
#[derive(Debug)]
pub(crate) struct Cycle {
    /// The next heap, or the first one after it that is still there; and the place in it. `None`: its beginning.
    heap: HeapId,
    cursor: Option<Cursor>,
    /// The cycle has swept something.
    begun: bool,
    /// Heaps in which there was nothing to merge, and their versions then. While nothing is published there, nothing
    /// can be.
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
    /// Merges the next step, of at most `units` units, of the heaps that are not at rest. The last step of a heap also
    /// tidies its stacks, O(entries). The first step of a cycle also gives back to the heaps what ended threads left
    /// and what is on its way between threads. Lock-free; abandoned anywhere, it harms nothing, as a sweep.
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
                (cycle.heap, cycle.cursor) = (heap.id, None);
            }
            let buddy = heap.buddy();
            let cursor = match cycle.cursor.take() {
                Some(cursor) => cursor,
                None => buddy.cursor(),
            };
            if cycle.at_rest.contains(&(heap.id, cursor.version())) && cursor.next() == 0 {
                cycle.go_on();
                continue;
            }
            cycle.begun = true;
            let cursor = cycle.cursor.insert(cursor);
            let (merges, units) = buddy.step(cursor, units, shard);
            if cursor.next() >= buddy.geometry().units() {
                let rest = buddy.end_cycle(cursor, shard);
                cycle.note_rest(rest);
                cycle.go_on();
            }
            count(&self.counters.merges, merges);
            return Step { units, merges, is_last: false };
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
        Self { heap: HeapId(0), cursor: None, begun: false, at_rest: Vec::new() }
    }
}

impl Cycle {
    fn restart(&mut self) {
        (self.heap, self.cursor, self.begun) = (HeapId(0), None, false);
    }

    /// Is the next step the first one?
    pub(crate) fn is_new(&self) -> bool {
        !self.begun && self.heap == HeapId(0) && self.cursor.is_none()
    }

    /// To the next heap.
    fn go_on(&mut self) {
        (self.heap, self.cursor) = (self.heap.next(), None);
    }

    /// The heap is done, and perhaps at rest.
    fn note_rest(&mut self, rest: Option<u64>) {
        self.at_rest.retain(|(heap, _)| *heap != self.heap);
        self.at_rest.extend(rest.map(|version| (self.heap, version)));
    }
}
