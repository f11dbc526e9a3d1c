//! Counts of a pool: rare events, and operations of threads without a cache.

use core::fmt;

#[cfg(all(feature = "std", not(modelled)))]
use crossbeam_utils::CachePadded;

#[cfg(all(feature = "std", not(modelled)))]
use crate::raw::Shard;
use crate::stats::PoolStats;
use crate::sync::{AtomicU64, Ordering, const_unless_loom};
#[cfg(all(feature = "std", not(modelled)))]
use crate::thread;

/// The counts of a pool. 64 bits each: at one count a nanosecond they wrap after 584 years.
pub(super) struct Counters {
    pub(super) failures: AtomicU64,
    pub(super) searches: AtomicU64,
    pub(super) sweeps: AtomicU64,
    pub(super) merges: AtomicU64,
    /// For each shard, so that threads seldom meet here.
    #[cfg(all(feature = "std", not(modelled)))]
    uncached: [CachePadded<Uncached>; Shard::COUNT],
}

/// Operations of threads without a cache.
#[cfg(all(feature = "std", not(modelled)))]
struct Uncached {
    allocations: AtomicU64,
    releases: AtomicU64,
}

pub(super) fn count(counter: &AtomicU64, more: u64) {
    // Relaxed: a statistic; nothing is published by it.
    counter.fetch_add(more, Ordering::Relaxed);
}

impl Counters {
    const_unless_loom! {
        /// Nothing was counted yet.
        pub(super) fn new() -> Self {
            Self {
                failures: AtomicU64::new(0),
                searches: AtomicU64::new(0),
                sweeps: AtomicU64::new(0),
                merges: AtomicU64::new(0),
                #[cfg(all(feature = "std", not(modelled)))]
                uncached: [const { CachePadded::new(Uncached { allocations: AtomicU64::new(0), releases: AtomicU64::new(0) }) };
                    Shard::COUNT],
            }
        }
    }

    /// Counts operations of the calling thread, which has no cache.
    #[cfg(all(feature = "std", not(modelled)))]
    pub(super) fn count_uncached(&self, allocations: usize, releases: usize) {
        let uncached = &self.uncached[thread::shard().number()];
        for (counter, more) in [(&uncached.allocations, allocations), (&uncached.releases, releases)] {
            if more > 0 {
                count(counter, more as u64);
            }
        }
    }

    /// Adds them to the figures of a pool.
    pub(super) fn add_to(&self, stats: &mut PoolStats) {
        // Relaxed: statistics.
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        stats.failures = read(&self.failures);
        stats.searches = read(&self.searches);
        stats.sweeps = read(&self.sweeps);
        stats.merges = read(&self.merges);
        #[cfg(all(feature = "std", not(modelled)))]
        for uncached in &self.uncached {
            stats.heap_allocations = stats.heap_allocations.wrapping_add(read(&uncached.allocations));
            stats.heap_releases = stats.heap_releases.wrapping_add(read(&uncached.releases));
        }
    }
}

impl fmt::Debug for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counters").finish_non_exhaustive()
    }
}
