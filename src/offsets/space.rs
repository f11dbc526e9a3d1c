//! Offsets ↔ addresses of the pool below, which are units: the first unit of the space has address 1, as 0 is null.

use core::num::NonZeroUsize;
use core::ptr::NonNull;

use super::error::AddRangeError;
use crate::heaps::Region;
use crate::raw::{Class, Geometry};

/// The address of the first unit.
const FIRST: u64 = 1;

/// The address of the unit that begins at an offset. For an offset at which none begins it is one that no range has.
#[inline]
pub(super) fn address(offset: u64, min_shift: u32) -> usize {
    // The bits below a unit go to the top. There they make the number too large for any unit, since a unit has 16 bytes
    // at least. Where a `usize` has not the bits, it is null.
    usize::try_from(offset.rotate_right(min_shift).wrapping_add(FIRST)).unwrap_or(0)
}

/// The address of the unit in which an offset lies; null, if there can be none.
pub(super) fn address_within(offset: u64, min_shift: u32) -> usize {
    usize::try_from((offset >> min_shift) + FIRST).unwrap_or(0)
}

/// The offset of the unit that has this address.
#[inline]
pub(super) fn offset(block: NonNull<u8>, min_shift: u32) -> u64 {
    (block.addr().get() as u64).wrapping_sub(FIRST) << min_shift
}

/// Bytes of a block that a range has.
#[inline]
pub(super) fn bytes(class: Class, min_shift: u32) -> u64 {
    u64::from(class.units()) << min_shift
}

/// Checks a range, to be cut into units of 2^`min_shift` bytes.
pub(super) fn region(start: u64, len: u64, min_shift: u32, word: u64) -> Result<Region, AddRangeError> {
    if len == 0 {
        return Err(AddRangeError::Empty);
    }
    let last = start.checked_add(len - 1).ok_or(AddRangeError::Overflow { start, len })?;
    let low = (1 << min_shift) - 1;
    let (first_unit, end_unit) =
        ((start >> min_shift) + u64::from(start & low != 0), (last >> min_shift) + u64::from(!last & low == 0));
    let units = match end_unit.saturating_sub(first_unit) {
        0 => return Err(AddRangeError::TooSmall { start, len, min_block: 1 << min_shift }),
        units => u32::try_from(units).map_err(|_| {
            let max = u128::from(Geometry::MAX_UNITS) << min_shift;
            AddRangeError::TooLarge { len, max: u64::try_from(max).unwrap_or(u64::MAX) }
        })?,
    };
    // The address of the last unit is one, too.
    let first =
        usize::try_from(end_unit - 1 + FIRST).ok().and_then(|_| NonZeroUsize::new((first_unit + FIRST) as usize));
    match first {
        Some(first) => Ok(Region::of_units(first, units, first_unit, min_shift, word)),
        None => {
            let most = u128::from((usize::MAX as u64 - FIRST) + 1) << min_shift;
            Err(AddRangeError::OutOfReach { last, most: u64::try_from(most - 1).unwrap_or(u64::MAX) })
        }
    }
}
