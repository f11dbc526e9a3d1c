//! How slabs are cut.

use super::bitmap::Slots;
use crate::sync::model_or;

/// Most bitmaps of a slab.
/// Under loom two: each bitmap is two tracked objects.
pub const BITMAPS: u32 = model_or(2, 4);

/// Slot numbers of each bitmap of a slab. A bitmap has [`Slots::MOST`] slots, so the last number of each is no slot.
pub const STRIDE: u32 = 64;

/// How slabs of a class are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Pages, at most 256.
    pub pages: u32,
    /// Numbers of slots, at most [`BITMAPS`] times [`STRIDE`].
    pub slots: u32,
}

impl Shape {
    /// All slots of one of the slab's bitmaps.
    pub(super) const fn slots_of(self, nth: u32) -> Slots {
        Slots::first(self.slots.saturating_sub(nth * STRIDE))
    }

    /// Bitmaps besides the first one.
    pub(super) const fn extra(self) -> u32 {
        self.slots.saturating_sub(1) / STRIDE
    }

    pub(super) const fn is_one_bitmap(self) -> bool {
        self.extra() == 0
    }
}

/// One of the bitmaps of a slab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BitmapId {
    /// The first page of the slab.
    pub head: u32,
    /// Which of its bitmaps, from 0.
    pub nth: u32,
}

impl BitmapId {
    /// Which it is, as an index into an array with an entry for each bitmap of a slab.
    pub(super) const fn in_slab(self) -> usize {
        // The remainder changes nothing; it saves a bounds check.
        (self.nth % BITMAPS) as usize
    }
}
