//! Which pages have memory behind them, how many may have, and how free ones are made to have none.
//!
//! All but `begun` and `ended` of these are numbers that bound what is kept, and nothing else depends on them: each is read and written relaxed, and
//! may be a little wrong while several threads count.

use core::ops::ControlFlow;

use super::{Entry, Slabs};
use crate::raw::order::{BlockIndex, Order};
use crate::sync::{AtomicU32, AtomicU64, Ordering, fence};
use crate::thread;

/// Parts of the most pages that were in use, of which [`Resident::slack`] counts dirty ones.
const PARTS: u32 = 256;
/// So many parts may be dirty when the heap has grown to what it is.
const LEAST_SLACK: u32 = 8;
/// So many later, when pages were discarded again and again.
const MOST_SLACK: u32 = 256;
/// Besides these.
const LEAST_DIRTY: u32 = 16;
/// A heap is visited in so many stretches, the last one first.
const STRETCHES: u32 = 16;
/// More by this part is growth, or a rise.
const RISE_PART: u32 = 128;
/// If it is so many pages at least.
const LEAST_RISE: u32 = 8;
/// A heap is calm after so many slabs in surplus without a rise.
const CALM: u32 = 64;
/// To discard a page takes as long as to look at so many.
#[cfg(not(modelled))]
const DISCARD_COST: u32 = 16;
/// To call for that takes as long as to look at so many.
#[cfg(not(modelled))]
const CALL_COST: u32 = 256;
/// Under loom both one: a piece of a page is one page, and of a few may be all.
#[cfg(modelled)]
const DISCARD_COST: u32 = 1;
#[cfg(modelled)]
const CALL_COST: u32 = 1;

/// Counts of pages.
#[derive(Debug)]
pub(super) struct Resident {
    /// Those of spans and slabs.
    out: AtomicU32,
    /// Free ones that are dirty.
    dirty: AtomicU32,
    /// The most that were out.
    most_out: AtomicU32,
    /// What that was when it had last grown.
    grown: AtomicU32,
    /// How many parts of the most may be dirty.
    slack: AtomicU32,
    /// How many were out or dirty at the last rise.
    level: AtomicU32,
    /// How often there was a rise.
    rises: AtomicU32,
    /// How often a slab was in surplus since.
    surplus: AtomicU32,
    /// How often threads began to take free pages in hand, for longer than it takes to allocate or to release some,
    begun: AtomicU32,
    /// and how often they were done.
    ended: AtomicU32,
    /// What the others had come to when an allocation had waited for them in vain.
    #[cfg_attr(modelled, expect(dead_code, reason = "allocators, which wait, are not modelled"))]
    waited: AtomicU64,
}

fn read(number: &AtomicU32) -> u32 {
    // Relaxed: a number.
    number.load(Ordering::Relaxed)
}

fn write(number: &AtomicU32, to: u32) {
    // Relaxed: a number.
    number.store(to, Ordering::Relaxed);
}

const fn is_rise(from: u32, to: u32) -> bool {
    let part = from / RISE_PART;
    to > from.saturating_add(if part > LEAST_RISE { part } else { LEAST_RISE })
}

impl Resident {
    pub(super) fn new() -> Self {
        Self {
            out: AtomicU32::new(0),
            dirty: AtomicU32::new(0),
            most_out: AtomicU32::new(0),
            grown: AtomicU32::new(0),
            slack: AtomicU32::new(LEAST_SLACK),
            level: AtomicU32::new(0),
            rises: AtomicU32::new(0),
            surplus: AtomicU32::new(0),
            begun: AtomicU32::new(0),
            ended: AtomicU32::new(0),
            waited: AtomicU64::new(0),
        }
    }

    /// Pages of spans and slabs.
    pub(super) fn out(&self) -> u32 {
        read(&self.out)
    }

    fn dirty(&self) -> u32 {
        // Below zero for a moment.
        let dirty = read(&self.dirty);
        if dirty as i32 > 0 { dirty } else { 0 }
    }

    /// How many dirty pages there may be.
    fn most_dirty(&self) -> u32 {
        let most = read(&self.most_out);
        // Whole parts, and one at least: heaps of fewer pages than there are parts keep some, too.
        let slack = (most / PARTS).max(1).saturating_mul(read(&self.slack)).min(most);
        most.saturating_add(slack).saturating_add(LEAST_DIRTY).saturating_sub(self.out())
    }

    fn rise(&self) {
        // Relaxed: a number.
        self.rises.fetch_add(1, Ordering::Relaxed);
        write(&self.surplus, 0);
    }

    /// There is a slab more without a live slot than there should be: has that been so often since the heap rose last? Then it opens
    /// again what it closes.
    pub(super) fn is_calm(&self) -> bool {
        let surplus = read(&self.surplus);
        if surplus < CALM {
            write(&self.surplus, surplus + 1);
        }
        surplus >= CALM
    }

    /// Takes note of what there is now; true, if that is too much.
    fn count(&self) -> bool {
        let (out, dirty) = (self.out(), self.dirty());
        if out > read(&self.most_out) {
            write(&self.most_out, out);
            if is_rise(read(&self.grown), out) {
                write(&self.grown, out);
                write(&self.slack, LEAST_SLACK);
            }
        }
        let resident = out.saturating_add(dirty);
        if is_rise(read(&self.level), resident) {
            write(&self.level, resident);
            self.rise();
        }
        let is_excessive = dirty > self.most_dirty();
        if is_excessive {
            write(&self.slack, (read(&self.slack) * 9).div_ceil(8).min(MOST_SLACK));
        }
        is_excessive
    }
}

impl<const CLASSES: usize> Slabs<CLASSES> {
    /// Counts pages that were free as such that are not; returns how many of them are clean.
    pub(super) fn count_out(&self, head: u32, pages: u32) -> u32 {
        // Whoever released a page said before that it is dirty.
        let clean = (head..head + pages).filter(|page| !self.is_dirty(*page)).count() as u32;
        // Relaxed, both: numbers.
        self.resident.out.fetch_add(pages, Ordering::Relaxed);
        self.resident.dirty.fetch_sub(pages - clean, Ordering::Relaxed);
        clean
    }

    /// Marks pages that are about to be released.
    pub(super) fn mark_free(&self, head: u32, pages: u32) {
        let entries = self.map.get(head as usize..(head + pages) as usize);
        // Relaxed: as in `set`.
        entries.into_iter().flatten().for_each(|entry| entry.store(Entry::DIRTY.0, Ordering::Relaxed));
    }

    /// Counts pages that are about to be released.
    pub(super) fn count_free(&self, pages: u32) {
        // Relaxed, both: numbers.
        self.resident.out.fetch_sub(pages, Ordering::Relaxed);
        self.resident.dirty.fetch_add(pages, Ordering::Relaxed);
    }

    fn is_dirty(&self, page: u32) -> bool {
        self.entry(page).is_dirty()
    }

    /// Hands the stretches of a span that may be dirty to `visit`: a page and how many. For who has allocated it and has it still; until it
    /// is released, its pages are marked as they were when they were free, but for the first.
    pub fn visit_dirty(&self, head: u32, pages: u32, mut visit: impl FnMut(u32, u32)) {
        let (mut start, end) = (head, head + pages);
        while start < end {
            let stretch = 1 + (start + 1..end).take_while(|page| self.is_dirty(*page)).count() as u32;
            visit(start, stretch);
            start = (start + stretch..end).find(|page| self.is_dirty(*page)).unwrap_or(end);
        }
    }

    /// Pages that were used, and not discarded since: no others are in memory.
    #[cfg(not(modelled))]
    pub fn resident(&self) -> u32 {
        self.resident.out().saturating_add(self.dirty()).min(self.grown())
    }

    /// Free pages that are dirty.
    pub fn dirty(&self) -> u32 {
        self.resident.dirty()
    }

    /// Is it time to discard dirty pages? It is when there are more than a part of the most that was ever in use. A small part
    /// where the heap has just grown to that, so that what a program needs most is not much more than it must be; a
    /// larger one each time that this did not do for long.
    pub fn is_excessive(&self) -> bool {
        self.resident.count()
    }

    /// How often more pages became resident than ever before, by a part of them that counts; or were wanted, and not to be had.
    pub fn rises(&self) -> u32 {
        read(&self.resident.rises)
    }

    /// More pages are wanted than there are.
    pub fn note_want(&self) {
        self.resident.rise();
    }

    /// Does what has free pages, or slots, in its hand for longer than it takes to allocate or to release some: an allocation that fails
    /// meanwhile knows that it may find them later. Lock-free if that is.
    pub fn withholding<R>(&self, work: impl FnOnce() -> R) -> R {
        self.begin_withholding();
        let result = work();
        self.end_withholding();
        result
    }

    fn begin_withholding(&self) {
        // Relaxed: the fence publishes it.
        self.resident.begun.fetch_add(1, Ordering::Relaxed);
        // Release: pairs with the fence in `withheld`; who has read anything that this thread writes from now on sees that it has begun.
        fence(Ordering::Release);
    }

    fn end_withholding(&self) {
        // Release: pairs with the Acquire in `withheld`; who sees it finds what was in hand.
        self.resident.ended.fetch_add(1, Ordering::Release);
    }

    /// How often threads took free pages in hand for long; `None`, if one may have some now. Where two answers are the same number none
    /// had any in between.
    fn withheld(&self) -> Option<u32> {
        // Acquire: pairs with the fence in `begin_withholding`. Who came upon what is in somebody's hand has read what that one wrote: the
        // state of a block, the word of a bitmap, or how many slabs are idle.
        fence(Ordering::Acquire);
        // Acquire: pairs with the Release in `end_withholding`.
        let ended = self.resident.ended.load(Ordering::Acquire);
        // Relaxed: the fence orders it.
        let begun = self.resident.begun.load(Ordering::Relaxed);
        // None began between the two loads.
        (begun == ended).then_some(begun)
    }

    /// An attempt to allocate. `None`: it failed, but another thread may have had free pages in hand for long, so that it is to be made
    /// again.
    pub fn attempt<R>(&self, attempt: impl FnOnce() -> Option<R>) -> Option<Option<R>> {
        let before = self.withheld();
        let found = attempt();
        let is_certain = found.is_some() || (before.is_some() && before == self.withheld());
        is_certain.then_some(found)
    }
}

/// For allocations that fail beside a thread that has pages in hand.
#[cfg(not(modelled))]
impl<const CLASSES: usize> Slabs<CLASSES> {
    /// What there is to wait for: a number that is another one when something was published, or as many threads have pages in hand no more. By
    /// what is done and over, as the caller's own, it stays as it is.
    pub fn progress(&self) -> u64 {
        let version = self.buddy.version().wrapping_add(self.bitmaps.version());
        // Acquire: pairs with the Release in `end_withholding`. Who is done has published what it had.
        let done = self.resident.ended.load(Ordering::Acquire);
        let in_hand = read(&self.resident.begun).wrapping_sub(done);
        version.rotate_left(u32::BITS) ^ u64::from(in_hand)
    }

    /// An allocation has waited in vain, as long as one may, for who has pages in hand now.
    pub fn note_waited(&self) {
        // Relaxed: only equality with what is seen again matters.
        self.resident.waited.store(self.progress(), Ordering::Relaxed);
    }

    /// Has one, and the others have come to nothing else since?
    pub fn has_waited(&self) -> bool {
        // Relaxed: as above.
        self.resident.waited.load(Ordering::Relaxed) == self.progress()
    }
}

impl<const CLASSES: usize> Slabs<CLASSES> {
    /// Hands free blocks of at least `order` with dirty pages to `discard`, which may discard what is in them, and says whether it
    /// did. `all` of them, and those without; else as long as there are many dirty pages, at the end of the heap first, which is used least.
    /// O(blocks). Lock-free.
    pub fn discard(&self, order: Order, all: bool, mut discard: impl FnMut(u32, u32) -> bool) {
        let enough = if all { 0 } else { self.resident.most_dirty() / 2 };
        let mut visit = |block: BlockIndex, order: Order| {
            let pages = || block.get()..block.after(1, order).get();
            let dirty = pages().filter(|page| self.is_dirty(*page)).count() as u32;
            // Of huge pages a clean one may be resident, because another one was used.
            if (dirty > 0 || all) && discard(block.get(), order.units()) {
                pages().filter(|page| self.is_dirty(*page)).for_each(|page| self.set(page, Entry::DISCARDED));
                // Relaxed: a number.
                self.resident.dirty.fetch_sub(dirty, Ordering::Relaxed);
            }
            if all || self.dirty() > enough { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        self.withholding(|| {
            // What begins in a stretch is visited from its beginning to its end.
            let (mut end, stretch) = (self.grown(), (self.grown() / STRETCHES).max(1));
            while end > 0 {
                let start = end.saturating_sub(stretch);
                if self.buddy.visit_free(start..end, order, thread::shard(), &mut visit).is_break() {
                    break;
                }
                end = start;
            }
        });
        if all {
            write(&self.resident.most_out, self.resident.out());
        }
    }

    /// Discards, as `discard` does, pages that are free and dirty, from page `from` of `first` on, or from the block behind that: `all`
    /// of them, or only those that were so already when this came by before; the others are marked as such. At most so many pages, or
    /// what takes as long; returns where to go on, and how much it was. `None`: it came to the end. Lock-free.
    pub(super) fn discard_step(
        &self,
        first: BlockIndex,
        from: u32,
        pages: u32,
        all: bool,
        mut discard: impl FnMut(u32, u32) -> bool,
    ) -> Option<(BlockIndex, u32, u32)> {
        let (mut left, mut next) = (pages, None);
        let is_due = |page: u32| match self.entry(page) {
            Entry(entry) if entry == Entry::OLD.0 => true,
            entry => all && entry.is_dirty(),
        };
        let visit = |block: BlockIndex, order: Order| {
            let (mut at, end) = (block.get().max(from), block.after(1, order).get());
            while at < end {
                if left == 0 {
                    next = Some((block, at, pages));
                    return ControlFlow::Break(());
                }
                let most = (left / DISCARD_COST).clamp(1, end - at);
                let due = (at..at + most).take_while(|page| is_due(*page)).count() as u32;
                if due > 0 && discard(at, due) {
                    (at..at + due).for_each(|page| self.set(page, Entry::DISCARDED));
                    // Relaxed: a number.
                    self.resident.dirty.fetch_sub(due, Ordering::Relaxed);
                }
                if due == 0 && self.entry(at).is_dirty() {
                    self.set(at, Entry::OLD);
                }
                let cost = if due == 0 { 1 } else { CALL_COST + due * DISCARD_COST };
                left = left.saturating_sub(cost);
                at += due.max(1);
            }
            ControlFlow::Continue(())
        };
        let (grown, end) = (self.grown(), first.get().max(from).saturating_add(pages));
        if self.buddy.visit_free(first.get()..end.min(grown), Order::ZERO, thread::shard(), visit).is_continue() {
            // Not inside of a block, which was visited to its end.
            let end = if end < grown { self.buddy.next_head(BlockIndex::new(end)) } else { grown };
            next = (end < grown).then_some((BlockIndex::new(end), end, pages));
        }
        if next.is_none() && all {
            write(&self.resident.most_out, self.resident.out());
        }
        next
    }
}
