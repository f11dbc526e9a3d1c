//! What users set of a sweeper.

use core::time::Duration;

/// How much a sweeper may do in one pass, over everything that it sweeps. The rest waits for the next pass.
///
/// A pass ends after a step of at most 16 384 smallest blocks, so it may take a few tenths of a millisecond more than
/// its budget. To tidy the free stacks of a heap is one step, however large: 10 ns for each entry, up to 20 where
/// millions of blocks were released in random order. It comes once for each way through the heap if anything was
/// merged.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use mempool::{Budget, Sweeper};
///
/// let sweeper = Sweeper::builder().budget(Budget::Time(Duration::from_millis(1))).spawn()?;
/// # drop(sweeper);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Budget {
    /// At most this number of units of `min_block` bytes, at least one. Of an allocator a unit is a page of 4 KiB.
    Units(usize),
    /// At most this long.
    Time(Duration),
}

/// All that is set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub interval: Duration,
    pub budget: Budget,
    /// A pass comes early after an allocation had to sweep by itself.
    pub wakes_on_demand: bool,
    /// Time that free pages of allocators keep their memory.
    #[cfg(feature = "allocator")]
    pub trim_after: Option<Duration>,
}
