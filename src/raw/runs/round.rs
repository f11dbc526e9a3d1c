//! A round of a sweeper over the pages of a heap, in pieces, with whatever time between them: idle runs are closed, what is free is
//! merged, and where that is wanted the memory behind it is discarded.

use super::Runs;
use crate::raw::order::BlockIndex;
use crate::raw::stop::Stop;

/// Which free pages are discarded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Discards {
    /// None.
    #[default]
    Nothing,
    /// Those that were free, and passed over in this way, once before.
    Old,
    /// All.
    All,
}

/// How far a sweeper has come; by default, to the beginning of its first round.
#[derive(Debug, Default)]
pub struct Round {
    discards: Discards,
    step: Step,
    /// Where to go on.
    at: u32,
    /// The version of the heap when the round began, and whether anything was merged since.
    version: u64,
    changed: bool,
    /// Blocks that were visited since.
    blocks: u64,
    /// The version of the heap when there was nothing to merge: while nothing is published, nothing can be.
    rest: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Step {
    #[default]
    Begin,
    Close,
    Merge,
    /// The block to go on in.
    Discard(BlockIndex),
}

/// What a piece was.
#[derive(Clone, Copy, Debug, Default)]
pub struct Piece {
    /// Pages that it passed over, or what took as long.
    pub pages: u32,
    /// Pairs of buddies that it merged.
    pub merges: u64,
    /// The round is over; the next piece begins another one.
    pub is_last: bool,
}

impl Round {
    /// Is the next piece the first one?
    pub fn is_new(&self) -> bool {
        self.step == Step::Begin
    }

    /// What the round that begins discards, in its end.
    pub fn set_discards(&mut self, discards: Discards) {
        self.discards = discards;
    }
}

impl<const CLASSES: usize> Runs<CLASSES> {
    /// The next piece of a round, of so many pages at most, at least one; but to tidy the stacks is one piece. `discard` is as in
    /// [`discard`](Self::discard). Lock-free; abandoned anywhere, it harms nothing.
    pub fn sweep_piece(&self, round: &mut Round, pages: u32, discard: impl FnMut(u32, u32) -> bool) -> Piece {
        self.with_in_hand(|| self.step(round, pages, discard))
    }

    fn step(&self, round: &mut Round, pages: u32, discard: impl FnMut(u32, u32) -> bool) -> Piece {
        let (from, end) = (round.at, round.at.saturating_add(pages.max(1)).min(self.grown()));
        let passed = |to: u32| Piece { pages: to - from, ..Piece::default() };
        match round.step {
            Step::Begin => {
                (round.version, round.changed, round.blocks) = (self.buddy.version(), false, 0);
                let is_at_rest = round.rest == Some(round.version) && self.idle() == 0;
                round.step = if is_at_rest { Step::Discard(BlockIndex::new(0)) } else { Step::Close };
                Piece::default()
            }
            Step::Close if from < end => {
                self.close_idle(from..end);
                round.at = end;
                passed(end)
            }
            Step::Close => {
                (round.step, round.at) = (Step::Merge, 0);
                Piece::default()
            }
            Step::Merge if from < end => {
                let (sweep, next) = self.buddy.merge_piece(from, end - from);
                round.changed |= sweep.merges > 0 || !sweep.is_settled();
                round.blocks += sweep.blocks;
                round.at = next;
                // What lies inside one large block is not looked at.
                Piece { merges: sweep.merges, ..passed(next.min(end)) }
            }
            Step::Merge => {
                round.changed |= self.buddy.finish_pieces(round.blocks, &mut Stop::never()) > 0;
                round.rest = (!round.changed).then_some(round.version);
                (round.step, round.at) = (Step::Discard(BlockIndex::new(0)), 0);
                Piece::default()
            }
            Step::Discard(block) => {
                let next = match round.discards {
                    _ if self.dirty() == 0 => None,
                    Discards::Nothing => None,
                    which => self.discard_piece(block, from, pages.max(1), which == Discards::All, discard),
                };
                let (block, at, cost) = next.unwrap_or((BlockIndex::new(0), 0, 0));
                (round.step, round.at) = (if next.is_some() { Step::Discard(block) } else { Step::Begin }, at);
                Piece { pages: cost, merges: 0, is_last: next.is_none() }
            }
        }
    }
}
