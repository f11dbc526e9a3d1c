//! Memory from the operating system. Nothing else asks it for some.
//!
//! A [`Reservation`] is addresses without memory. [`commit`] puts memory behind a part of them; the system gives each
//! page, zeroed, when it is first used. Nothing here keeps a state of its own, panics or allocates. A refusal of the
//! system is a `None`, a `false`, or a smaller number.
//!
//! | system | file |
//! |---|---|
//! | those of POSIX | `unix` |
//! | Windows | `windows` |
//! | none, in WebAssembly | `wasm` |

mod pages;
#[cfg(unix)]
mod unix;
#[cfg(unix)]
use unix as system;
#[cfg(windows)]
mod windows;
#[cfg(windows)]
use windows as system;
// Emscripten is of both families.
#[cfg(all(target_family = "wasm", not(unix)))]
mod wasm;
#[cfg(all(target_family = "wasm", not(unix)))]
use wasm as system;
#[cfg(not(any(unix, windows, target_family = "wasm")))]
compile_error!("heapmaster's feature `allocator` has no source of memory for this system: see src/sys/README.md");

use core::ptr::NonNull;

pub(crate) use pages::Pages;

use super::refusal::is_refused;

/// Addresses that this program has, and behind which it may put memory.
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
    /// Reserves `len` bytes of addresses. They can't be used before they are committed. `None`: the system has no such
    /// range.
    pub(crate) fn new(len: usize) -> Option<Self> {
        let base = if is_refused("reserve") { None } else { system::reserve(len) };
        Some(Self { base: base?, len })
    }

    /// Gives back the addresses behind the first `len` bytes, as far as they are whole pages. If the system refuses,
    /// they stay, and go with the rest.
    ///
    /// # Safety
    ///
    /// No thread uses them any more, or commits them.
    #[cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
    pub(crate) unsafe fn shorten(&mut self, len: usize) {
        let len = len.next_multiple_of(page_size());
        if len < self.len {
            let rest = self.base.as_ptr().wrapping_add(len);
            // SAFETY: whole pages of the reservation. The caller says that no thread uses them.
            if NonNull::new(rest).is_some_and(|rest| unsafe { release(rest, self.len - len) }) {
                self.len = len;
            }
        }
    }

    /// Where it begins: at a page.
    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        // SAFETY: it was reserved in `new`. Its owner drops it, and uses none of it any more.
        // If the system refuses, the addresses stay mapped: nothing is to be done about that.
        _ = unsafe { release(self.base, self.len) };
    }
}

/// Gives a reservation back, or the end of one. False: the system refuses.
///
/// # Safety
///
/// No thread uses it any more.
unsafe fn release(base: NonNull<u8>, len: usize) -> bool {
    // SAFETY: the caller vouches for it.
    !is_refused("release") && unsafe { system::release(base, len) }
}

/// Bytes of addresses that can be reserved at once now: at most `most`, and a little less than there are. It tries.
pub(crate) fn room(most: usize) -> usize {
    match system::ROOM {
        Some(room) => room.min(most),
        None => {
            let sizes = core::iter::successors(Some(most), |bytes| Some(bytes - bytes / 8));
            let mut sizes = sizes.take_while(|bytes| *bytes >= page_size());
            sizes.find(|bytes| Reservation::new(*bytes).is_some()).unwrap_or(0)
        }
    }
}

/// Puts memory behind the pages of `len` bytes from `start` on. Pages that have some stay as they are. False: the
/// system has not enough, and nothing has changed.
///
/// # Safety
///
/// They lie in a [`Reservation`].
pub(crate) unsafe fn commit(start: *mut u8, len: usize) -> bool {
    let page = page_size();
    let before = start.addr() % page;
    let len = (before + len).next_multiple_of(page);
    // SAFETY: the caller vouches for the range, and a reservation is whole pages.
    !is_refused("commit") && unsafe { system::commit(start.wrapping_sub(before), len) }
}

/// Gives the memory of the whole pages in `len` bytes from `start` on back to the operating system. They are zero when
/// they are next used. Returns the number of bytes.
///
/// # Safety
///
/// They are committed, and no thread uses their contents.
pub(crate) unsafe fn discard(start: *mut u8, len: usize) -> usize {
    let (skip, len) = whole_pages(start, len);
    // SAFETY: whole pages. The caller says that no thread uses their contents.
    if len > 0 && !is_refused("discard") && unsafe { system::discard(start.wrapping_add(skip), len) } { len } else { 0 }
}

/// Makes `len` bytes from `start` on zero. Whole pages go back to the operating system for that, if it takes them.
///
/// # Safety
///
/// They are committed, and are the caller's.
pub(crate) unsafe fn zero(start: *mut u8, len: usize) {
    let (skip, whole) = whole_pages(start, len);
    // SAFETY: the caller vouches for them.
    let discarded = unsafe { discard(start, len) };
    let (before, after) = if discarded == whole && whole > 0 { (skip, len - skip - whole) } else { (len, 0) };
    // SAFETY: both are parts of the caller's bytes: those before the whole pages, or all, and those behind them.
    unsafe {
        start.write_bytes(0, before);
        start.wrapping_add(len - after).write_bytes(0, after);
    }
}

/// Asks for such pages behind `len` bytes from `start` on, which lie in a [`Reservation`]. The system need not follow.
pub(crate) fn wish(start: *mut u8, len: usize, pages: Pages) {
    let (skip, len) = whole_pages(start, len);
    if len > 0 && !is_refused("wish") {
        system::wish(start.wrapping_add(skip), len, pages);
    }
}

/// Makes the operating system give the memory behind `len` bytes from `start` on now, in one call. Where it can't, each
/// page comes at its first use, as always.
///
/// # Safety
///
/// They are committed.
pub(crate) unsafe fn populate(start: *mut u8, len: usize) {
    let (skip, len) = whole_pages(start, len);
    if len > 0 && !is_refused("populate") {
        // SAFETY: the caller vouches for the range.
        unsafe { system::populate(start.wrapping_add(skip), len) };
    }
}

/// Writes to each page of `len` bytes from `start` on, so that there is memory behind all of them.
///
/// # Safety
///
/// They are committed, zero, and the caller's.
pub(crate) unsafe fn prefault(start: *mut u8, len: usize) {
    // SAFETY: the caller vouches for the range.
    unsafe { populate(start, len) };
    for offset in (0..len).step_by(page_size()) {
        // SAFETY: inside the caller's range. Volatile: else the compiler could leave out a write of the value that is
        // there.
        unsafe { start.wrapping_add(offset).write_volatile(0) };
    }
}

/// Keeps the memory behind `len` bytes from `start` on from being swapped out. False: the system does not allow it.
///
/// # Safety
///
/// They are committed.
pub(crate) unsafe fn lock(start: *mut u8, len: usize) -> bool {
    // SAFETY: the caller vouches for the range.
    !is_refused("lock") && unsafe { system::lock(start, len) }
}

/// Bytes of `len` bytes from `start` on that are in memory, in whole pages. `None`: the system does not say. O(pages).
///
/// # Safety
///
/// They are committed, or somebody else's memory.
pub(crate) unsafe fn resident(start: *mut u8, len: usize) -> Option<usize> {
    let page = page_size();
    let before = start.addr() % page;
    let len = (before + len).next_multiple_of(page);
    // SAFETY: the caller vouches for the range, and what is mapped is whole pages.
    if is_refused("resident") { None } else { unsafe { system::resident(start.wrapping_sub(before), len, page) } }
}

/// Bytes of a system page.
pub(crate) fn page_size() -> usize {
    // It is not 0 in any case; so the compiler knows that nothing is divided by that.
    system::page_size().max(1)
}

/// The whole pages in a range: bytes before them, and their bytes.
fn whole_pages(start: *mut u8, len: usize) -> (usize, usize) {
    let page = page_size();
    let skip = start.addr().wrapping_neg() % page;
    (skip, len.saturating_sub(skip) / page * page)
}
