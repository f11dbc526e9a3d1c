//! Classes: the sizes of blocks, some of them between two orders.

use super::order::Order;
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

/// The sizes that a pool serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Sizes {
    /// One size a doubling.
    #[default]
    PowersOfTwo,
}

impl Class {
    /// Entries of a table that has one for each class.
    pub const COUNT: usize = Order::COUNT << STEP_BITS;
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
    pub const fn slot(self) -> usize {
        // Outside of models the code itself, which the compiler does not see.
        match Order::COUNT.trailing_zeros() {
            ORDER_BITS => self.0 as usize,
            bits => self.order_slot() | (self.steps() as usize) << bits,
        }
    }

    const fn order_slot(self) -> usize {
        self.0 as usize & (Order::COUNT - 1)
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
    /// The classes that these sizes have, those of orders first.
    pub(crate) fn classes(self) -> impl Iterator<Item = Class> {
        let Self::PowersOfTwo = self;
        Order::ZERO.through(Order::MAX).map(Class::of)
    }
}
