//! Pages of a heap that grows, and spans of them.

use super::{Entry, Found, Runs};
use crate::raw::order::{BlockIndex, Order};
use crate::sync::Ordering;

/// Pages by which a heap grows at least.
#[cfg(not(all(loom, feature = "loom")))]
const LEAST_GROWTH: u32 = 64;
/// Under loom one: no model has 64.
#[cfg(all(loom, feature = "loom"))]
const LEAST_GROWTH: u32 = 1;
/// It grows by this part of what it is.
pub(super) const GROWTH_PART: u32 = 16;
/// Memory may become scarce where a heap has grown to this part of its limit.
const SCARCE_PART: u32 = 16;
impl<const CLASSES: usize> Runs<CLASSES> {
    /// Allocates a span of `pages` pages, aligned to a block of `align`, within the first `limit` pages of the heap. The second
    /// value: all of them are clean. Lock-free.
    pub fn alloc_span(&self, pages: u32, align: Order, limit: u32) -> Option<(u32, bool)> {
        let (head, fresh) = self.take_span(pages, align, limit)?;
        self.set(head, Entry::span(pages));
        Some((head, fresh))
    }

    pub(super) fn take_span(&self, pages: u32, align: Order, limit: u32) -> Option<(u32, bool)> {
        // Relaxed: a hint.
        let hint = self.hint.load(Ordering::Relaxed);
        // Only where memory may become scarce: it takes large blocks to pieces.
        let is_odd =
            !pages.is_power_of_two() && align == Order::ZERO && self.grown() >= limit.min(self.pages) / SCARCE_PART;
        let fits = is_odd && hint > 0 && u64::from(hint) + u64::from(pages) <= u64::from(self.grown());
        let head = loop {
            if fits && self.buddy.alloc_span_at(BlockIndex::new(hint), pages) {
                break hint;
            }
            if let Some(block) = self.buddy.alloc_span(pages, align) {
                break block.get();
            }
            if !self.close_idle(pages) && !self.grow(pages, align, limit) {
                break self.buddy.alloc_span_slow(self.grown(), pages, align)?.get();
            }
        };
        // Relaxed, both: a hint, and a number.
        if is_odd {
            self.hint.store(head + pages, Ordering::Relaxed);
        }
        self.taken.fetch_add(pages, Ordering::Relaxed);
        Some((head, self.count_out(head, pages) == pages))
    }

    /// Adds pages, so that there is a span of so many among them. False: it may not.
    #[cold]
    fn grow(&self, pages: u32, align: Order, limit: u32) -> bool {
        let limit = limit.min(self.pages);
        let Some(order) = Order::covering(pages as usize).map(|order| order.max(align)) else { return false };
        // Relaxed: a guess, which the exchange checks.
        let mut grown = self.grown.load(Ordering::Relaxed);
        loop {
            let gap = self.buddy.geometry().gap(BlockIndex::new(grown), order);
            let needed = u64::from(grown) + u64::from(gap) + u64::from(order.units());
            if needed > u64::from(limit) {
                return false;
            }
            let wanted = grown.saturating_add(LEAST_GROWTH.max(grown / GROWTH_PART)).min(limit);
            let end = wanted.max(needed as u32);
            // Relaxed, both: the pages are published below, by their states.
            match self.grown.compare_exchange_weak(grown, end, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => {
                    self.buddy.extend(grown..end);
                    return true;
                }
                Err(now) => grown = now,
            }
        }
    }

    /// Releases a span that begins at this page, which is the caller's; false, if none does.
    pub fn release_span(&self, head: u32) -> bool {
        let Found::Span { pages } = self.find(head) else { return false };
        self.count_free(head, pages);
        self.buddy.release_span(BlockIndex::new(head), pages);
        true
    }

    /// Resizes a span, which is the caller's, where it is, within the first `limit` pages; false, if none begins there or there is
    /// no room behind it.
    pub fn resize_span(&self, head: u32, pages: u32, limit: u32) -> bool {
        let Found::Span { pages: from } = self.find(head) else { return false };
        let block = BlockIndex::new(head);
        if pages < from {
            self.count_free(head + pages, from - pages);
            self.buddy.shrink_span(block, from, pages);
        } else if pages > from {
            let end = u64::from(head) + u64::from(pages);
            // The last one of a heap may be longer than that is.
            let is_there = end <= u64::from(self.grown())
                || self.grow(end.saturating_sub(u64::from(self.grown())) as u32, Order::ZERO, limit);
            if !is_there || end > u64::from(self.grown()) || !self.buddy.grow_span(block, from, pages) {
                return false;
            }
            self.count_out(head + from, pages - from);
        }
        self.set(head, Entry::span(pages));
        true
    }

    /// Free pages, but for idle runs. O(pages); while others allocate, about so many.
    pub fn free(&self) -> u64 {
        let mut free = 0;
        self.buddy.scan_first(self.grown(), |order| free += u64::from(order.units()));
        free
    }
}
