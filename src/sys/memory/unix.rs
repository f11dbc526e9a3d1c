//! The calls of POSIX: `mmap` and its like, by the C library's functions. These do nothing else, and need no state that
//! is read when a program starts.

use core::ffi::c_void;
use core::ptr::{self, NonNull};

use super::pages::Pages;

/// A flag for pages that can't be used yet: the system need not have memory for all of them.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "netbsd", target_vendor = "apple"))]
const NO_RESERVE: i32 = libc::MAP_NORESERVE;
/// Elsewhere there is no such flag, and no need for one.
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "netbsd", target_vendor = "apple")))]
const NO_RESERVE: i32 = 0;

/// The system does not say how many addresses there are. A caller has to try.
pub(super) const ROOM: Option<usize> = None;

pub(super) fn reserve(len: usize) -> Option<NonNull<u8>> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANON | NO_RESERVE;
    // SAFETY: a new mapping, at addresses that are free.
    let base = unsafe { libc::mmap(ptr::null_mut(), len, libc::PROT_NONE, flags, -1, 0) };
    if base == libc::MAP_FAILED { None } else { NonNull::new(base.cast()) }
}

/// # Safety
///
/// `reserve` returned them, and no thread uses them any more.
pub(super) unsafe fn release(base: NonNull<u8>, len: usize) -> bool {
    // SAFETY: the caller vouches for them. An error leaves the addresses mapped.
    unsafe { libc::munmap(base.as_ptr().cast(), len) == 0 }
}

/// # Safety
///
/// Whole pages of a reservation.
pub(super) unsafe fn commit(start: *mut u8, len: usize) -> bool {
    // SAFETY: the caller vouches for them. A page that can be used already stays so.
    unsafe { libc::mprotect(start.cast(), len, libc::PROT_READ | libc::PROT_WRITE) == 0 }
}

/// # Safety
///
/// Whole pages. No thread uses their contents.
pub(super) unsafe fn discard(start: *mut u8, len: usize) -> bool {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    // SAFETY: the caller vouches for them.
    return unsafe { libc::madvise(start.cast(), len, libc::MADV_DONTNEED) == 0 };
    // Elsewhere this advice may leave the contents, and so does `MADV_FREE`: new pages come where the old ones are.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANON | libc::MAP_FIXED);
        // SAFETY: the caller vouches for them. An error leaves them as they are.
        return unsafe { libc::mmap(start.cast(), len, prot, flags | NO_RESERVE, -1, 0) } != libc::MAP_FAILED;
    }
}

pub(super) fn wish(start: *mut u8, len: usize, pages: Pages) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        let advice = match pages {
            Pages::Small => libc::MADV_NOHUGEPAGE,
            Pages::Huge => libc::MADV_HUGEPAGE,
        };
        // SAFETY: this advice changes no contents, and a range that is not mapped is an error.
        _ = unsafe { libc::madvise(start.cast::<c_void>(), len, advice) };
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _: (*mut u8, usize, Pages) = (start, len, pages);
}

/// # Safety
///
/// Whole pages that are committed.
pub(super) unsafe fn populate(start: *mut u8, len: usize) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        // Since Linux 5.14; the number is the same everywhere.
        const POPULATE_WRITE: i32 = 23;
        // SAFETY: the caller vouches for the range. Contents stay as they are. An error: the kernel is older, or has no
        // memory.
        _ = unsafe { libc::madvise(start.cast::<c_void>(), len, POPULATE_WRITE) };
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _: (*mut u8, usize) = (start, len);
}

/// # Safety
///
/// They are committed.
pub(super) unsafe fn lock(start: *mut u8, len: usize) -> bool {
    // SAFETY: the caller vouches for the range.
    unsafe { libc::mlock(start.cast::<c_void>(), len) == 0 }
}

/// # Safety
///
/// Whole pages that are mapped.
pub(super) unsafe fn resident(start: *mut u8, len: usize, page: usize) -> Option<usize> {
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd", target_vendor = "apple"))]
    {
        /// Pages that are asked for in one call.
        const PAGES: usize = 1024;
        let mut resident = 0;
        for offset in (0..len).step_by(PAGES.saturating_mul(page).max(1)) {
            let (mut states, bytes) = ([0_u8; PAGES], (len - offset).min(PAGES * page));
            let asked = start.wrapping_add(offset).cast::<c_void>();
            // SAFETY: the caller vouches for the pages, and there is a byte for each.
            if unsafe { libc::mincore(asked, bytes, states.as_mut_ptr().cast()) } != 0 {
                return None;
            }
            resident += states.iter().filter(|state| **state & 1 != 0).count() * page;
        }
        Some(resident)
    }
    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd", target_vendor = "apple")))]
    {
        let _: (*mut u8, usize, usize) = (start, len, page);
        None
    }
}

pub(super) fn page_size() -> usize {
    // SAFETY: it only returns a number.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    // It is never an error. The result is a power of two in any case.
    usize::try_from(size).ok().filter(|size| size.is_power_of_two()).unwrap_or(4096)
}
