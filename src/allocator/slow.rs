//! Allocations that no cache serves: from runs, as spans, and what is tried before one fails.

use core::ptr::NonNull;

use crate::cache::numbers;
use crate::raw::Order;
use crate::raw::live::Kind;
use crate::sys::WAKES;

use super::PoolAllocator;
use super::cache::Cache;
use super::class::{self, PAGE};
use super::shared::Shared;

impl PoolAllocator {
    /// A block of a class, when the cache had none, or there is no cache.
    #[cold]
    pub(super) fn alloc_small_slow(&self, class: usize) -> Option<NonNull<u8>> {
        let shared = self.shared()?;
        let cache = Self::cache_or_attach(shared);
        let first = match cache {
            Some(cache) => cache.pop(class).or_else(|| cache.pop_slow(class, shared)),
            None => shared.take_one(class),
        };
        let block = first.or_else(|| {
            self.make_room(shared, cache);
            shared.insist(|| shared.take_one(class))
        });
        self.note_sweeps(shared);
        let block = block?;
        shared.region.hand_out(block.as_ptr(), Kind::Slot(class));
        Some(block)
    }

    /// For an allocation that would fail.
    fn make_room(&self, shared: &Shared, own: Option<&Cache>) {
        shared.region.note_want();
        shared.reclaim(own, numbers());
        self.wake_sweepers();
    }

    /// After an allocation, which may have had to sweep before the heap grows.
    fn note_sweeps(&self, shared: &Shared) {
        if shared.region.take_has_swept() {
            self.wake_sweepers();
        }
    }

    #[cold]
    fn wake_sweepers(&self) {
        if WAKES {
            self.wakers.wake();
        }
    }

    /// A span of at least so many bytes, and whether it is known to be zero.
    #[cold]
    pub(super) fn alloc_large(&self, size: usize, align: usize) -> Option<(NonNull<u8>, bool)> {
        let shared = self.shared()?;
        let pages = u32::try_from(class::pages(size)).ok()?;
        let align = Order::covering(align.div_ceil(PAGE))?;
        let span = shared.alloc_span(pages, align).or_else(|| {
            self.make_room(shared, Self::cache_or_attach(shared));
            shared.insist(|| shared.alloc_span(pages, align))
        });
        self.note_sweeps(shared);
        let (span, fresh) = span?;
        shared.region.hand_out(span, Kind::Span(pages));
        Some((NonNull::new(span)?, fresh))
    }

    /// The same, and it is zero.
    #[cold]
    pub(super) fn alloc_large_zeroed(&self, size: usize, align: usize) -> Option<NonNull<u8>> {
        let (block, is_zero) = self.alloc_large(size, align)?;
        if !is_zero {
            // SAFETY: it has so many bytes, and is the caller's.
            unsafe { self.started_shared()?.region.zero_span(block.as_ptr(), size) };
        }
        Some(block)
    }
}
