//! Pages from the operating system: the only file that asks it for memory.

use core::ffi::c_void;
use core::ptr::{self, NonNull};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mlock, mmap_anonymous, munmap};
use rustix::param::page_size;

/// Addresses with zeroed memory behind them. The operating system gives each page when it is first written to.
#[derive(Debug)]
pub(crate) struct Reservation {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: it owns its addresses, as a box does.
unsafe impl Send for Reservation {}
// SAFETY: a shared reservation only tells where it is.
unsafe impl Sync for Reservation {}

impl Reservation {
    /// Reserves `len` bytes; `None` if there are not so many addresses, or the system insists on having memory for all of them.
    pub(crate) fn new(len: usize) -> Option<Self> {
        let (prot, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE | MapFlags::NORESERVE);
        // SAFETY: a new mapping, at addresses that nobody has.
        let base = unsafe { mmap_anonymous(ptr::null_mut(), len, prot, flags) }.ok()?;
        Some(Self { base: NonNull::new(base.cast())?, len })
    }

    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        // SAFETY: it was mapped in `new`, and whoever drops it uses none of it any more.
        // An error leaves the addresses mapped: nothing is to be done about that.
        _ = unsafe { munmap(self.base.as_ptr().cast(), self.len) };
    }
}

/// Gives the memory behind `len` bytes from `start` on back to the operating system, as far as they are whole pages of its. They
/// are zero when they are next used. Returns how many bytes.
///
/// # Safety
///
/// They lie in a [`Reservation`], and nobody uses their contents.
pub(crate) unsafe fn discard(start: *mut u8, len: usize) -> usize {
    let (skip, len) = whole_pages(start, len);
    if len == 0 {
        return 0;
    }
    let start = start.wrapping_add(skip).cast::<c_void>();
    // SAFETY: whole pages, of which the caller says that nobody uses their contents.
    if unsafe { madvise(start, len, Advice::LinuxDontNeed) }.is_ok() { len } else { 0 }
}

/// Makes `len` bytes from `start` on zero: most of them by giving the memory behind them back, if the operating system takes it.
///
/// # Safety
///
/// They lie in a [`Reservation`], and are the caller's.
pub(crate) unsafe fn zero(start: *mut u8, len: usize) {
    let (skip, whole) = whole_pages(start, len);
    // SAFETY: the caller vouches for them.
    let discarded = unsafe { discard(start, len) };
    let (before, after) = if discarded == whole && whole > 0 { (skip, len - skip - whole) } else { (len, 0) };
    // SAFETY: both are parts of the caller's bytes: what lies before the whole pages, or everything, and what lies behind them.
    unsafe {
        start.write_bytes(0, before);
        start.wrapping_add(len - after).write_bytes(0, after);
    }
}

/// Asks for huge pages behind `len` bytes from `start` on. A wish: where the system has none, small ones do.
pub(crate) fn wish_huge(start: *mut u8, len: usize) {
    let (skip, len) = whole_pages(start, len);
    // SAFETY: this advice changes no contents, and a range that is not mapped is an error.
    _ = unsafe { madvise(start.wrapping_add(skip).cast(), len, Advice::LinuxHugepage) };
}

/// Makes the operating system give the memory behind `len` bytes from `start` on now.
///
/// # Safety
///
/// They lie in a [`Reservation`], and are the caller's.
pub(crate) unsafe fn prefault(start: *mut u8, len: usize) {
    let step = page_size();
    let mut offset = 0;
    while offset < len {
        // SAFETY: inside the caller's range. Volatile, or else the write of what is there already could be left out.
        unsafe { start.wrapping_add(offset).write_volatile(0) };
        offset += step;
    }
}

/// Keeps the memory behind `len` bytes from `start` on from being swapped out. False: the system does not allow so much.
///
/// # Safety
///
/// They lie in a [`Reservation`].
pub(crate) unsafe fn lock(start: *mut u8, len: usize) -> bool {
    // SAFETY: the caller vouches for the range.
    unsafe { mlock(start.cast(), len) }.is_ok()
}

/// The whole pages of the operating system in a range: how many bytes are before them, and their bytes.
fn whole_pages(start: *mut u8, len: usize) -> (usize, usize) {
    let page = page_size();
    let skip = start.addr().wrapping_neg() % page;
    (skip, len.saturating_sub(skip) / page * page)
}
