//! Which free pages have memory behind them, how many there may be, and how they are made to have none.

use super::{Entry, Runs};
use crate::raw::order::Order;
use crate::sync::Ordering;

/// Dirty pages are discarded where they are more than this part of those in use.
const DIRTY_PART: u32 = 16;
/// And more than so many.
const LEAST_DIRTY: u32 = 48;
/// By this part more pages may be resident after each time that dirty ones were discarded.
const HIGHER_PART: u32 = 256;

impl<const CLASSES: usize> Runs<CLASSES> {
    /// Counts pages that were free as such that are not; returns how many of them are clean.
    pub(super) fn count_out(&self, head: u32, pages: u32) -> u32 {
        // Whoever released a page said before that it is dirty.
        let clean = (head..head + pages).filter(|page| self.entry(*page) != Entry::DIRTY.0).count() as u32;
        // Relaxed, all: numbers.
        self.out.fetch_add(pages, Ordering::Relaxed);
        self.dirty.fetch_sub(pages - clean, Ordering::Relaxed);
        clean
    }

    /// Counts pages that are about to be released.
    pub(super) fn count_free(&self, head: u32, pages: u32) {
        for page in head..head + pages {
            self.set(page, Entry::DIRTY);
        }
        // Relaxed, both: numbers.
        self.out.fetch_sub(pages, Ordering::Relaxed);
        self.dirty.fetch_add(pages, Ordering::Relaxed);
    }

    /// Free pages that are dirty.
    pub fn dirty(&self) -> u32 {
        // Relaxed: a number, which may be below zero for a moment.
        let dirty = self.dirty.load(Ordering::Relaxed);
        if dirty as i32 > 0 { dirty } else { 0 }
    }

    fn most_dirty(&self) -> u32 {
        // Relaxed: a number.
        (self.out.load(Ordering::Relaxed) / DIRTY_PART).max(LEAST_DIRTY)
    }

    /// Is it time to discard dirty pages? It is when more pages are resident than ever, though many of them are dirty. Each time, a few
    /// more may be, so that a heap that stays as large as it is soon has what it needs.
    #[inline]
    pub fn is_excessive(&self) -> bool {
        // Relaxed, all: numbers.
        let dirty = self.dirty();
        let resident = self.out.load(Ordering::Relaxed).saturating_add(dirty);
        if resident <= self.high.load(Ordering::Relaxed) {
            return false;
        }
        let is_excessive = dirty > self.most_dirty();
        self.high.store(if is_excessive { resident + resident / HIGHER_PART } else { resident }, Ordering::Relaxed);
        is_excessive
    }

    /// Hands free blocks of at least `order` with dirty pages to `discard`, which may discard what is in them, and says whether it
    /// did. `all` of them; else as long as there are many dirty pages. O(blocks). Lock-free.
    pub fn discard(&self, order: Order, all: bool, mut discard: impl FnMut(u32, u32) -> bool) {
        self.buddy.visit_free(self.grown(), order, |block, order| {
            let pages = || block.get()..block.after(1, order).get();
            let dirty = pages().filter(|page| self.entry(*page) == Entry::DIRTY.0).count() as u32;
            let wanted = dirty > 0 && (all || self.dirty() > self.most_dirty() / 2);
            if wanted && discard(block.get(), order.units()) {
                pages().for_each(|page| self.set(page, Entry::DISCARDED));
                // Relaxed: a number.
                self.dirty.fetch_sub(dirty, Ordering::Relaxed);
            }
        });
    }
}
