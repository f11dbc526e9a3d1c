//! Free pages are counted, and the memory behind them discarded.

use core::ops::ControlFlow;

use super::cycle::Discards;
use super::page_map::Entry;
use super::pages::Slabs;
use super::resident::{read, write};
use crate::raw::order::{BlockIndex, Order};
use crate::sync::{Ordering, model_or};
use crate::thread;

/// A heap is discarded in this many slices, the last one first.
const SLICES: u32 = 16;
/// To discard a page takes as long as to look at this many pages.
/// Under loom one: a step of a model is one page.
const DISCARD_COST: u32 = model_or(1, 16);
/// A call of the operating system takes as long as to look at this many pages.
/// Under loom one: a few pages may be all that there are.
const CALL_COST: u32 = model_or(1, 256);
/// The system may have memory for this whole number of pages, a huge page, because one of them was used.
/// Under loom for single pages.
const HUGE: u32 = model_or(1, 512);

/// How many free pages are discarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Dirty ones, until half of those that there may be are left.
    Half,
    /// All dirty ones.
    Dirty,
    /// All: a clean page may be in memory with the same huge page as a used one.
    All,
}

impl<const CLASSES: usize> Slabs<CLASSES> {
    /// Counts pages as no longer free; returns how many of them are clean. `None`: more than the limit would be in use.
    pub(super) fn count_out(&self, head: u32, pages: u32) -> Option<u32> {
        // The thread that released a page marked it as dirty before. The heap has all of these pages.
        let entries = self.map.get(head as usize..(head + pages) as usize).unwrap_or(&[]);
        // Relaxed: as in `entry`.
        let dirty = entries.iter().filter(|entry| Entry(entry.load(Ordering::Relaxed)).is_dirty()).count() as u32;
        self.resident.take(pages, self.limit).then(|| {
            // Relaxed: a number.
            self.resident.dirty.fetch_sub(dirty, Ordering::Relaxed);
            pages - dirty
        })
    }

    /// Has the heap grown beyond its limit, and are more pages dirty or in use than that? It must discard some then.
    #[cfg(not(modelled))]
    pub fn is_over_limit(&self) -> bool {
        self.grown() > self.limit && self.resident.out().saturating_add(self.dirty()) > self.limit
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

    /// Visits the dirty parts of a span of the caller: `visit` gets the first page and the length of each. The span's
    /// pages are marked as they were when they were free, except the first one, which counts as dirty.
    pub fn visit_dirty(&self, head: u32, pages: u32, mut visit: impl FnMut(u32, u32)) {
        let (mut start, end) = (head, head + pages);
        while start < end {
            let len = 1 + (start + 1..end).take_while(|page| self.is_dirty(*page)).count() as u32;
            visit(start, len);
            start = (start + len..end).find(|page| self.is_dirty(*page)).unwrap_or(end);
        }
    }

    /// Pages that were used and not discarded since. Others are not in memory.
    #[cfg(not(modelled))]
    pub fn resident(&self) -> u32 {
        self.resident.out().saturating_add(self.dirty()).min(self.grown())
    }

    /// Free pages that are dirty.
    pub fn dirty(&self) -> u32 {
        self.resident.dirty()
    }

    /// Pages in memory that nobody uses: dirty ones, and those of idle slabs.
    #[cfg(not(modelled))]
    pub fn unused(&self) -> u32 {
        self.dirty().saturating_add(self.idle())
    }

    /// Pages of spans, and of slabs that are not idle.
    #[cfg(not(modelled))]
    pub fn used(&self) -> u32 {
        self.resident.out().saturating_sub(self.idle())
    }

    /// Are there too many dirty pages? They may be a part of the most pages that were ever in use. The part is small
    /// when the heap has just grown, so that a program's peak is not much higher than it must be. It becomes larger
    /// with each discard.
    pub fn is_excessive(&self) -> bool {
        self.resident.count()
    }

    /// Number of rises: notably more pages were resident than ever before, or wanted, and not to be had.
    pub fn rises(&self) -> u32 {
        read(&self.resident.rises)
    }

    /// Counts as a rise that more pages are wanted than there are.
    pub fn note_want(&self) {
        self.resident.rise();
    }

    /// Hands free blocks of at least `order` to `discard`, which may discard their memory, and tells whether it did.
    /// The last ones of the heap come first, since they are used least. O(blocks). Lock-free.
    pub fn discard(&self, order: Order, extent: Extent, mut discard: impl FnMut(u32, u32) -> bool) {
        let all = extent == Extent::All;
        let enough = if extent == Extent::Half { self.resident.most_dirty() / 2 } else { 0 };
        let mut visit = |block: BlockIndex, order: Order| {
            let pages = || block.get()..block.after(1, order).get();
            let dirty = pages().filter(|page| self.is_dirty(*page)).count() as u32;
            // A clean page may be resident because another one of its huge page was used.
            if (dirty > 0 || all) && discard(block.get(), order.units()) {
                pages().filter(|page| self.is_dirty(*page)).for_each(|page| self.set(page, Entry::DISCARDED));
                // Relaxed: a number.
                self.resident.dirty.fetch_sub(dirty, Ordering::Relaxed);
            }
            if all || self.dirty() > enough { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        self.withholding(|| {
            // Within a slice, blocks are visited in ascending order.
            let (mut end, len) = (self.grown(), (self.grown() / SLICES).max(1));
            while end > 0 {
                let start = end.saturating_sub(len);
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

    /// A step of discarding: visits free pages from page `from` of block `first` on, and hands the due ones to
    /// `discard`. Dirty ones that are not due become old. Clean pages beside due ones go, too, since they may be in
    /// memory with the same huge page. It visits at most `pages` pages, or does work of the same cost. Returns where to
    /// go on, and the cost, or `None`, if it came to the end; and how many clean pages went. Lock-free.
    pub(super) fn discard_step(
        &self,
        first: BlockIndex,
        from: u32,
        pages: u32,
        which: Discards,
        mut discard: impl FnMut(u32, u32) -> bool,
    ) -> (Option<(BlockIndex, u32, u32)>, u32) {
        let (mut left, mut next, mut clean) = (pages, None, 0);
        let is_due = |page: u32| match self.entry(page) {
            Entry(entry) if entry == Entry::OLD.0 => true,
            entry if entry.is_dirty() => which == Discards::All,
            _ => which == Discards::OldAndClean,
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
                if due == 0 {
                    if self.is_dirty(at) {
                        self.set(at, Entry::OLD);
                    }
                    (left, at) = (left - 1, at + 1);
                    continue;
                }
                let (first, last) = (at / HUGE * HUGE, (at + due).next_multiple_of(HUGE));
                let is_clean = |page: &u32| !self.is_dirty(*page);
                let before = (first.max(block.get())..at).rev().take_while(is_clean).count() as u32;
                let behind = (at + due..last.min(end)).take_while(is_clean).count() as u32;
                if discard(at - before, before + due + behind) {
                    let dirty = (at..at + due).filter(|page| self.is_dirty(*page));
                    let gone = dirty.inspect(|page| self.set(*page, Entry::DISCARDED)).count() as u32;
                    clean += before + due - gone + behind;
                    // Relaxed: a number.
                    self.resident.dirty.fetch_sub(gone, Ordering::Relaxed);
                }
                left = left.saturating_sub(CALL_COST + due * DISCARD_COST);
                at += due + behind;
            }
            ControlFlow::Continue(())
        };
        let (grown, end) = (self.grown(), first.get().max(from).saturating_add(pages));
        if self.buddy.visit_free(first.get()..end.min(grown), Order::ZERO, thread::shard(), visit).is_continue() {
            // The next block: this one was visited to its end.
            let end = if end < grown { self.buddy.next_head(BlockIndex::new(end)) } else { grown };
            next = (end < grown).then_some((BlockIndex::new(end), end, pages));
        }
        if next.is_none() && which == Discards::All {
            write(&self.resident.most_out, self.resident.out());
        }
        (next, clean)
    }
}
