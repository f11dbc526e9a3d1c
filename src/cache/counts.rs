//! What a cache counts, but for the pops, which the tops of its bins count.

use crate::sync::{AtomicU64, Ordering};

/// Counts of a cache that no fast path changes. Only the owner writes them. They have 64 bits, as all counts of
/// operations: at one a nanosecond they wrap after 584 years.
#[derive(Debug, Default)]
pub struct Counts {
    /// Blocks that came into the bins of the classes other than by a release.
    pub(super) refilled: AtomicU64,
    /// Blocks that left them other than by an allocation.
    pub(super) flushed: AtomicU64,
    /// Releases of other caches' blocks.
    pub(super) sent: AtomicU64,
}

/// Operations of the owner past the cache, with the heaps. They stand behind all that the fast paths use, so that the
/// lines of that stay as they are.
#[derive(Debug, Default)]
pub struct Past {
    pub(super) allocations: AtomicU64,
    pub(super) releases: AtomicU64,
    /// Pops that the tops no longer count.
    pub(super) popped: AtomicU64,
}

/// What a cache has served, over all its time.
#[derive(Clone, Copy, Debug)]
pub struct Served {
    /// Allocations without a visit to a heap's stacks.
    pub allocations: u64,
    /// Releases without a visit to a heap's stacks.
    pub releases: u64,
    /// Of these releases, those of other caches' blocks.
    pub sent: u64,
    /// Blocks that came into the bins of the classes other than by a release.
    pub refilled: u64,
    /// Blocks that left them other than by an allocation.
    pub flushed: u64,
    /// Allocations of the owner that went past the cache.
    pub past_allocations: u64,
    /// Releases of the owner that went past the cache.
    pub past_releases: u64,
}

/// Adds to a count of the owner's.
pub(super) fn add(count: &AtomicU64, more: usize) {
    add_wide(count, more as u64);
}

pub(super) fn add_wide(count: &AtomicU64, more: u64) {
    // Relaxed, both: a statistic, written by one thread.
    count.store(count.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}
