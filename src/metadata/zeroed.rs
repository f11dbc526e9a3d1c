//! Values that may begin as zeroes, and the error of memory that can't be had.

use crate::sync::{AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicU64, SharedU8};

/// There was no memory for a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unavailable {
    /// Requested size in bytes; `usize::MAX` if a `usize` can't hold it.
    pub bytes: usize,
}

/// A value whose all-zero bytes are valid and equal to its `Default`.
///
/// # Safety
///
/// The all-zero bit pattern is a valid value of the type, and dropping a value does nothing.
pub(crate) unsafe trait Zeroed: Default {}

// SAFETY: a transparent wrapper of an atomic integer, which has the bit validity of the integer: zero is valid.
unsafe impl Zeroed for AtomicU8 {}
// SAFETY: as above.
unsafe impl Zeroed for SharedU8 {}
// SAFETY: as above.
unsafe impl Zeroed for AtomicU16 {}
// SAFETY: as above.
unsafe impl Zeroed for AtomicU32 {}
// SAFETY: as above.
unsafe impl Zeroed for AtomicU64 {}
// SAFETY: a transparent wrapper of an atomic pointer, which has the bit validity of the pointer: null is valid.
unsafe impl<T> Zeroed for AtomicPtr<T> {}
