//! Spans are allocated, released and resized, and the heap grows for them.

use core::ops::Range;

use super::page_map::{Entry, Found};
use super::pages::Slabs;
use super::spares::Span;
#[cfg(not(modelled))]
use crate::raw::buddy::NotLive;
use crate::raw::order::{BlockIndex, Order};
use crate::raw::outline::Outlines;
use crate::raw::shards::Shard;
use crate::sync::{Ordering, model_or};
use crate::thread;

/// A heap grows by at least this many pages.
/// Under loom by one: no model has 64.
const LEAST_GROWTH: u32 = model_or(1, 64);
/// A heap grows by at least this part of its pages.
pub(super) const GROWTH_PART: u32 = 16;
/// Spans of at least this many pages are looked for at the beginning of the heap first.
const LARGE: u32 = 16;
/// That search looks at this many blocks for each page of the span, which costs less than to use the page.
const LOOKS: u32 = 16;
/// Heaps of fewer pages keep no spares: there it is better that each span is where it fits best. They have no outlines.
/// Under loom all heaps are smaller: spares and outlines have models of their own.
const LARGE_HEAP: u32 = model_or(1 << 30, 8192);
/// Most pages of a spare.
const LARGEST_SPARE: u32 = 4096;
/// A spare has at most this part of the heap.
const SPARE_PART: u32 = 8;
/// The spares of a shard, if there are several, have at most this part of the heap together.
const SPARES_PART: u32 = 16;
/// Stacks are tidied when this many nodes may be out of place,
/// and [`DISPLACED_PART`] of the pages besides.
const LEAST_DISPLACED: u32 = 32;
/// See [`LEAST_DISPLACED`].
const DISPLACED_PART: u32 = 64;
/// Memory may become scarce when a heap has grown to this part of its limit.
const SCARCE_PART: u32 = 16;

/// How far a heap may grow for an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Growth {
    /// Not at all.
    No,
    /// To as many pages as may be in use.
    ToLimit,
    /// To all its addresses, for an allocation that would fail else: what is free may be scattered.
    Beyond,
}

impl<const CLASSES: usize> Slabs<CLASSES> {
    /// Allocates a span of `pages` pages, aligned to a block of `align`. The second value: all its pages are clean.
    /// Lock-free.
    pub fn alloc_span(&self, pages: u32, align: Order, growth: Growth) -> Option<(u32, bool)> {
        let spare = self.spares.take(thread::shard(), |(head, has)| {
            has == pages && self.buddy.geometry().is_aligned(BlockIndex::new(head), align)
        });
        let (head, is_clean) = match spare {
            Some((head, _)) => (head, false),
            None => self.take_span(pages, align, growth)?,
        };
        self.set(head, Entry::span(pages));
        Some((head, is_clean))
    }

    /// Takes the pages of a span. Where the heap may grow, it is tidied before.
    pub(super) fn take_span(&self, pages: u32, align: Order, growth: Growth) -> Option<(u32, bool)> {
        let grows = growth != Growth::No;
        let limit = match growth {
            Growth::Beyond => {
                // What is spare counts as in use.
                let has_room = || self.resident.has_room(pages, self.limit);
                if !(has_room() || self.give_spares() && has_room()) {
                    return None;
                }
                self.end
            }
            Growth::No | Growth::ToLimit => self.limit,
        };
        self.tidy_stacks(self.most_displaced());
        // Only where memory may become scarce, since it splits large blocks.
        let is_odd = !pages.is_power_of_two() && self.grown() >= self.limit / SCARCE_PART;
        // Relaxed: a hint.
        let hint = if is_odd { self.hint.load(Ordering::Relaxed) } else { 0 };
        let find_from = |start, most, outlines| {
            self.buddy.find_span(start..self.grown(), pages, align, most, thread::shard(), outlines)
        };
        let find = || {
            let first = if pages >= LARGE { find_from(0, pages.saturating_mul(LOOKS), self.outlines()) } else { None };
            first
                .or_else(|| if hint > 0 { find_from(hint, pages, self.outlines()) } else { None })
                .or_else(|| self.take_from_stacks(pages, align))
        };
        // Through all of the heap, for little.
        let find_outlined = || find_from(0, u32::MAX, Some(self.outlines()?));
        let has_more = || if self.outlines().is_some() { self.give_spares() } else { self.tidy_stacks(0) };
        let found = find().or_else(|| {
            let found = if grows && has_more() { find() } else { None };
            found.or_else(find_outlined)
        });
        let head = match found {
            Some(block) => block,
            None if !grows => return None,
            None => loop {
                if !self.tidy(pages) && !self.grow(pages, align, limit) {
                    let find_all = || find_from(0, u32::MAX, None);
                    let found = find_all();
                    break found.or_else(|| if self.grow_tail(pages, align, limit) { find_all() } else { None })?;
                }
                if let Some(block) = find() {
                    break block;
                }
            },
        }
        .get();
        // What is spare counts as in use.
        let count_out = || self.count_out(head, pages);
        let Some(clean) = count_out().or_else(|| if grows && self.give_spares() { count_out() } else { None }) else {
            self.release_free(head, pages);
            return None;
        };
        // Relaxed, both: a hint, and a number.
        if is_odd {
            self.hint.store(head + pages, Ordering::Relaxed);
        }
        self.taken.fetch_add(pages, Ordering::Relaxed);
        Some((head, clean == pages))
    }

    /// Nodes that may be out of place before an allocation tidies. As many as it has to look at for that, in a large
    /// heap: so each pays for itself.
    fn most_displaced(&self) -> u32 {
        let grown = self.grown();
        // Relaxed: a number.
        let entries = if grown >= LARGE_HEAP { self.entries.load(Ordering::Relaxed) } else { 0 };
        LEAST_DISPLACED + entries.max(grown / DISPLACED_PART)
    }

    /// Takes the pages of a span from the stacks.
    fn take_from_stacks(&self, pages: u32, align: Order) -> Option<BlockIndex> {
        let block = self.buddy.alloc_span(pages, align, thread::shard())?;
        // The rest of the block.
        let whole = Order::covering(pages as usize).map_or(pages, |order| order.max(align).units());
        if whole > pages {
            self.note_freed(block.get() + pages..block.get() + whole);
        }
        Some(block)
    }

    /// The outlines, if the heap is large enough for them to be worth it.
    fn outlines(&self) -> Option<&Outlines> {
        (self.grown() >= LARGE_HEAP).then_some(&self.outlines)
    }

    /// Notes that some of these pages were published as free, after that. It may miss that the heap became large just
    /// now. Then an outline hides the pages from searches until the next note, except from the last search before the
    /// heap fails.
    fn note_freed(&self, pages: Range<u32>) {
        if let Some(outlines) = self.outlines() {
            outlines.note_freed(pages);
        }
    }

    /// Gives the spares of a shard back; true, if there were some.
    fn give_spares_of(&self, shard: Shard) -> bool {
        core::iter::from_fn(|| self.give_back(|| self.spares.take(shard, |_| true))).count() > 0
    }

    /// Gives the spare back that `take` takes.
    fn give_back(&self, take: impl FnOnce() -> Option<Span>) -> Option<()> {
        // The thread withholds free pages in between.
        self.withholding(|| take().map(|(head, pages)| self.release_marked(head, pages)))
    }

    /// Gives all spares back; true, if there were some.
    pub(super) fn give_spares(&self) -> bool {
        let given = |shard| self.spares.has(shard) && self.give_spares_of(shard);
        Shard::all().fold(false, |any, shard| given(shard) | any)
    }

    /// Keeps a span that is marked as free already as a spare; false, if not.
    fn keep_spare(&self, head: u32, pages: u32) -> bool {
        let (shard, grown) = (thread::shard(), self.grown());
        if grown < LARGE_HEAP || pages > LARGEST_SPARE.min(grown / SPARE_PART) {
            return false;
        }
        // A large one is the only one.
        let most = (grown / SPARES_PART).saturating_sub(pages);
        while self.spares.is_full(shard, most) && self.give_back(|| self.spares.take_next(shard)).is_some() {}
        self.spares.put(shard, (head, pages))
    }

    /// Puts memory behind the first `pages` pages, and their part of the tables; false, if there is none.
    fn has_memory(&self, pages: u32) -> bool {
        self.buddy.has_tables(pages) && self.commit.cover(pages)
    }

    /// Adds pages, among them a span of `pages` pages, up to `limit` pages of the heap. False: the limit is reached, or
    /// there is no memory for them.
    #[cold]
    fn grow(&self, pages: u32, align: Order, limit: u32) -> bool {
        let Some(order) = Order::covering(pages as usize).map(|order| order.max(align)) else { return false };
        // Relaxed: a guess, which the exchange checks.
        let mut grown = self.grown.load(Ordering::Relaxed);
        loop {
            let end = |align: Order, pages: u32| {
                let gap = self.buddy.geometry().gap(BlockIndex::new(grown), align);
                u64::from(grown) + u64::from(gap) + u64::from(pages)
            };
            // One block of that size; near the limit, as many blocks as it takes.
            let needed =
                [end(order, order.units()), end(align, pages)].into_iter().find(|end| *end <= u64::from(limit));
            let Some(needed) = needed else { return false };
            let wanted = grown.saturating_add(LEAST_GROWTH.max(grown / GROWTH_PART)).min(limit);
            let ends = [wanted.max(needed as u32), needed as u32];
            // Before other threads may know of the pages.
            let Some(end) = ends.into_iter().find(|end| self.has_memory(*end)) else { return false };
            // Relaxed, both: the pages are published below, by their states.
            match self.grown.compare_exchange_weak(grown, end, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => {
                    self.buddy.extend(grown..end, thread::shard());
                    return true;
                }
                Err(now) => grown = now,
            }
        }
    }

    /// Adds pages that make a span of `pages` pages together with the free ones at the end of the heap. False: the
    /// limit is reached, or there is no memory for them. O(blocks).
    #[cold]
    fn grow_tail(&self, pages: u32, align: Order, limit: u32) -> bool {
        let grown = self.grown();
        if grown >= limit {
            return false;
        }
        let tail = self.buddy.free_tail(grown);
        let start = u64::from(tail) + u64::from(self.buddy.geometry().gap(BlockIndex::new(tail), align));
        let end = start + u64::from(pages);
        let more = end.checked_sub(u64::from(grown)).filter(|_| end <= u64::from(limit));
        more.is_some_and(|more| self.grow(more as u32, Order::ZERO, limit))
    }

    /// Releases a span of the caller; false, if none begins at this page.
    pub fn release_span(&self, head: u32) -> bool {
        let Found::Span { pages } = self.find(head) else { return false };
        self.mark_free(head, pages);
        if !self.keep_spare(head, pages) {
            self.release_marked(head, pages);
        }
        true
    }

    /// Releases pages of the caller.
    pub(super) fn release_pages(&self, head: u32, pages: u32) {
        self.mark_free(head, pages);
        self.release_marked(head, pages);
    }

    /// The same, if they are marked as free already.
    fn release_marked(&self, head: u32, pages: u32) {
        self.count_free(pages);
        self.release_free(head, pages);
    }

    /// The same, if they are counted as free already.
    fn release_free(&self, head: u32, pages: u32) {
        self.buddy.release_span(BlockIndex::new(head), pages, thread::shard());
        self.note_freed(head..head + pages);
    }

    /// Resizes a span of the caller in place; false, if none begins there, or there is no room behind it.
    pub fn resize_span(&self, head: u32, pages: u32) -> bool {
        let Found::Span { pages: from } = self.find(head) else { return false };
        let block = BlockIndex::new(head);
        if pages < from {
            self.mark_free(head + pages, from - pages);
            self.count_free(from - pages);
            self.buddy.shrink_span(block, from, pages, thread::shard());
            self.note_freed(head + pages..head + from);
        } else if pages > from {
            let end = u64::from(head) + u64::from(pages);
            // The last span of a heap may become longer than the heap is.
            let is_there = end <= u64::from(self.grown())
                || self.grow(end.saturating_sub(u64::from(self.grown())) as u32, Order::ZERO, self.limit);
            let grow = || self.buddy.grow_span(block, from, pages, thread::shard());
            // A spare may be behind it.
            if !is_there || end > u64::from(self.grown()) || !(grow() || (self.give_spares() && grow())) {
                return false;
            }
            if self.count_out(head + from, pages - from).is_none() {
                self.buddy.shrink_span(block, pages, from, thread::shard());
                self.note_freed(head + from..head + pages);
                return false;
            }
        }
        self.set(head, Entry::span(pages));
        true
    }

    /// Why a page is neither in a slab nor the first one of a span: it is free, or inside a span.
    #[cfg(not(modelled))]
    pub fn why_nothing(&self, page: u32) -> NotLive {
        if self.spares.spans().any(|(head, pages)| (head..head + pages).contains(&page)) {
            return NotLive::Vacant;
        }
        // A block of a span other than its first begins there.
        self.buddy.live_class(BlockIndex::new(page)).map_or_else(|why| why, |_| NotLive::Interior)
    }

    /// Free pages, without idle slabs. O(pages). While others allocate, the number is approximate.
    pub fn free(&self) -> u64 {
        let mut free = self.spares.spans().map(|(_, pages)| u64::from(pages)).sum();
        self.buddy.scan_first(self.grown(), |order| free += u64::from(order.units()));
        free
    }
}

#[cfg(all(test, not(modelled)))]
mod tests;
