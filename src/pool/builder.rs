//! The builder of a pool.

use super::MemoryPool;
use super::config::Config;
use crate::cache::Allowance;
use crate::error::ConfigError;
use crate::raw::{Class, Order, Sizes};

impl MemoryPool {
    /// A builder, for other sizes of blocks and caches.
    pub fn builder() -> PoolBuilder {
        PoolBuilder::new()
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
/// With the feature `serde`, a configuration can be read from a file. Fields that are left out are as by default. An
/// unknown field, or a size that [`build`](Self::build) would refuse, is an error.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[must_use = "a builder does nothing before `build`"]
pub struct PoolBuilder {
    min_block: usize,
    max_block: Option<usize>,
    thread_cache: Option<usize>,
    sizes: Sizes,
    biased: bool,
}

impl PoolBuilder {
    fn new() -> Self {
        Self::of_min_block(1 << Config::DEFAULT.min_shift)
    }

    /// By default, but with this smallest block.
    pub(crate) fn of_min_block(min_block: usize) -> Self {
        Self {
            min_block,
            max_block: None,
            thread_cache: None,
            sizes: Config::DEFAULT.sizes,
            biased: Config::DEFAULT.biased,
        }
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

    /// The sizes of blocks. Unless set, powers of two. With [`Eighths`](Sizes::Eighths) a block has at most an eighth
    /// more than was asked for, or less than a smallest block. A cache shares its room out to more sizes then.
    /// Blocks of 64 KiB or more between the powers of two are not cached.
    pub fn sizes(mut self, sizes: Sizes) -> Self {
        self.sizes = sizes;
        self
    }

    /// May a thread release blocks of its own without a locked operation? Unless set, yes. After a thousand blocks of
    /// a size a thread does so, until another thread releases such a block. The first of these takes a fence for all
    /// threads of the process: some microseconds as a rule, on a machine without a free processor milliseconds.
    ///
    /// Linux makes such fences by `membarrier`, Windows by `FlushProcessWriteBuffers`. Where the system refuses them
    /// nothing is biased. Say no in a program that enters a sandbox later which ends it for such a call.
    pub fn biased(mut self, yes: bool) -> Self {
        self.biased = yes;
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
    pub(crate) fn config(&self) -> Result<Config, ConfigError> {
        let Self { min_block, max_block, thread_cache, sizes, biased } = *self;
        if !Config::is_min_block(min_block as u64) {
            return Err(ConfigError::MinBlock { bytes: min_block });
        }
        let thread_cache = thread_cache.map_or(Allowance::DEFAULT, Allowance::of);
        let mut config = Config::new(min_block.trailing_zeros(), Order::MAX, thread_cache, sizes);
        config.biased = biased;
        if let Some(bytes) = max_block {
            if !bytes.is_power_of_two() || bytes < min_block {
                return Err(ConfigError::MaxBlock { bytes, min_block });
            }
            config.max_order = config.class_for(bytes).map_or(Order::MAX, Class::order);
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
            sizes: Sizes,
            biased: bool,
        }

        impl Default for Unchecked {
            fn default() -> Self {
                let PoolBuilder { min_block, max_block, thread_cache, sizes, biased } = PoolBuilder::new();
                Self { min_block, max_block, thread_cache, sizes, biased }
            }
        }

        let Unchecked { min_block, max_block, thread_cache, sizes, biased } = Unchecked::deserialize(deserializer)?;
        let builder = Self { min_block, max_block, thread_cache, sizes, biased };
        builder.config().map_err(serde::de::Error::custom)?;
        Ok(builder)
    }
}
