//! The id of a heap.

use core::fmt;

/// The id of a heap within its pool. Ids are given in the order in which heaps are added, from 0, and never again:
/// 2^64 of them last for centuries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct HeapId(pub(crate) u64);

impl HeapId {
    /// The id of this number, which [`get`](Self::get) returned; for programs that keep it as a number, as C's do.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The id as a number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The id after it. There is always one.
    pub(crate) fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for HeapId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "heap {}", self.0)
    }
}
