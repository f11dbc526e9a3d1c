//! The calls of Windows: `VirtualAlloc` and its like. A reservation costs no memory there, and what is committed counts
//! against what all programs together may have.

use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};

use windows_sys::Win32::System::Memory::{
    MEM_COMMIT, MEM_DECOMMIT, MEM_RELEASE, MEM_RESERVE, PAGE_NOACCESS, PAGE_READWRITE, VirtualAlloc, VirtualFree,
    VirtualLock,
};
use windows_sys::Win32::System::SystemInformation::GetSystemInfo;
use windows_sys::Win32::System::Threading::Sleep;

use super::pages::Pages;

/// The system does not say how many addresses there are. A caller has to try.
pub(super) const ROOM: Option<usize> = None;

pub(super) fn reserve(len: usize) -> Option<NonNull<u8>> {
    // SAFETY: at addresses that are free. They begin at a multiple of 64 KiB.
    let base = unsafe { VirtualAlloc(ptr::null(), len, MEM_RESERVE, PAGE_NOACCESS) };
    NonNull::new(base.cast())
}

/// # Safety
///
/// `reserve` returned them, and no thread uses them any more.
pub(super) unsafe fn release(base: NonNull<u8>, _len: usize) -> bool {
    // SAFETY: the caller vouches for them; a reservation goes as a whole. An error leaves it.
    unsafe { VirtualFree(base.as_ptr().cast(), 0, MEM_RELEASE) != 0 }
}

/// # Safety
///
/// Whole pages of a reservation.
pub(super) unsafe fn commit(start: *mut u8, len: usize) -> bool {
    // SAFETY: the caller vouches for them; what is committed already stays as it is.
    !unsafe { VirtualAlloc(start.cast::<c_void>(), len, MEM_COMMIT, PAGE_READWRITE) }.is_null()
}

/// Pages are zero only after their memory went and came. Other programs may take it in between. Then this thread waits
/// until there is some. It withholds the pages; other threads go on.
///
/// # Safety
///
/// Whole pages. No thread uses their contents.
pub(super) unsafe fn discard(start: *mut u8, len: usize) -> bool {
    // SAFETY: the caller vouches for them.
    if unsafe { VirtualFree(start.cast(), len, MEM_DECOMMIT) } == 0 {
        return false;
    }
    // SAFETY: the same pages.
    while !unsafe { commit(start, len) } {
        // SAFETY: it only waits, for a millisecond.
        unsafe { Sleep(1) };
    }
    true
}

/// Large pages are a privilege there, and are locked from the beginning on.
pub(super) fn wish(_start: *mut u8, _len: usize, _pages: Pages) {}

/// # Safety
///
/// Whole pages that are committed.
pub(super) unsafe fn populate(_start: *mut u8, _len: usize) {}

/// # Safety
///
/// They are committed.
pub(super) unsafe fn lock(start: *mut u8, len: usize) -> bool {
    // SAFETY: the caller vouches for the range.
    unsafe { VirtualLock(start.cast(), len) != 0 }
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
    let mut info = MaybeUninit::uninit();
    // SAFETY: it writes to it, always.
    let info = unsafe {
        GetSystemInfo(info.as_mut_ptr());
        info.assume_init()
    };
    info.dwPageSize as usize
}
