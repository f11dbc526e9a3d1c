//! WebAssembly has one memory. It grows at its end, by pages of 64 KiB, and gives nothing back. So a reservation has
//! its memory from the beginning, and keeps it.

use core::ptr::{self, NonNull};

#[cfg(target_arch = "wasm32")]
use core::arch::wasm32::memory_grow;
#[cfg(target_arch = "wasm64")]
use core::arch::wasm64::memory_grow;

use super::pages::Pages;

const PAGE: usize = 64 << 10;

/// The bytes that growing allocators divide. The first one gets half of them at once: it can't grow later, nor give any
/// back.
pub(super) const ROOM: Option<usize> = Some(256 << 20);

pub(super) fn reserve(len: usize) -> Option<NonNull<u8>> {
    // Below the end of all addresses, so that behind it there is an address.
    let before = memory_grow(0, len.div_ceil(PAGE));
    let base = before.checked_mul(PAGE).filter(|base| base.checked_add(len).is_some())?;
    NonNull::new(ptr::with_exposed_provenance_mut(base))
}

/// # Safety
///
/// No thread uses them any more.
pub(super) unsafe fn release(_base: NonNull<u8>, _len: usize) -> bool {
    false
}

/// # Safety
///
/// Whole pages of a reservation.
pub(super) unsafe fn commit(_start: *mut u8, _len: usize) -> bool {
    true
}

/// # Safety
///
/// Whole pages. No thread uses their contents.
pub(super) unsafe fn discard(_start: *mut u8, _len: usize) -> bool {
    false
}

pub(super) fn wish(_start: *mut u8, _len: usize, _pages: Pages) {}

/// # Safety
///
/// Whole pages that are committed.
pub(super) unsafe fn populate(_start: *mut u8, _len: usize) {}

/// # Safety
///
/// They are committed.
pub(super) unsafe fn lock(_start: *mut u8, _len: usize) -> bool {
    true
}

/// Nobody asks it.
///
/// # Safety
///
/// Whole pages that are committed.
pub(super) unsafe fn resident(_start: *mut u8, _len: usize, _page: usize) -> Option<usize> {
    None
}

pub(super) fn page_size() -> usize {
    PAGE
}
