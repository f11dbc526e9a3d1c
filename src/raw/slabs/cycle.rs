//! A cycle of a sweeper over the pages of a heap, in steps: it closes idle slabs, merges free blocks, and on request
//! discards the memory behind free pages. Any time may pass between two steps.

use super::pages::Slabs;
use crate::raw::order::BlockIndex;
use crate::raw::sweep::steps::Cursor;
use crate::thread;

/// Which free pages are discarded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Discards {
    /// None.
    #[default]
    Nothing,
    /// Pages that an earlier cycle found free and dirty, and that are so still.
    Old,
    /// The same, and clean ones: they may be in memory with the same huge page.
    OldAndClean,
    /// All.
    All,
}

/// The position of a sweeper; by default, the beginning of its first cycle.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cycle {
    discards: Discards,
    phase: Phase,
    /// The page to go on with.
    at: u32,
    /// The place of the merge.
    cursor: Cursor,
    /// Version of the heap when a cycle found nothing to merge. While it stays, there is nothing to merge.
    rest: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Begin,
    Close,
    Merge,
    /// The block to go on in.
    Discard(BlockIndex),
}

/// Result of a step.
#[derive(Clone, Copy, Debug, Default)]
pub struct Step {
    /// Pages that it passed over, or work of the same cost.
    pub pages: u32,
    /// Pairs of buddies that it merged.
    pub merges: u64,
    /// Clean pages that it discarded beside dirty ones.
    pub clean: u32,
    /// The cycle is over; the next step begins another one.
    pub is_last: bool,
}

impl Cycle {
    /// Is the next step the first one of a cycle?
    pub fn is_new(&self) -> bool {
        self.phase == Phase::Begin
    }

    /// Sets the pages that the cycle which begins discards at its end.
    pub fn set_discards(&mut self, discards: Discards) {
        self.discards = discards;
    }
}

impl<const CLASSES: usize> Slabs<CLASSES> {
    /// The next step of a cycle, of at most `pages` pages, at least one; tidying the stacks is one step. `discard` is
    /// as in [`discard`](Self::discard). Lock-free; abandoning it anywhere does no harm.
    pub fn sweep_step(&self, cycle: &mut Cycle, pages: u32, discard: impl FnMut(u32, u32) -> bool) -> Step {
        self.withholding(|| self.step(cycle, pages, discard))
    }

    fn step(&self, cycle: &mut Cycle, pages: u32, discard: impl FnMut(u32, u32) -> bool) -> Step {
        let grown = self.grown();
        let (from, end) = (cycle.at, cycle.at.saturating_add(pages.max(1)).min(grown));
        match cycle.phase {
            Phase::Begin => {
                self.give_spares();
                cycle.cursor = self.buddy.cursor();
                let is_at_rest = cycle.rest == Some(cycle.cursor.version()) && self.idle() == 0;
                cycle.phase = if is_at_rest { Phase::Discard(BlockIndex::new(0)) } else { Phase::Close };
                Step::default()
            }
            Phase::Close if from < end => {
                self.close_idle(from..end);
                cycle.at = end;
                Step { pages: end - from, ..Step::default() }
            }
            Phase::Close => {
                (cycle.phase, cycle.at) = (Phase::Merge, 0);
                Step::default()
            }
            Phase::Merge if cycle.cursor.next() < grown => {
                let pages = pages.max(1).min(grown - cycle.cursor.next());
                let (merges, pages) = self.buddy.step(&mut cycle.cursor, pages, thread::sweep_shard());
                Step { pages, merges, ..Step::default() }
            }
            Phase::Merge => {
                cycle.rest = self.buddy.end_cycle(&cycle.cursor, thread::sweep_shard());
                cycle.phase = Phase::Discard(BlockIndex::new(0));
                Step::default()
            }
            Phase::Discard(block) => {
                let (next, clean) = match cycle.discards {
                    Discards::Nothing => (None, 0),
                    Discards::Old | Discards::All if self.dirty() == 0 => (None, 0),
                    which => self.discard_step(block, from, pages.max(1), which, discard),
                };
                let (block, at, cost) = next.unwrap_or((BlockIndex::new(0), 0, 0));
                (cycle.phase, cycle.at) = (if next.is_some() { Phase::Discard(block) } else { Phase::Begin }, at);
                Step { pages: cost, merges: 0, clean, is_last: next.is_none() }
            }
        }
    }
}
