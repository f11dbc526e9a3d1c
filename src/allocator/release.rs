//! The ways back: releases, and what moves a block. The fast path is in a thread's cache; the slow ones check what they are told, if
//! the allocator is a checked one.
//!
//! To check a release is to *claim* the block: of all who want it back one has it (`raw/live`). Who resizes a block has claimed it
//! meanwhile.

use core::alloc::Layout;
use core::ptr::NonNull;

use crate::error::ReleaseError;
use crate::raw::slabs::Found;
use crate::raw::slabs::live::Kind;
use crate::sync::Ordering;

use super::PoolAllocator;
use super::backend::Backend;
use super::class;

/// A span of so many bytes.
fn span_of(bytes: usize) -> Kind {
    // No span has more pages than that, or so many.
    Kind::Span(u32::try_from(class::pages(bytes)).unwrap_or(u32::MAX))
}

/// What a block of this layout is.
fn kind_of(layout: Layout) -> Kind {
    match class::of(layout) {
        class if class < class::COUNT => Kind::Slot(class),
        _ => span_of(layout.size()),
    }
}

/// A block that is being resized. In a checked allocator it is live no more until that is over.
#[derive(Debug)]
#[must_use = "a block that was claimed is to be handed out again, or to be given back"]
pub(super) struct Resizing<'a>(Option<(&'a Backend, Found)>);

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
    pub unsafe fn release(&self, block: NonNull<u8>) {
        if self.is_checked() {
            // Whoever wants to know why it is refused calls `try_release`.
            _ = self.release_checked(block.as_ptr(), None);
            return;
        }
        match self.started_backend().map(|backend| backend.heap.find(block.addr().get())) {
            Some(Found::Slab { class, .. }) => self.release_small(class, block.as_ptr()),
            Some(Found::Span { .. }) => self.release_span(block.as_ptr()),
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
        let found = self.started_backend().map(|backend| backend.heap.find_block(block.addr().get()));
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
        } else if let Some(backend) = self.backend() {
            // There is something backend, since it handed out the block.
            Self::give_slot(backend, class, block);
        }
    }

    /// Gives a slot back that is the caller's.
    fn give_slot(backend: &Backend, class: usize, block: *mut u8) {
        match Self::cache_or_attach(backend) {
            Some(cache) if cache.push(class, block) => {}
            Some(cache) => cache.push_slow(class, block, backend),
            None => backend.heap.give_slots(&[block]),
        }
    }

    /// Releases a block of so many bytes that is too large for a class.
    #[cold]
    pub(super) fn release_large(&self, block: *mut u8, bytes: usize) {
        if self.is_checked() {
            _ = self.release_checked(block, Some(span_of(bytes)));
        } else {
            self.release_span(block);
        }
    }

    fn release_span(&self, block: *mut u8) {
        if !self.started_backend().is_some_and(|backend| backend.heap.release_span(block.addr())) {
            self.count_refused();
        }
    }

    /// Null is fine, and does nothing.
    #[cold]
    fn release_checked(&self, block: *mut u8, kind: Option<Kind>) -> Result<(), ReleaseError> {
        if !block.is_null() {
            let (backend, found) = self.claim(block, kind)?;
            Self::give_back(backend, found, block);
        }
        Ok(())
    }

    /// Takes a block out of the hands of its user, or counts that it is none, or not of the kind that is said.
    fn claim(&self, block: *mut u8, kind: Option<Kind>) -> Result<(&Backend, Found), ReleaseError> {
        let claimed = match self.started_backend() {
            Some(backend) => backend.heap.claim(block.addr(), kind).map(|found| (backend, found)),
            None => Err(ReleaseError::Foreign),
        };
        claimed.inspect_err(|_| self.count_refused())
    }

    /// Gives a block back that was claimed.
    fn give_back(backend: &Backend, found: Found, block: *mut u8) {
        match found {
            Found::Slab { class, .. } => Self::give_slot(backend, class, block),
            // What was claimed is a span, so that this does not fail.
            Found::Span { .. } | Found::Nothing => _ = backend.heap.release_span(block.addr()),
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

    /// A block is about to be resized. `None`: it is none, or not of this layout, and that was counted.
    #[inline(always)]
    pub(super) fn begin_resize(&self, block: *mut u8, layout: Layout) -> Option<Resizing<'_>> {
        if self.is_checked() { self.begin_resize_checked(block, layout) } else { Some(Resizing(None)) }
    }

    #[cold]
    fn begin_resize_checked(&self, block: *mut u8, layout: Layout) -> Option<Resizing<'_>> {
        let claimed = self.claim(block, Some(kind_of(layout)));
        Some(Resizing(Some(claimed.ok()?)))
    }

    /// The block stays where it is, and has this layout from now on.
    #[inline(always)]
    pub(super) fn end_resize(resizing: Resizing<'_>, block: *mut u8, layout: Layout) {
        if let Resizing(Some((backend, _))) = resizing {
            backend.heap.hand_out(block, kind_of(layout));
        }
    }

    /// What was in the block has moved, and nobody uses it any more.
    ///
    /// # Safety
    ///
    /// It has this layout.
    #[inline(always)]
    pub(super) unsafe fn end_resize_elsewhere(&self, resizing: Resizing<'_>, block: *mut u8, layout: Layout) {
        match resizing {
            // SAFETY: the caller vouches for it.
            Resizing(None) => unsafe { core::alloc::GlobalAlloc::dealloc(self, block, layout) },
            Resizing(Some((backend, found))) => Self::give_back(backend, found, block),
        }
    }
}
