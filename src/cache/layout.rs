//! How large the tables of a cache are.

use crate::raw::Order;
use crate::sync::model_or;

/// Most blocks of a magazine.
/// Under loom few: each entry is a tracked object.
pub const MAGAZINE: usize = model_or(2, 128);

/// Magazines of one class in a depot.
/// Under loom two: the second one shows what happens while the first is busy.
pub const PLACES: usize = model_or(2, 8);

/// Entries that the classes share for one magazine of each.
/// Under loom as many as they can use.
pub const MAGAZINE_ENTRIES: usize = model_or(Order::COUNT * MAGAZINE, 1024);

/// Outboxes of a cache.
/// Under loom two: each is a few tracked objects.
pub const OUTBOXES: usize = model_or(2, 32);

/// Bits that number the entries of all bins.
pub const PLACE_BITS: u32 = 14;

/// Entries of all bins of a cache.
/// Under loom few: each is a tracked object.
pub const ENTRIES: usize = model_or(32, 1 << PLACE_BITS);
const _: () = assert!(ENTRIES.is_power_of_two() && ENTRIES <= 1 << PLACE_BITS);

/// Entries of the bins of the classes, with one before each bin: all, without the outboxes'. The last entry belongs to
/// no bin, so that the place after a bin is a place.
pub const BIN_ENTRIES: usize = ENTRIES - 1 - OUTBOXES * (MAGAZINE + 1);
