//! Figures of an allocator.

use core::fmt;

use super::figures::figures;
use super::text::{Line, Pairs};

/// What a [`PoolAllocator`](crate::PoolAllocator) has at one moment; while others allocate, approximately.
///
/// Printed, it is a line for a person, without the figures that are 0; [`log_line`](Self::log_line) is for logs.
///
/// # Examples
///
/// ```
/// let allocator = mempool::PoolAllocator::with_limit(64 << 20);
/// assert_eq!(allocator.stats().limit, 64 << 20);
/// println!("{}", allocator.stats());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default))]
#[non_exhaustive]
pub struct AllocatorStats {
    /// Bytes of the heap that may be in use at once.
    pub limit: usize,
    /// Bytes of the heap now: addresses that it has grown to, with or without memory behind them. It never gets
    /// smaller. It is larger than the sum of the requests, since large blocks are aligned to the next power of two,
    /// where the limit leaves room for that. It can be up to twice the limit, since free pages may be scattered (see
    /// the guide).
    pub heap: usize,
    /// Bytes in memory, of the heap and of the metadata, as the operating system says. Pages without a use, and pages
    /// that were given back, are not in memory. A page that was only read counts; on Linux all programs share it, full
    /// of zeroes. Short tables, of less than 256 KiB each, count as far as they are used. Where the system does not
    /// say, used pages count until they are given back.
    pub resident: usize,
    /// Of the heap's bytes, free: in no block, and in no cache.
    pub free: usize,
    /// Of the free ones, kept for blocks of one size class until they are needed elsewhere.
    pub idle: usize,
    /// Bytes of the allocator's own tables and caches, besides the heap.
    pub metadata: usize,
    /// Caches of threads, ended ones included.
    pub caches: usize,
    /// Releases and reallocations that it refused since it was made. A [checked](crate::AllocatorBuilder::checked)
    /// allocator refuses all that are wrong. Other allocators refuse only addresses where no block can begin.
    pub refused_releases: u64,
}

figures! { AllocatorStats []
    Bytes limit, "heapmaster_allocator_limit_bytes", "limit", "Bytes of the heap of an allocator that may be in use at once.";
    Bytes heap, "heapmaster_allocator_heap_bytes", "heap", "Bytes of the heap of an allocator.";
    Bytes resident, "heapmaster_allocator_resident_bytes", "resident",
        "Bytes of an allocator in memory, with its metadata.";
    Bytes free, "heapmaster_allocator_free_bytes", "free", "Bytes of an allocator's heap in no block and in no cache.";
    Bytes idle, "heapmaster_allocator_idle_bytes", "of that idle",
        "Free bytes of an allocator's heap that are kept for blocks of one size class.";
    Bytes metadata, "heapmaster_allocator_metadata_bytes", "metadata", "Bytes of an allocator's own tables and caches.";
    Count caches, "heapmaster_allocator_caches", "caches",
        "Caches of an allocator's threads, ended ones included.";
    Total refused_releases, "heapmaster_allocator_refused_releases_total", "refused releases",
        "Releases and reallocations that an allocator refused.";
}

impl AllocatorStats {
    /// The figures in one line of `key=value` pairs ([logfmt](https://brandur.org/logfmt)), for a log that keeps them.
    ///
    /// All figures are there each time, in the same order, with their unit in the key: `_bytes`, and `_total` for what
    /// only ever grows. No value has a space. Keys may be added in later versions.
    ///
    /// ```
    /// let allocator = mempool::PoolAllocator::with_limit(64 << 20);
    /// let line = allocator.stats().log_line().to_string();
    /// assert!(line.starts_with("allocator_limit_bytes=67108864 allocator_heap_bytes=0 "));
    /// ```
    pub fn log_line(&self) -> impl fmt::Display + '_ {
        Pairs(self)
    }
}

#[cfg(feature = "metrics")]
impl AllocatorStats {
    /// Sets metrics to these figures, in the recorder of the program, or of the calling thread where it has one. The
    /// labels tell allocators apart; `Vec::new()` for none. The figures are as old as `self`; see
    /// [`PoolStats::record`](crate::PoolStats::record).
    ///
    /// | gauge | |
    /// |---|---|
    /// | `heapmaster_allocator_limit_bytes` | bytes of the heap that may be in use at once |
    /// | `heapmaster_allocator_heap_bytes` | bytes of the heap |
    /// | `heapmaster_allocator_resident_bytes` | bytes in memory, with the metadata |
    /// | `heapmaster_allocator_free_bytes` | of the heap's bytes, in no block and in no cache |
    /// | `heapmaster_allocator_idle_bytes` | of the free ones, kept for blocks of one size class |
    /// | `heapmaster_allocator_metadata_bytes` | bytes of tables and caches |
    /// | `heapmaster_allocator_caches` | caches of threads, ended ones included |
    ///
    /// | counter | |
    /// |---|---|
    /// | `heapmaster_allocator_refused_releases_total` | releases and reallocations that were refused |
    ///
    /// # Progress
    ///
    /// As the recorder. It allocates from the global allocator, which may be this one.
    ///
    /// # Examples
    ///
    /// ```
    /// let allocator = mempool::PoolAllocator::new();
    /// mempool::describe_metrics(); // once
    /// allocator.stats().record(&[("allocator", "global")]);
    /// ```
    pub fn record(&self, labels: impl ::metrics::IntoLabels) {
        super::record::set(self, &labels.into_labels());
    }
}

impl fmt::Display for AllocatorStats {
    /// One line, without the figures that are 0.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Line(self).fmt(f)
    }
}
