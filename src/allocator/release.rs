//! Releases and resizes. The fast path is a push to a thread's cache; the slow paths check, if the allocator is a
//! checked one.
//!
//! A checked release *claims* the block (`raw/slabs/live`): of all releases of a block, one has it. A resize has
//! claimed the block for as long as it lasts.

use core::alloc::Layout;
use core::ptr::NonNull;

use crate::error::ReleaseError;
use crate::raw::slabs::Found;
use crate::raw::slabs::live::Kind;
use crate::sync::Ordering;

use super::class;
use super::instance::Instance;
use super::pool_allocator::PoolAllocator;

/// A span of `bytes` bytes.
fn span_of(bytes: usize) -> Kind {
    // No span has `u32::MAX` pages or more.
    Kind::Span(u32::try_from(class::pages(bytes)).unwrap_or(u32::MAX))
}

/// The kind of a block of this layout.
fn kind_of(layout: Layout) -> Kind {
    match class::of(layout) {
        class if class < class::COUNT => Kind::Slot(class),
        _ => span_of(layout.size()),
    }
}

/// A block that is being resized. In a checked allocator it is not live meanwhile.
#[derive(Debug)]
#[must_use = "hand a claimed block out again, or give it back"]
pub(super) struct Resizing<'a>(Option<(&'a Instance, Found)>);

impl PoolAllocator {
    /// Releases a block without its layout, as C's `free`.
    ///
    /// # Safety
    ///
    /// It is a live block of this allocator, and nobody uses it any more. A
    /// [checked](super::AllocatorBuilder::checked) allocator refuses everything else.
    ///
    /// # Progress
    ///
    /// Lock-free.
    ///
    /// # Complexity
    ///
    /// O(1).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::alloc::{GlobalAlloc, Layout};
    /// use std::ptr::NonNull;
    /// use mempool::PoolAllocator;
    ///
    /// let allocator = PoolAllocator::with_limit(1 << 20);
    /// // SAFETY: the size is not 0, and the block is released once.
    /// unsafe {
    ///     let block = NonNull::new(allocator.alloc(Layout::new::<[u8; 100]>())).expect("there is room");
    ///     allocator.release(block);
    /// }
    /// ```
    #[inline]
    pub unsafe fn release(&self, block: NonNull<u8>) {
        // No cache is found for an allocator that checks releases.
        let class_at = |instance: &Instance| instance.backend.heap.class_at(block.addr().get());
        if let Some(cache) = self.cache()
            && let Some(class) = self.started().and_then(class_at)
            && cache.push(class, block.as_ptr())
        {
            return;
        }
        self.release_unknown(block.as_ptr());
    }

    /// Releases a block of which nothing is known.
    #[cold]
    fn release_unknown(&self, block: *mut u8) {
        if self.is_checked() {
            // `try_release` tells why a release is refused.
            _ = self.release_checked(block, None);
            return;
        }
        match self.started().map(|instance| instance.backend.heap.find(block.addr())) {
            Some(Found::Slab { class, .. }) => self.release_small_slow(class, block),
            Some(Found::Span { .. }) => self.release_span(block),
            _ => self.count_refused(),
        }
    }

    /// Releases a block as [`release`](Self::release), and returns an error if it is refused.
    ///
    /// # Errors
    ///
    /// When no live block begins there, in a [checked](super::AllocatorBuilder::checked) allocator. Another one sees
    /// that only where no block can be. Nothing is changed then.
    ///
    /// # Safety
    ///
    /// As [`release`](Self::release).
    ///
    /// # Progress
    ///
    /// Lock-free.
    ///
    /// # Complexity
    ///
    /// O(1).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::alloc::{GlobalAlloc, Layout};
    /// use std::ptr::NonNull;
    /// use mempool::{PoolAllocator, ReleaseError};
    ///
    /// let allocator = PoolAllocator::builder().checked(true).build(1 << 20)?;
    /// // SAFETY: the size is not 0; nobody uses the block, and the allocator checks each release.
    /// unsafe {
    ///     let block = NonNull::new(allocator.alloc(Layout::new::<[u64; 8]>())).expect("there is room");
    ///     assert_eq!(allocator.try_release(block.add(16)), Err(ReleaseError::Interior));
    ///     assert_eq!(allocator.try_release(block), Ok(()));
    ///     assert_eq!(allocator.try_release(block), Err(ReleaseError::NotLive));
    ///     assert_eq!(allocator.try_release(NonNull::dangling()), Err(ReleaseError::Foreign));
    /// }
    /// # Ok::<(), mempool::AllocatorBuildError>(())
    /// ```
    pub unsafe fn try_release(&self, block: NonNull<u8>) -> Result<(), ReleaseError> {
        if self.is_checked() {
            return self.release_checked(block.as_ptr(), None);
        }
        let found = self.started().map(|instance| instance.backend.heap.find_block(block.addr().get()));
        match found.unwrap_or(Err(ReleaseError::Foreign)) {
            Ok(_) => {
                // SAFETY: the caller vouches for the block.
                unsafe { self.release(block) };
                Ok(())
            }
            Err(why) => {
                self.count_refused();
                Err(why)
            }
        }
    }

    #[inline(always)]
    pub(super) fn release_small(&self, class: usize, block: *mut u8) {
        if !self.cache().is_some_and(|cache| cache.push(class, block)) {
            self.release_small_slow(class, block);
        }
    }

    #[cold]
    fn release_small_slow(&self, class: usize, block: *mut u8) {
        if self.is_checked() {
            _ = self.release_checked(block, Some(Kind::Slot(class)));
        } else if let Some(instance) = self.instance() {
            // There is an instance: it handed out the block.
            self.give_slot(instance, class, block);
        }
    }

    /// Gives back a slot of the caller.
    #[inline(always)]
    fn give_slot(&self, instance: &Instance, class: usize, block: *mut u8) {
        let Some(cache) = instance.own_cache() else { return instance.backend.heap.give_slots(&[block]) };
        if cache.push(class, block) {
            self.glance(instance, cache);
        } else {
            cache.push_slow(class, block, &instance.backend, || instance.collect_gone());
            self.visit(instance, || Some(cache));
        }
    }

    /// Releases a block of `bytes` bytes, which is too large for a class.
    #[cold]
    pub(super) fn release_large(&self, block: *mut u8, bytes: usize) {
        if self.is_checked() {
            _ = self.release_checked(block, Some(span_of(bytes)));
        } else {
            self.release_span(block);
        }
    }

    fn release_span(&self, block: *mut u8) {
        match self.started() {
            Some(instance) if self.give_span(instance, block) => {}
            _ => self.count_refused(),
        }
    }

    /// Gives back a span of the caller; false, if none begins there.
    fn give_span(&self, instance: &Instance, block: *mut u8) -> bool {
        let is_given = instance.backend.heap.release_span(block.addr());
        self.visit(instance, || instance.own_cache());
        is_given
    }

    /// Releases a block that is to be of `kind`, if one is said. Null does nothing.
    #[cold]
    fn release_checked(&self, block: *mut u8, kind: Option<Kind>) -> Result<(), ReleaseError> {
        if !block.is_null() {
            let (instance, found) = self.claim(block, kind)?;
            self.give_back(instance, found, block);
        }
        Ok(())
    }

    /// Claims a live block; if none is live there, or of another kind, counts that as refused.
    fn claim(&self, block: *mut u8, kind: Option<Kind>) -> Result<(&Instance, Found), ReleaseError> {
        let claimed = match self.started() {
            Some(instance) => instance.backend.heap.claim(block.addr(), kind).map(|found| (instance, found)),
            None => Err(ReleaseError::Foreign),
        };
        claimed.inspect_err(|_| self.count_refused())
    }

    /// Gives back a claimed block.
    fn give_back(&self, instance: &Instance, found: Found, block: *mut u8) {
        match found {
            Found::Slab { class, .. } => self.give_slot(instance, class, block),
            // This does not fail: the claimed block is a span.
            Found::Span { .. } | Found::Nothing => _ = self.give_span(instance, block),
        }
    }

    #[cold]
    fn count_refused(&self) {
        // Relaxed: a number.
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    #[inline(always)]
    pub(super) fn is_checked(&self) -> bool {
        self.options.checked
    }

    /// Begins to resize a block. `None`: no block of this layout is live there, which was counted as refused.
    #[inline(always)]
    pub(super) fn begin_resize(&self, block: *mut u8, layout: Layout) -> Option<Resizing<'_>> {
        if self.is_checked() { self.begin_resize_checked(block, layout) } else { Some(Resizing(None)) }
    }

    #[cold]
    fn begin_resize_checked(&self, block: *mut u8, layout: Layout) -> Option<Resizing<'_>> {
        let claimed = self.claim(block, Some(kind_of(layout)));
        Some(Resizing(Some(claimed.ok()?)))
    }

    /// Ends a resize in place: the block has this layout from now on.
    #[inline(always)]
    pub(super) fn end_resize(resizing: Resizing<'_>, block: *mut u8, layout: Layout) {
        if let Resizing(Some((instance, _))) = resizing {
            instance.backend.heap.hand_out(block, kind_of(layout));
        }
    }

    /// Ends a resize whose contents were moved to another block: gives this one back.
    ///
    /// # Safety
    ///
    /// The block has this layout, and nobody uses it any more.
    #[inline(always)]
    pub(super) unsafe fn end_resize_elsewhere(&self, resizing: Resizing<'_>, block: *mut u8, layout: Layout) {
        match resizing {
            // SAFETY: the caller vouches for it.
            Resizing(None) => unsafe { core::alloc::GlobalAlloc::dealloc(self, block, layout) },
            Resizing(Some((instance, found))) => self.give_back(instance, found, block),
        }
    }
}
