//! Orders, block indices, and the geometry of one heap: sizes ↔ orders, and the buddy of a block.
//!
//! The buddy system is Knowlton's (A fast storage allocator, 1965). The buddy of a block differs in one bit of the
//! *absolute* number of its first unit. So every block is aligned to its own size as an address, whatever the base of
//! the heap.

use crate::sync::model_or;
use core::ops::Range;

/// The size of a block, as a power of two: a block of order k has 2^k units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Order(u8);

impl Order {
    /// How many orders there are. Indices have 32 bits, so that 2^31 units is the largest block.
    /// Under loom few: each free stack is a tracked object, and no model has more than 8 units.
    pub const COUNT: usize = model_or(4, 32);

    const _POWER_OF_TWO: () = assert!(Self::COUNT.is_power_of_two());

    /// The order of one unit.
    pub const ZERO: Self = Self(0);
    /// The largest order.
    pub const MAX: Self = Self(Self::COUNT as u8 - 1);

    /// The order of number `order`, if there is one.
    #[inline]
    pub const fn new(order: u32) -> Option<Self> {
        if order < Self::COUNT as u32 { Some(Self(order as u8)) } else { None }
    }

    /// The smallest order of at least `units` units, if there is one.
    #[inline]
    pub const fn covering(units: usize) -> Option<Self> {
        if units <= 1 {
            return Some(Self::ZERO);
        }
        Self::new(usize::BITS - (units - 1).leading_zeros())
    }

    /// The order as a number.
    #[inline]
    pub const fn get(self) -> u32 {
        self.0 as u32
    }

    /// The order as an index into a table with an entry for each order.
    #[inline]
    pub const fn place(self) -> usize {
        // The mask changes nothing; it saves a bounds check.
        self.0 as usize & (Self::COUNT - 1)
    }

    /// Units of a block of this order.
    #[inline]
    pub const fn units(self) -> u32 {
        1 << self.0
    }

    /// The next larger order, if there is one.
    #[inline]
    pub const fn up(self) -> Option<Self> {
        Self::new(self.get() + 1)
    }

    /// The next smaller one.
    #[inline]
    pub const fn down(self) -> Option<Self> {
        if self.0 == 0 { None } else { Some(Self(self.0 - 1)) }
    }

    /// The orders from this one up to and without `end`, ascending.
    #[inline]
    pub fn until(self, end: Self) -> impl DoubleEndedIterator<Item = Self> {
        (self.0..end.0).map(Self)
    }

    /// The orders from this one up to and with `last`, ascending.
    #[inline]
    pub fn through(self, last: Self) -> impl DoubleEndedIterator<Item = Self> {
        (self.0..=last.0).map(Self)
    }
}

/// The first unit of a block, counted from the first unit of its heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlockIndex(u32);

impl BlockIndex {
    /// The block that begins at `unit`.
    #[inline]
    pub const fn new(unit: u32) -> Self {
        Self(unit)
    }

    /// The number of its first unit.
    #[inline]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Its first unit as an index into a table with an entry for each unit.
    #[inline]
    pub const fn place(self) -> usize {
        self.0 as usize
    }

    /// The block that begins `blocks` blocks of `order` further on. The caller knows that this is inside the heap.
    #[inline]
    pub const fn after(self, blocks: u32, order: Order) -> Self {
        Self(self.0 + (blocks << order.get()))
    }

    /// The block that begins `blocks` blocks of `order` before, if that is not before the heap.
    pub(super) fn before(self, blocks: u32, order: Order) -> Option<Self> {
        self.0.checked_sub(blocks.checked_mul(order.units())?).map(Self)
    }

    /// The unit after the last one of this block, if it has `order`. Wider than an index: a heap may use all indices.
    #[inline]
    pub const fn end(self, order: Order) -> u64 {
        self.0 as u64 + order.units() as u64
    }
}

/// The shape of a heap: its units, where its first unit lies between the boundaries of blocks, and the largest order
/// that it uses.
#[derive(Clone, Copy, Debug)]
pub struct Geometry {
    units: u32,
    skew: u32,
    max_order: Order,
    max_order_if_aligned: Order,
}

impl Geometry {
    /// Most units of a heap. An index has 32 bits, and a free stack needs one value that is no index.
    pub const MAX_UNITS: u32 = u32::MAX;

    /// The geometry of `units` units with no block above `max_order`. `first_unit` is the absolute number of the first
    /// one: its address in units.
    pub fn new(units: u32, first_unit: u64, max_order: Order) -> Self {
        let max_order_if_aligned = units.checked_ilog2().map_or(Order::ZERO, |order| Order(order as u8)).min(max_order);
        // No order needs more than the low 31 bits of a unit's number.
        let mut geometry = Self { units, skew: first_unit as u32, max_order, max_order_if_aligned };
        geometry.max_order = geometry.blocks(0..units).map(|(_, order)| order).max().unwrap_or(Order::ZERO);
        geometry
    }

    /// The low bits of the absolute number of the first unit: how far behind a boundary of blocks the heap begins.
    #[inline]
    pub const fn lead(&self) -> u32 {
        self.skew
    }

    /// Units in the heap.
    #[inline]
    pub const fn units(&self) -> u32 {
        self.units
    }

    /// The order of the largest block that this heap can ever form.
    #[inline]
    pub const fn max_order(&self) -> Order {
        self.max_order
    }

    /// The order of the largest block that these units could form if the heap began at a boundary.
    pub const fn max_order_if_aligned(&self) -> Order {
        self.max_order_if_aligned
    }

    /// Is a block of `order` aligned to its size where `block` begins?
    #[inline]
    pub const fn is_aligned(&self, block: BlockIndex, order: Order) -> bool {
        block.0.wrapping_add(self.skew) & (order.units() - 1) == 0
    }

    /// Units from `block` on to where a block of `order` can begin.
    pub const fn gap(&self, block: BlockIndex, order: Order) -> u32 {
        block.0.wrapping_add(self.skew).wrapping_neg() & (order.units() - 1)
    }

    /// Is a block of `order` at `block` the upper one of its pair?
    #[inline]
    pub const fn is_upper(&self, block: BlockIndex, order: Order) -> bool {
        block.0.wrapping_add(self.skew) & order.units() != 0
    }

    /// Does a block of `order` at `block` end inside the heap?
    #[inline]
    pub const fn fits(&self, block: BlockIndex, order: Order) -> bool {
        block.end(order) <= self.units as u64
    }

    /// The lower buddy of an upper block, unless it would begin before the heap, or the pair would be larger than the
    /// largest block.
    #[inline]
    pub fn lower_buddy(&self, upper: BlockIndex, order: Order) -> Option<BlockIndex> {
        if order >= self.max_order || !self.is_upper(upper, order) {
            return None;
        }
        upper.0.checked_sub(order.units()).map(BlockIndex)
    }

    /// The buddy of a block, and the order of both together, if the heap has them.
    pub fn buddy_of(&self, block: BlockIndex, order: Order) -> Option<(BlockIndex, Order)> {
        let up = order.up().filter(|up| *up <= self.max_order)?;
        let buddy = if self.is_upper(block, order) { self.lower_buddy(block, order)? } else { block.after(1, order) };
        self.fits(block.min(buddy), up).then_some((buddy, up))
    }

    /// Where a block of `order` that contains `unit` would begin, unless that is before the heap.
    #[inline]
    pub fn enclosing(&self, unit: BlockIndex, order: Order) -> Option<BlockIndex> {
        unit.0.checked_sub(unit.0.wrapping_add(self.skew) & (order.units() - 1)).map(BlockIndex)
    }

    /// Cuts a range of units into the fewest aligned blocks, ascending.
    pub fn blocks(&self, range: Range<u32>) -> impl Iterator<Item = (BlockIndex, Order)> + use<> {
        let Self { skew, max_order, .. } = *self;
        let mut at = range.start;
        core::iter::from_fn(move || {
            let room = range.end.checked_sub(at)?;
            let aligned = at.wrapping_add(skew).trailing_zeros();
            let order = Order(aligned.min(room.checked_ilog2()?).min(max_order.get()) as u8);
            let block = BlockIndex(at);
            // Not past `range.end`, which is an index or one past the last.
            at += order.units();
            Some((block, order))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn covering_rounds_up() {
        for (units, order) in [(0, 0), (1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (1 << 31, 31)] {
            assert_eq!(Order::covering(units), Order::new(order), "{units} units");
        }
        assert_eq!(Order::covering((1 << 31) + 1), None);
        assert_eq!(Order::covering(usize::MAX), None);
    }

    #[test]
    fn blocks_tile_any_range_and_are_aligned() {
        for skew in 0..40u64 {
            for units in 1..40 {
                let geometry = Geometry::new(units, skew, Order::MAX);
                let mut at = 0;
                for (block, order) in geometry.blocks(0..units) {
                    assert_eq!(block.get(), at);
                    assert!(geometry.is_aligned(block, order) && geometry.fits(block, order));
                    at += order.units();
                }
                assert_eq!(at, units);
            }
        }
    }

    #[test]
    fn the_largest_heap_has_no_buddy_outside() {
        let geometry = Geometry::new(Geometry::MAX_UNITS, 1 << 31, Order::MAX);
        assert_eq!(geometry.max_order().get(), 31);
        let first = BlockIndex::new(0);
        assert!(geometry.is_upper(first, Order::MAX));
        assert_eq!(geometry.lower_buddy(first, Order::MAX), None);
        assert_eq!(geometry.blocks(0..Geometry::MAX_UNITS).map(|(_, order)| order.units()).sum::<u32>(), u32::MAX);
    }
}
