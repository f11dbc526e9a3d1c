//! The builder of a pool of offsets.

use super::OffsetPool;
use crate::error::ConfigError;
use crate::pool::{Config, MemoryPool, PoolBuilder};
use crate::raw::Sizes;
use crate::units::saturated;

impl OffsetPool {
    /// A builder, for other sizes of blocks and caches.
    pub fn builder() -> OffsetPoolBuilder {
        OffsetPoolBuilder(PoolBuilder::of_min_block(1 << Config::OFFSETS.min_shift))
    }
}

/// Builds an [`OffsetPool`] that is not the default one.
///
/// # Examples
///
/// ```
/// use mempool::{OffsetPool, Sizes};
///
/// # fn main() -> Result<(), mempool::ConfigError> {
/// let pool = OffsetPool::builder().min_block(2 << 20).max_block(1 << 30).sizes(Sizes::Eighths).build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing before `build`"]
pub struct OffsetPoolBuilder(PoolBuilder);

impl OffsetPoolBuilder {
    /// The smallest block in bytes: a power of two, at least 16. Unless set, 4 096. Every allocation takes at least as
    /// much, and every range has 49 bits of tables for each of them.
    pub fn min_block(self, bytes: u64) -> Self {
        Self(self.0.min_block(saturated(bytes)))
    }

    /// The largest block in bytes: a power of two, at least `min_block`. Free buddies of that size are not merged.
    /// Unless set, it is as large as the ranges allow, and never above 2^31 smallest blocks.
    pub fn max_block(self, bytes: u64) -> Self {
        Self(self.0.max_block(saturated(bytes)))
    }

    /// The most bytes of free blocks that the cache of one thread may hold, and never more than a 64th of the pool.
    /// Unless set, it is a 64th of the pool, of which 1 MiB at most in blocks below 64 KiB.
    ///
    /// 0 means no caches. That suits a pool of few large blocks, which all threads are to find at once.
    pub fn thread_cache(self, bytes: u64) -> Self {
        Self(self.0.thread_cache(saturated(bytes)))
    }

    /// The sizes of blocks. Unless set, powers of two. With [`Eighths`](Sizes::Eighths) a block has at most an eighth
    /// more than was asked for, or less than a smallest block.
    pub fn sizes(self, sizes: Sizes) -> Self {
        Self(self.0.sizes(sizes))
    }

    /// May a thread release blocks of its own without a locked operation? Unless set, yes. As
    /// [`PoolBuilder::biased`](crate::PoolBuilder::biased).
    pub fn biased(self, yes: bool) -> Self {
        Self(self.0.biased(yes))
    }

    /// The pool, without ranges.
    ///
    /// # Errors
    ///
    /// When a size is not allowed.
    pub fn build(self) -> Result<OffsetPool, ConfigError> {
        Ok(OffsetPool { pool: MemoryPool::with(self.0.config()?.of_units()) })
    }
}
