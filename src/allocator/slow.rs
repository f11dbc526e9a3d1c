//! Allocations that no cache serves: from slabs, as spans, and what is tried before one fails.

use core::ptr::NonNull;

use crate::cache::thread_registry;
use crate::raw::Order;
use crate::raw::slabs::live::Kind;
use crate::sys::WAKES;

use super::PoolAllocator;
use super::backend::Backend;
use super::cache::Cache;
use super::class::{self, PAGE};

impl PoolAllocator {
    /// A block of a class, when the cache had none, or there is no cache.
    #[cold]
    pub(super) fn alloc_small_slow(&self, class: usize) -> Option<NonNull<u8>> {
        let backend = self.backend()?;
        let cache = Self::cache_or_attach(backend);
        let first = match cache {
            Some(cache) => cache.pop(class).or_else(|| cache.pop_slow(class, backend)),
            None => backend.take_one(class),
        };
        let block = first.or_else(|| {
            self.make_room(backend, cache);
            backend.insist(|| backend.take_one(class))
        });
        self.note_sweeps(backend);
        let block = block?;
        backend.heap.hand_out(block.as_ptr(), Kind::Slot(class));
        Some(block)
    }

    /// For an allocation that would fail.
    fn make_room(&self, backend: &Backend, own: Option<&Cache>) {
        backend.heap.note_want();
        backend.reclaim(own, thread_registry());
        self.wake_sweepers();
    }

    /// After an allocation, which may have had to sweep before the heap grows.
    fn note_sweeps(&self, backend: &Backend) {
        if backend.heap.take_has_swept() {
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
        let backend = self.backend()?;
        let pages = u32::try_from(class::pages(size)).ok()?;
        let align = Order::covering(align.div_ceil(PAGE))?;
        let span = backend.alloc_span(pages, align).or_else(|| {
            self.make_room(backend, Self::cache_or_attach(backend));
            backend.insist(|| backend.alloc_span(pages, align))
        });
        self.note_sweeps(backend);
        let (span, fresh) = span?;
        backend.heap.hand_out(span, Kind::Span(pages));
        Some((NonNull::new(span)?, fresh))
    }

    /// The same, and it is zero.
    #[cold]
    pub(super) fn alloc_large_zeroed(&self, size: usize, align: usize) -> Option<NonNull<u8>> {
        let (block, is_zero) = self.alloc_large(size, align)?;
        if !is_zero {
            // SAFETY: it has so many bytes, and is the caller's.
            unsafe { self.started_backend()?.heap.zero_span(block.as_ptr(), size) };
        }
        Some(block)
    }
}
