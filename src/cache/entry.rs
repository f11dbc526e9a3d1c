//! A block as bins and magazines have it.

/// The number of the first unit of a block among all units of the pool: the number of the first unit of its heap, plus
/// its own within the heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry(pub u32);

impl Entry {
    /// No block: no unit of any heap has this number.
    pub const NONE: Self = Self(u32::MAX);
}
