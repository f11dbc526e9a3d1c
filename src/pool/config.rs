//! The configuration of a pool, and the class of a size.

use crate::cache::Allowance;
use crate::raw::{Class, Order, Sizes};

/// Smallest `min_block` in bytes.
const LEAST_MIN_BLOCK: usize = 16;

/// The step of the table of small sizes, as a shift: no unit is smaller.
const STEP: u32 = LEAST_MIN_BLOCK.trailing_zeros();
/// Steps in the table: sizes up to 4 KiB.
const STEPS: usize = 256;

/// A configuration, checked.
#[derive(Clone)]
pub(crate) struct Config {
    /// The codes of the classes of small sizes, by the number of the size's last step. A table is faster than to count
    /// bits, or to shift by a number that the compiler does not know.
    classes: [u8; STEPS],
    /// A unit has 2^`address_shift` addresses: as many as bytes, but in a pool of offsets one.
    pub(crate) address_shift: u32,
    /// A unit has 2^`min_shift` bytes.
    pub(crate) min_shift: u32,
    /// The order of the largest block.
    pub(crate) max_order: Order,
    /// What the cache of a thread may hold.
    pub(crate) thread_cache: Allowance,
    /// The sizes of blocks.
    pub(crate) sizes: Sizes,
    /// May caches have a bias?
    pub(crate) biased: bool,
}

impl Config {
    /// Blocks from 64 bytes on, a cache line, with no limit above; caches of 1 MiB, and big blocks on top.
    pub(crate) const DEFAULT: Self = Self::new(6, Order::MAX, Allowance::DEFAULT, Sizes::PowersOfTwo);

    /// Of offsets: blocks of 4 KiB, as pages have; the rest as by default.
    pub(crate) const OFFSETS: Self = Self::new(12, Order::MAX, Allowance::DEFAULT, Sizes::PowersOfTwo).of_units();

    /// May the smallest blocks have `bytes` bytes?
    pub(crate) const fn is_min_block(bytes: u64) -> bool {
        bytes.is_power_of_two() && bytes >= LEAST_MIN_BLOCK as u64
    }

    pub(super) const fn new(min_shift: u32, max_order: Order, thread_cache: Allowance, sizes: Sizes) -> Self {
        let mut classes = [Class::NO_CODE; STEPS];
        let mut step = 0;
        while step < STEPS {
            // Under loom there are fewer orders than the table has sizes for.
            // A unit may be larger than any `usize`.
            let last_unit = if min_shift < usize::BITS { (step << STEP) >> min_shift } else { 0 };
            if let Some(class) = sizes.covering(last_unit) {
                classes[step] = class.code();
            }
            step += 1;
        }
        Self { classes, address_shift: min_shift, min_shift, max_order, thread_cache, sizes, biased: true }
    }

    /// The class of a block of at least `bytes`, if there are so large ones; none for 0 bytes.
    #[inline]
    pub(crate) fn class_for(&self, bytes: usize) -> Option<Class> {
        let last = bytes.wrapping_sub(1);
        match self.classes.get(last >> STEP) {
            Some(code) => Class::from_code_or_none(*code),
            None => self.sizes.covering(last >> self.min_shift),
        }
    }

    /// The same of a pool of offsets, whose addresses are units.
    pub(crate) const fn of_units(mut self) -> Self {
        self.address_shift = 0;
        self
    }

    /// Bytes of a block of an order or class; `usize::MAX` if they are more.
    #[inline]
    pub(crate) fn bytes(&self, size: impl Into<Class>) -> usize {
        self.bytes_of(u64::from(size.into().units()))
    }

    /// The class of a block of at least `last` + 1 bytes, of whatever space, if there are so large ones.
    #[inline]
    pub(crate) fn class_of_offsets(&self, last: u64) -> Option<Class> {
        self.sizes.covering(usize::try_from(last >> self.min_shift).ok()?)
    }

    /// Addresses of a block that a heap has.
    pub(crate) fn addresses(&self, class: Class) -> usize {
        (class.units() as usize) << self.address_shift
    }

    /// Bytes of `units` units; `usize::MAX` if they are more.
    pub(crate) fn bytes_of(&self, units: u64) -> usize {
        usize::try_from(u128::from(units) << self.min_shift).unwrap_or(usize::MAX)
    }
}
