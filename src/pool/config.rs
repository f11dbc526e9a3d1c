//! The configuration of a pool and its builder.

use crate::cache::Allowance;
use crate::error::ConfigError;
use crate::pool::MemoryPool;
use crate::raw::Order;

/// Smallest `min_block` in bytes.
const LEAST_MIN_BLOCK: usize = 16;

/// The step of the table of small sizes, as a shift: no unit is smaller.
const STEP: u32 = LEAST_MIN_BLOCK.trailing_zeros();
/// Steps in the table: sizes up to 4 KiB.
const STEPS: usize = 256;

/// A configuration, checked.
#[derive(Clone)]
pub(crate) struct Config {
    /// The orders of small sizes, looked up by the number of the size's last step: a table is faster than to count bits, and
    /// than to shift by a number that is not known to the compiler.
    orders: [u8; STEPS],
    /// A unit has 2^`min_shift` bytes.
    pub(crate) min_shift: u32,
    /// The order of the largest block.
    pub(crate) max_order: Order,
    /// What the cache of a thread may hold.
    pub(crate) thread_cache: Allowance,
}

impl Config {
    /// Blocks of 64 bytes, a cache line, and no limit above; caches of a MiB, but for big blocks.
    pub(crate) const DEFAULT: Self = Self::new(6, Order::MAX, Allowance::DEFAULT);

    const fn new(min_shift: u32, max_order: Order, thread_cache: Allowance) -> Self {
        let mut orders = [u8::MAX; STEPS];
        let mut step = 0;
        while step < STEPS {
            // Under loom there are fewer orders than the table has sizes for.
            if let Some(order) = Self::order_of_last((step << STEP) >> min_shift) {
                orders[step] = order.get() as u8;
            }
            step += 1;
        }
        Self { orders, min_shift, max_order, thread_cache }
    }

    /// The order of a block of at least `bytes`, if there are so large ones; none for 0 bytes.
    #[inline]
    pub(crate) fn order_for(&self, bytes: usize) -> Option<Order> {
        let last = bytes.wrapping_sub(1);
        match self.orders.get(last >> STEP) {
            Some(order) => Order::new(u32::from(*order)),
            None => Self::order_of_last(last >> self.min_shift),
        }
    }

    /// The order of a block that has at least the units from 0 to `last_unit`.
    #[inline]
    const fn order_of_last(last_unit: usize) -> Option<Order> {
        // As many bits as the number of the last unit has.
        Order::new(usize::BITS - last_unit.leading_zeros())
    }

    /// Bytes of a block of `order`; `usize::MAX` if they are more.
    #[inline]
    pub(crate) fn bytes(&self, order: Order) -> usize {
        self.bytes_of(u64::from(order.units()))
    }

    /// Bytes of `units` units; `usize::MAX` if they are more.
    pub(crate) fn bytes_of(&self, units: u64) -> usize {
        usize::try_from(u128::from(units) << self.min_shift).unwrap_or(usize::MAX)
    }
}

/// Builds a [`MemoryPool`] that is not the default one.
///
/// # Examples
///
/// ```
/// # fn main() -> Result<(), mempool::ConfigError> {
/// let pool = mempool::MemoryPool::builder().min_block(256).max_block(1 << 20).build()?;
/// # Ok(())
/// # }
/// ```
///
/// With the feature `serde`, a configuration can be read from a file. Fields that are left out are as by default. An unknown
/// field, or a size that [`build`](Self::build) would refuse, is an error.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[must_use = "a builder does nothing before `build`"]
pub struct PoolBuilder {
    min_block: usize,
    max_block: Option<usize>,
    thread_cache: Option<usize>,
}

impl PoolBuilder {
    pub(crate) fn new() -> Self {
        Self { min_block: 1 << Config::DEFAULT.min_shift, max_block: None, thread_cache: None }
    }

    /// The smallest block in bytes: a power of two, at least 16. Unless set, 64. Every allocation takes at least as
    /// much, and every heap has 49 bits of tables for each of them.
    pub fn min_block(mut self, bytes: usize) -> Self {
        self.min_block = bytes;
        self
    }

    /// The largest block in bytes: a power of two, at least `min_block`. Free buddies of that size are not merged.
    /// Unless set, it is as large as the heaps allow, and never above 2^31 smallest blocks.
    pub fn max_block(mut self, bytes: usize) -> Self {
        self.max_block = Some(bytes);
        self
    }

    /// The most bytes of free blocks that the cache of one thread may hold, and never more than a 64th of the pool.
    /// Unless set, it is a 64th of the pool, of which 1 MiB at most in blocks below 64 KiB.
    ///
    /// 0 means no caches: every operation goes to the heaps, which many threads at once do far more slowly.
    pub fn thread_cache(mut self, bytes: usize) -> Self {
        self.thread_cache = Some(bytes);
        self
    }

    /// The pool, without heaps.
    ///
    /// # Errors
    ///
    /// When a size is not allowed.
    pub fn build(self) -> Result<MemoryPool, ConfigError> {
        self.config().map(MemoryPool::with)
    }

    /// The configuration, checked.
    fn config(&self) -> Result<Config, ConfigError> {
        let Self { min_block, max_block, thread_cache } = *self;
        if !min_block.is_power_of_two() || min_block < LEAST_MIN_BLOCK {
            return Err(ConfigError::MinBlock { bytes: min_block });
        }
        let thread_cache = thread_cache.map_or(Allowance::DEFAULT, Allowance::of);
        let mut config = Config::new(min_block.trailing_zeros(), Order::MAX, thread_cache);
        if let Some(bytes) = max_block {
            if !bytes.is_power_of_two() || bytes < min_block {
                return Err(ConfigError::MaxBlock { bytes, min_block });
            }
            config.max_order = config.order_for(bytes).unwrap_or(Order::MAX);
        }
        Ok(config)
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for PoolBuilder {
    /// Checks what [`build`](Self::build) checks.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(rename = "PoolBuilder", default, deny_unknown_fields)]
        struct Unchecked {
            min_block: usize,
            max_block: Option<usize>,
            thread_cache: Option<usize>,
        }

        impl Default for Unchecked {
            fn default() -> Self {
                let PoolBuilder { min_block, max_block, thread_cache } = PoolBuilder::new();
                Self { min_block, max_block, thread_cache }
            }
        }

        let Unchecked { min_block, max_block, thread_cache } = Unchecked::deserialize(deserializer)?;
        let builder = Self { min_block, max_block, thread_cache };
        builder.config().map_err(serde::de::Error::custom)?;
        Ok(builder)
    }
}
