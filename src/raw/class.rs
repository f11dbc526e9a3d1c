//! Classes: the sizes of blocks, some of them between two orders.

use super::order::{BlockIndex, Order};
use crate::sync::model_or;

/// Sizes from one power of two up to the next, as a power of two.
/// Under loom two: each class has objects of its own in a cache.
const STEP_BITS: u32 = model_or(1, 3);
const STEPS: u32 = 1 << STEP_BITS;
/// Bits of a code that have the order.
const ORDER_BITS: u32 = 5;
const _: () = assert!(Order::COUNT <= 1 << ORDER_BITS);

/// The size of a block: an order, and some eighths of it more. There are eight classes a doubling, fewer below eight
/// units, where an eighth is less than a unit.
///
/// | bits of the code | meaning |
/// |---|---|
/// | 0 to 4 | order: the largest power of two of units that the size has |
/// | 5 to 7 | how many eighths of that it has more |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Class(u8);

/// The sizes of the blocks of a pool.
///
/// # Examples
///
/// ```
/// use mempool::{MemoryPool, Sizes};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let pool = MemoryPool::builder().sizes(Sizes::Eighths).build()?;
/// pool.add_heap(std::ptr::without_provenance_mut(1 << 20), 1 << 16)?;
/// let block = pool.alloc(std::alloc::Layout::new::<[u8; 1100]>())?;
/// assert_eq!(pool.block_size(block)?, 1152); // 9 eighths of 1 KiB
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[repr(u8)]
#[non_exhaustive]
pub enum Sizes {
    /// Powers of two.
    #[default]
    PowersOfTwo,
    /// Eight sizes from one power of two to the next, whole numbers of smallest blocks.
    Eighths,
}

impl Class {
    /// Entries of a table that has one for each class.
    pub const COUNT: usize = Order::COUNT << STEP_BITS;
    /// The largest class of an order has fewer eighths.
    pub(super) const EIGHTHS_OF_LARGEST: u32 = 2 * STEPS;
    /// One unit.
    pub const UNIT: Self = Self::of(Order::ZERO);

    /// The class of the blocks of an order.
    #[inline]
    pub const fn of(order: Order) -> Self {
        Self(order.get() as u8)
    }

    /// The class as a number, for [`from_code`](Self::from_code).
    #[inline]
    pub(crate) const fn code(self) -> u8 {
        self.0
    }

    /// A code that no class has: no pool serves that many units.
    pub(crate) const NO_CODE: u8 = u8::MAX;

    /// The class with this code, `None` for [`NO_CODE`](Self::NO_CODE).
    #[inline]
    pub(crate) const fn from_code_or_none(code: u8) -> Option<Self> {
        if code == Self::NO_CODE { None } else { Some(Self(code)) }
    }

    /// The class with this [`code`](Self::code).
    #[inline]
    pub(crate) const fn from_code(code: u8) -> Self {
        Self(code)
    }

    /// The class as an index into a table with an entry for each class. Those of orders come first.
    #[inline]
    pub const fn place(self) -> usize {
        // Outside of models the code itself, which the compiler does not see.
        match Order::COUNT.trailing_zeros() {
            ORDER_BITS => self.0 as usize,
            bits => self.order_slot() | (self.steps() as usize) << bits,
        }
    }

    /// The class with this index into such a table, if it is one.
    #[inline]
    fn of_place(place: usize) -> Option<Self> {
        let steps = place >> Order::COUNT.trailing_zeros();
        Self::between(Order::new((place & (Order::COUNT - 1)) as u32)?, steps as u32)
    }

    const fn order_slot(self) -> usize {
        self.0 as usize & (Order::COUNT - 1)
    }

    /// Is it the class of an order?
    #[inline]
    pub const fn is_order(self) -> bool {
        self.steps() == 0
    }

    /// The smallest order that is no smaller, if there is one.
    #[inline]
    pub const fn covering(self) -> Option<Order> {
        if self.is_order() { Some(self.order()) } else { self.order().up() }
    }

    /// The largest order whose blocks a block of this class is a whole number of. Such a block begins where blocks of
    /// that order may.
    pub const fn alignment(self) -> Order {
        match Order::new(self.units().trailing_zeros()) {
            Some(order) => order,
            None => Order::MAX,
        }
    }

    /// Where there is a block of this class, is there one of the `other`, too, as a part of it?
    pub(super) const fn implies(self, other: Self) -> bool {
        let more = self.units().checked_sub(other.units());
        let (align, other) = (self.alignment(), other.alignment());
        matches!(more, Some(more) if align.get() >= other.get() || more >= other.units() - 1)
    }

    /// The unit after the last one of a block of this class.
    #[inline]
    pub const fn end(self, block: BlockIndex) -> u64 {
        block.get() as u64 + self.units() as u64
    }

    /// An eighth of an order, a unit at least: where blocks of its classes may begin.
    pub(super) const fn eighth(order: Order) -> Order {
        match Order::new(order.get().saturating_sub(STEP_BITS)) {
            Some(eighth) => eighth,
            None => Order::ZERO,
        }
    }

    /// The tails of a block of this class: all parts after the first one. Where they begin, and their orders.
    pub(super) fn tails(self, block: BlockIndex) -> impl Iterator<Item = (BlockIndex, Order)> {
        let (steps, order) = (self.steps(), self.order());
        let mut at = block.after(1, order);
        (1..=STEP_BITS).filter(move |down| steps >> (STEP_BITS - down) & 1 != 0).filter_map(move |down| {
            let (part, size) = (at, Order::new(order.get().checked_sub(down)?)?);
            at = at.after(1, size);
            Some((part, size))
        })
    }

    /// The class of `steps` eighths more than `order`, if those are whole units.
    #[inline]
    fn between(order: Order, steps: u32) -> Option<Self> {
        let is_whole = order.get() + steps.trailing_zeros() >= STEP_BITS;
        let code = order.get() as u8 | (steps as u8) << ORDER_BITS;
        Self::from_code_or_none(code).filter(|_| is_whole)
    }

    /// The smallest class of at least `units` units, 1 or more, if there is one.
    pub const fn of_eighths(units: usize) -> Option<Self> {
        let Some(bits) = units.checked_ilog2() else { return None };
        let (more, order) = (units - (1 << bits), Order::new(bits));
        let steps = match bits.checked_sub(STEP_BITS) {
            None => more << (STEP_BITS - bits),
            Some(_) if more == 0 => 0,
            Some(shift) => ((more - 1) >> shift) + 1,
        };
        match order {
            Some(order) if steps == STEPS as usize => match order.up() {
                Some(order) => Some(Self::of(order)),
                None => None,
            },
            Some(order) => Self::from_code_or_none(order.get() as u8 | (steps as u8) << ORDER_BITS),
            None => None,
        }
    }

    /// How many eighths it has more than its order.
    const fn steps(self) -> u32 {
        (self.0 as u32 >> ORDER_BITS) & (STEPS - 1)
    }

    /// The largest order that is no larger.
    #[inline]
    pub const fn order(self) -> Order {
        match Order::new(self.order_slot() as u32) {
            Some(order) => order,
            None => Order::MAX,
        }
    }

    /// Units of a block of this class.
    #[inline]
    pub const fn units(self) -> u32 {
        // At most 15 eighths of 2^31.
        (((STEPS + self.steps()) as u64) << self.order().get() >> STEP_BITS) as u32
    }
}

impl From<Order> for Class {
    #[inline]
    fn from(order: Order) -> Self {
        Self::of(order)
    }
}

impl Sizes {
    /// The smallest class of at least `last_unit` + 1 units, if there is one.
    #[inline]
    pub(crate) const fn covering(self, last_unit: usize) -> Option<Class> {
        match self {
            // As many bits as the number of the last unit has.
            Self::PowersOfTwo => match Order::new(usize::BITS - last_unit.leading_zeros()) {
                Some(order) => Some(Class::of(order)),
                None => None,
            },
            // It is none, but where there are no bytes: then too many units.
            Self::Eighths => match last_unit.checked_add(1) {
                Some(units) => Class::of_eighths(units),
                None => None,
            },
        }
    }

    /// The classes that these sizes have, those of orders first.
    #[inline]
    pub(crate) fn classes(self) -> impl Iterator<Item = Class> {
        let count = if self == Self::Eighths { Class::COUNT } else { Order::COUNT };
        (0..count).filter_map(Class::of_place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eighths_cover_and_waste_no_more_than_an_eighth() {
        let mut last = 0;
        for units in 1..10_000 {
            let Some(class) = Sizes::Eighths.covering(units - 1) else { continue };
            let size = class.units() as usize;
            assert!(size >= units && size >= last && (size - units) * STEPS as usize <= units, "{units}: {class:?}");
            last = size;
            assert!(class.is_order() == size.is_power_of_two() && class.order().units() as usize * 2 > size);
            assert_eq!(Sizes::Eighths.covering(size - 1), Some(class), "{units}");
            assert!(class.covering().is_none_or(|order| Order::covering(size) == Some(order)));
            let (mut end, begin) = (5 + class.order().units(), BlockIndex::new(5));
            for (part, order) in class.tails(begin) {
                assert_eq!(part.get(), end);
                end += order.units();
            }
            assert_eq!(end as usize, 5 + size, "{units}: {class:?}");
            assert!(
                size.is_multiple_of(class.alignment().units() as usize) && size >> class.alignment().get() & 1 == 1
            );
        }
        let classes = Sizes::Eighths.classes();
        assert!(classes.into_iter().all(|class| Sizes::Eighths.covering(class.units() as usize - 1) == Some(class)));
        assert_eq!(Sizes::Eighths.covering(usize::MAX), None);
        assert_eq!(Sizes::PowersOfTwo.covering(usize::MAX), None);
    }
}
