//! Allocations that no cache serves: from slabs, as spans, and the last attempts before one fails. `../README.md` has
//! their order.

use core::ptr::NonNull;

use crate::raw::Order;
use crate::raw::slabs::Growth;
use crate::raw::slabs::live::Kind;
use crate::sys::WAKES;

use super::cache::Cache;
use super::class::{self, PAGE};
use super::instance::Instance;
use super::pool_allocator::PoolAllocator;

impl PoolAllocator {
    /// A block of a class, if the cache had none, or the thread has no cache.
    #[cold]
    pub(super) fn alloc_small_slow(&self, class: usize) -> Option<NonNull<u8>> {
        let instance = self.instance()?;
        let backend = &instance.backend;
        let cache = instance.own_cache();
        if let Some((cache, block)) = cache.and_then(|cache| Some((cache, cache.pop(class)?))) {
            self.glance(instance, cache);
            backend.heap.hand_out(block.as_ptr(), Kind::Slot(class));
            return Some(block);
        }
        let first = match cache {
            Some(cache) => cache.pop_slow(class, backend, || instance.collect_gone()),
            None => backend.take_one(class, Growth::ToLimit),
        };
        let block = first.or_else(|| {
            self.make_room(instance, cache);
            backend.insist(|growth| backend.take_one(class, growth))
        });
        self.note_sweeps(instance);
        self.visit(instance, || cache);
        let block = block?;
        backend.heap.hand_out(block.as_ptr(), Kind::Slot(class));
        Some(block)
    }

    /// Before an allocation fails: gives back all blocks within reach, and sweeps.
    fn make_room(&self, instance: &Instance, own: Option<&Cache>) {
        instance.backend.heap.slabs.note_want();
        instance.reclaim(own);
        self.wake_sweepers();
    }

    /// After an allocation, which may have swept before the heap grew.
    fn note_sweeps(&self, instance: &Instance) {
        if instance.backend.heap.slabs.take_has_swept() {
            self.wake_sweepers();
        }
    }

    #[cold]
    fn wake_sweepers(&self) {
        if WAKES {
            self.wakers.wake();
        }
    }

    /// A span of at least `size` bytes, and whether it is known to be zero.
    #[cold]
    pub(super) fn alloc_large(&self, size: usize, align: usize) -> Option<(NonNull<u8>, bool)> {
        let instance = self.instance()?;
        let backend = &instance.backend;
        let pages = u32::try_from(class::pages(size)).ok()?;
        let align = Order::covering(align.div_ceil(PAGE))?;
        let span = backend.alloc_span(pages, align, Growth::ToLimit).or_else(|| {
            self.make_room(instance, instance.own_cache());
            backend.insist(|growth| backend.alloc_span(pages, align, growth))
        });
        self.note_sweeps(instance);
        self.visit(instance, || instance.own_cache());
        let (span, is_zero) = span?;
        backend.heap.hand_out(span, Kind::Span(pages));
        Some((NonNull::new(span)?, is_zero))
    }

    /// The same, and it is zero.
    #[cold]
    pub(super) fn alloc_large_zeroed(&self, size: usize, align: usize) -> Option<NonNull<u8>> {
        let (block, is_zero) = self.alloc_large(size, align)?;
        if !is_zero {
            // SAFETY: the span has `size` bytes, and is the caller's.
            unsafe { self.started()?.backend.heap.zero_span(block.as_ptr(), size) };
        }
        Some(block)
    }
}
