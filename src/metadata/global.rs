//! The global allocator. Without the feature `alloc` the crate does not link it, and nothing can be had of it.

use core::alloc::Layout;
use core::ptr::NonNull;

use super::zeroed::Unavailable;
use crate::check::check;

/// Memory of this layout, which has a size. It is zeroed if `zeroed` says so.
pub(super) fn allocate(layout: Layout, zeroed: bool) -> Result<NonNull<u8>, Unavailable> {
    check!(layout.size() != 0);
    #[cfg(feature = "alloc")]
    // SAFETY: both: the callers' layouts have a size.
    let memory =
        NonNull::new(unsafe { if zeroed { alloc::alloc::alloc_zeroed(layout) } else { alloc::alloc::alloc(layout) } });
    #[cfg(not(feature = "alloc"))]
    let (memory, _) = (None, zeroed);
    memory.ok_or(Unavailable { bytes: layout.size() })
}

/// Frees it.
///
/// # Safety
///
/// [`allocate`] gave it for this layout, and nobody uses it any more.
pub(super) unsafe fn free(memory: NonNull<u8>, layout: Layout) {
    #[cfg(feature = "alloc")]
    // SAFETY: as the caller says.
    unsafe {
        alloc::alloc::dealloc(memory.as_ptr(), layout);
    }
    #[cfg(not(feature = "alloc"))]
    let _ = (memory, layout);
}
