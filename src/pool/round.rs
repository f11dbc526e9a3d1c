//! A round of a sweeper: a sweep of all heaps of a pool in pieces, with whatever time between them.

use alloc::vec::Vec;

use super::{MemoryPool, count};
use crate::heap::HeapId;
use crate::raw::stop::Stop;

/// How far a sweeper has come with a pool. It remembers heaps by their names, so that they may come and go meanwhile.
#[derive(Debug)]
pub(crate) struct Round {
    /// Where to go on: the heap, or else the next one that there is, and the unit.
    heap: HeapId,
    unit: u32,
    /// Has it swept anything?
    begun: bool,
    /// The version of the heap when its part of the round began, and whether anything was done there since.
    version: u64,
    changed: bool,
    /// Blocks of it that were visited since.
    blocks: u64,
    /// Heaps in which there was nothing to do, and their versions then: while nothing is published there, nothing can be
    /// merged.
    at_rest: Vec<(HeapId, u64)>,
}

/// What a piece was.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Piece {
    /// Units that it passed over.
    pub units: u32,
    /// Pairs of buddies that it merged.
    pub merges: u64,
    /// The round is over; the next piece begins another one.
    pub is_last: bool,
}

impl MemoryPool {
    /// Merges the next piece, of so many units at most, of the heaps that are not at rest. With the last piece of a heap goes
    /// the tidying of its stacks, O(entries), which ends soon after `stop` says so; with the first of a round, what threads left that are gone or is on its way
    /// between threads goes back to the heaps. Lock-free; abandoned anywhere, it harms nothing, as a sweep.
    ///
    /// Other threads are not asked to flush their caches: that would cost them something in each round.
    pub(crate) fn sweep_piece(&self, round: &mut Round, units: u32, stop: &dyn Fn() -> bool) -> Piece {
        if round.is_new() {
            self.collect();
        }
        let pinned = self.heaps.pin();
        let view = pinned.view();
        if round.is_new() {
            self.reach(&pinned).reclaim(None);
        }
        while let Some(heap) = view.from(round.heap) {
            if heap.id != round.heap {
                (round.heap, round.unit) = (heap.id, 0);
            }
            let (buddy, from) = (heap.buddy(), round.unit);
            if from == 0 {
                (round.version, round.changed, round.blocks) = (buddy.version(), false, 0);
                if round.at_rest.contains(&(heap.id, round.version)) {
                    round.go_on();
                    continue;
                }
            }
            round.begun = true;
            let (sweep, next) = buddy.merge_piece(from, units);
            round.changed |= sweep.merges > 0 || !sweep.is_settled();
            round.blocks += sweep.blocks;
            if next >= buddy.geometry().units() {
                let mut stop = Stop::when(stop);
                round.changed |= buddy.finish_pieces(round.blocks, &mut stop) > 0 || stop.is_stopped();
                round.note_rest();
                round.go_on();
            } else {
                round.unit = next;
            }
            count(&self.counters.merges, sweep.merges);
            // What lies inside one large block is not looked at.
            return Piece { units: next.wrapping_sub(from).min(units), merges: sweep.merges, is_last: false };
        }
        count(&self.counters.sweeps, u64::from(round.begun));
        round.at_rest.retain(|(heap, _)| view.get(*heap).is_some());
        round.restart();
        Piece { is_last: true, ..Piece::default() }
    }
}

/// The first round, at its beginning.
impl Default for Round {
    fn default() -> Self {
        Self { heap: HeapId(0), unit: 0, begun: false, version: 0, changed: false, blocks: 0, at_rest: Vec::new() }
    }
}

impl Round {
    fn restart(&mut self) {
        (self.heap, self.unit, self.begun) = (HeapId(0), 0, false);
    }

    /// Is the next piece the first one?
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
