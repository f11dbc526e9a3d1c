//! The configuration of a pool and its builder.

use crate::error::ConfigError;
use crate::pool::MemoryPool;
use crate::raw::Order;

/// Smallest `min_block` in bytes.
const LEAST_MIN_BLOCK: usize = 16;

/// A configuration, checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Config {
    /// A unit has 2^`min_shift` bytes.
    pub(crate) min_shift: u32,
    /// The order of the largest block.
    pub(crate) max_order: Order,
}

impl Config {
    /// Blocks of 64 bytes, a cache line, and no limit above.
    pub(crate) const DEFAULT: Self = Self { min_shift: 6, max_order: Order::MAX };

    /// The order of a block of at least `bytes`, which is not 0, if there are so large ones.
    #[inline]
    pub(crate) fn order_for(&self, bytes: usize) -> Option<Order> {
        // As many bits as the number of the last unit has.
        Order::new(usize::BITS - (bytes.wrapping_sub(1) >> self.min_shift).leading_zeros())
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
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing before `build`"]
pub struct Builder {
    min_block: usize,
    max_block: Option<usize>,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self { min_block: 1 << Config::DEFAULT.min_shift, max_block: None }
    }

    /// The smallest block in bytes: a power of two, at least 16; 64 unless set. Every allocation takes at least as
    /// much, and every heap has 5 bytes of tables for each of them.
    pub fn min_block(mut self, bytes: usize) -> Self {
        self.min_block = bytes;
        self
    }

    /// The largest block in bytes: a power of two, at least `min_block`; as large as the heaps allow unless set, and
    /// never above 2^31 smallest blocks. Free buddies of that size are not merged.
    pub fn max_block(mut self, bytes: usize) -> Self {
        self.max_block = Some(bytes);
        self
    }

    /// The pool, without heaps.
    ///
    /// # Errors
    ///
    /// When a size is not one that is allowed.
    pub fn build(self) -> Result<MemoryPool, ConfigError> {
        let Self { min_block, max_block } = self;
        if !min_block.is_power_of_two() || min_block < LEAST_MIN_BLOCK {
            return Err(ConfigError::MinBlock { bytes: min_block });
        }
        let mut config = Config { min_shift: min_block.trailing_zeros(), max_order: Order::MAX };
        if let Some(bytes) = max_block {
            if !bytes.is_power_of_two() || bytes < min_block {
                return Err(ConfigError::MaxBlock { bytes, min_block });
            }
            config.max_order = config.order_for(bytes).unwrap_or(Order::MAX);
        }
        Ok(MemoryPool::with(config))
    }
}
