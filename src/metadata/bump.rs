//! A range of zeroes from which tables are cut, one after the other.

use core::ptr::NonNull;

use super::zeroed::Unavailable;

/// The rest of the range.
#[derive(Debug)]
pub(crate) struct Bump {
    next: NonNull<u8>,
    left: usize,
}

/// A table of at least this many bytes is long: in a reservation it begins at a page, and has memory as far as its heap
/// has grown. A short one shares no pair of cache lines with another table, unless both are shorter.
pub(super) const LONG: usize = 256 << 10;
const LINES: usize = 128;
const LEAST: usize = 16;

const fn align_of(bytes: usize) -> usize {
    match bytes {
        LONG.. => 4096,
        0 | LINES.. => LINES,
        LEAST.. => bytes.next_power_of_two(),
        _ => LEAST,
    }
}

/// Most bytes that a table of `len` values takes of a range.
#[cfg(not(modelled))]
pub(crate) const fn room<T>(len: usize) -> usize {
    let bytes = len * size_of::<T>();
    bytes + align_of(bytes)
}

impl Bump {
    /// All of `memory`.
    ///
    /// # Safety
    ///
    /// It is zero where there is memory behind it, and nobody else has it for as long as anything that is cut from it.
    pub(crate) unsafe fn new(memory: NonNull<[u8]>) -> Self {
        Self { next: memory.cast(), left: memory.len() }
    }

    /// Bytes that are left.
    #[cfg(not(modelled))]
    pub(crate) fn left(&self) -> usize {
        self.left
    }

    /// Cuts `bytes` bytes off. `lead` bytes before them is the beginning of a line or a page.
    #[cfg_attr(modelled, expect(dead_code, reason = "models have all their tables from the global allocator"))]
    pub(super) fn take(&mut self, bytes: usize, lead: usize) -> Result<NonNull<u8>, Unavailable> {
        let skip = lead.wrapping_sub(self.next.addr().get()) % align_of(bytes);
        let left = bytes.checked_add(skip).and_then(|taken| self.left.checked_sub(taken));
        self.left = left.ok_or(Unavailable { bytes })?;
        // SAFETY: both: at most the end of the range.
        let (first, end) = unsafe { (self.next.add(skip), self.next.add(skip + bytes)) };
        self.next = end;
        Ok(first)
    }
}
