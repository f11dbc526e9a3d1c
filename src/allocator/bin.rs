//! A bin of a cache: an array of blocks, the youngest on top.
//!
//! It is a pointer to its top, and the lowest 16 bits of where its array begins and of where it may be filled to. These
//! are enough, since no array is longer.

use core::cell::Cell;

use super::meta::MetaSize;

/// Flag of [`Bounds::missed`]: the bin had no block.
pub(super) const EMPTY: u8 = 1;
/// Flag of [`Bounds::missed`]: the bin had no room.
pub(super) const FULL: u8 = 2;
/// Flag of [`Bounds::missed`]: the bin had no block since the heap rose.
pub(super) const NEEDED: u8 = 4;
/// Flag of [`Bounds::missed`]: the bin gave its older half away since it grew.
pub(super) const SHED: u8 = 8;
/// Value of [`Bounds::seen`]: the bin missed since it was inspected.
pub(super) const IN_USE: u16 = u16::MAX;

/// The place behind the youngest block of a bin. Null for a bin that was never used.
pub(super) type Top = Cell<*mut *mut u8>;

/// The rest of a bin. Zeroes for a bin that was never used: it is empty, and has no room.
#[derive(Debug, Default)]
pub(super) struct Bounds {
    /// The lowest bits of where the array begins.
    pub(super) bottom: Cell<u16>,
    /// The lowest bits of where the array may be filled to.
    pub(super) limit: Cell<u16>,
    /// The number of blocks at the last inspection, or [`IN_USE`].
    pub(super) seen: Cell<u16>,
    /// Flags: how the bin missed since it grew.
    pub(super) missed: Cell<u8>,
}
const _: () = assert!(size_of::<Bounds>() <= size_of::<u64>());

/// One bin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bin<'a> {
    pub(super) top: &'a Top,
    pub(super) bounds: &'a Bounds,
}

/// The lowest bits of an address.
#[inline(always)]
pub(super) fn low(place: *mut *mut u8) -> u16 {
    place.addr() as u16
}

impl Bin<'_> {
    /// Bytes from the bottom to another place.
    pub(super) fn bytes_to(&self, low: u16) -> usize {
        low.wrapping_sub(self.bounds.bottom.get()).into()
    }

    /// The beginning of the array; null, if there is none.
    pub(super) fn array(&self) -> *mut *mut u8 {
        let top = self.top.get();
        top.wrapping_byte_sub(self.bytes_to(low(top)))
    }

    pub(super) fn len(&self) -> usize {
        self.bytes_to(low(self.top.get())) / size_of::<*mut u8>()
    }

    pub(super) fn capacity(&self) -> usize {
        self.bytes_to(self.bounds.limit.get()) / size_of::<*mut u8>()
    }

    pub(super) fn set_len(&self, len: usize) {
        self.top.set(self.array().wrapping_add(len));
    }

    /// Sets an array with `len` blocks and room for `capacity`.
    pub(super) fn set_array(&self, array: *mut *mut u8, len: usize, capacity: usize) {
        self.top.set(array.wrapping_add(len));
        self.bounds.bottom.set(low(array));
        self.bounds.limit.set(low(array.wrapping_add(capacity)));
    }

    pub(super) fn array_size(&self) -> MetaSize {
        MetaSize::covering(self.capacity() * size_of::<*mut u8>())
    }
}
