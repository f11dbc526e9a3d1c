//! The figures in tables, by which they are printed and exported. `README.md` says how to add one.

use super::{HeapStats, PoolStats};

/// What the names of all metrics begin with.
const PREFIX: &str = "heapmaster_";

/// Statistics that have a table of their figures.
pub(super) trait Figures: Sized + 'static {
    /// The figures, in the order in which a person reads them.
    const FIGURES: &'static [Figure<Self>];
}

/// One figure of `S`.
#[derive(Debug)]
pub(super) struct Figure<S: 'static> {
    /// Its name for machines, with its unit; for logs without the prefix.
    pub(super) name: &'static str,
    /// Its name for people.
    pub(super) label: &'static str,
    /// What it is.
    #[cfg_attr(not(feature = "metrics"), allow(dead_code, reason = "only metrics are described"))]
    pub(super) description: &'static str,
    /// Its kind, and where its value is.
    pub(super) of: Of<S>,
}

/// What kind of a figure it is, and how `S` tells its value.
#[derive(Debug)]
pub(super) enum Of<S: 'static> {
    /// How many there are now.
    Count(fn(&S) -> u64),
    /// How many bytes there are now.
    Bytes(fn(&S) -> u64),
    /// A part of 1.
    Ratio(fn(&S) -> f64),
    /// How many there ever were.
    Total(fn(&S) -> u64),
    /// How many bytes there ever were.
    #[cfg_attr(not(feature = "std"), allow(dead_code, reason = "only sweepers have one"))]
    TotalBytes(fn(&S) -> u64),
}

/// The value of a figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    Number(u64),
    Bytes(u64),
    Ratio(f64),
}

impl Value {
    pub(super) fn is_zero(self) -> bool {
        matches!(self, Self::Number(0) | Self::Bytes(0) | Self::Ratio(0.0))
    }
}

impl<S> Figure<S> {
    /// Its name without the prefix.
    pub(super) fn key(&self) -> &'static str {
        self.name.strip_prefix(PREFIX).unwrap_or(self.name)
    }

    /// Its value in `stats`.
    pub(super) fn value(&self, stats: &S) -> Value {
        match self.of {
            Of::Count(of) | Of::Total(of) => Value::Number(of(stats)),
            Of::Bytes(of) | Of::TotalBytes(of) => Value::Bytes(of(stats)),
            Of::Ratio(of) => Value::Ratio(of(stats)),
        }
    }
}

/// The table of a struct: a row for each figure, with its kind, the field or `.method` that has it, its name, its
/// label, and its description. A field without a row does not compile, unless it stands in the brackets.
macro_rules! figures {
    ($stats:ident [$($other:ident)*]
    $($kind:ident $($field:ident)? $(.$method:ident)?, $name:literal, $label:literal, $description:literal;)+) => {
        const _: fn(&$stats) = |$stats { $($($field: _,)?)+ $($other: _),* }| ();

        #[allow(clippy::unnecessary_cast, reason = "fields have different types")]
        impl $crate::stats::figures::Figures for $stats {
            const FIGURES: &'static [$crate::stats::figures::Figure<Self>] = &[$($crate::stats::figures::Figure {
                name: $name,
                label: $label,
                description: $description,
                of: figures!(@of $kind $($field)? $($method)?),
            }),+];
        }
    };
    (@of Ratio $of:ident) => { $crate::stats::figures::Of::Ratio(Self::$of) };
    (@of $kind:ident $of:ident) => { $crate::stats::figures::Of::$kind(|stats: &Self| stats.$of as u64) };
}
// Sweepers and allocators have tables of their own.
#[cfg(all(feature = "std", not(modelled)))]
pub(super) use figures;

figures! { PoolStats [orders]
    Count heaps, "heapmaster_heaps", "heaps", "Heaps.";
    Bytes capacity, "heapmaster_capacity_bytes", "capacity", "Bytes in blocks, of whatever state.";
    Bytes live, "heapmaster_live_bytes", "live", "Bytes of blocks with the user.";
    Bytes cached, "heapmaster_cached_bytes", "cached", "Bytes of blocks in caches.";
    Bytes free, "heapmaster_free_bytes", "free", "Bytes of free blocks.";
    Bytes in_transit, "heapmaster_in_transit_bytes", "in transit",
        "Bytes of blocks that were being split, merged or resized.";
    Bytes largest_free, "heapmaster_largest_free_bytes", "largest free",
        "The largest block that merging forms of what is free.";
    Bytes largest_possible, "heapmaster_largest_possible_bytes", "largest possible",
        "The largest block that a heap forms when all of it is free.";
    Count misaligned_heaps, "heapmaster_misaligned_heaps", "misaligned heaps",
        "Heaps whose base keeps them from forming a block twice as large.";
    Ratio .external_fragmentation, "heapmaster_external_fragmentation_ratio", "external fragmentation",
        "The part of the free bytes that is not in the largest free block.";
    Count caches, "heapmaster_caches", "caches", "Threads that have a cache, or left one.";
    Bytes cache_tables, "heapmaster_cache_tables_bytes", "cache tables",
        "Bytes of the tables of caches, without their blocks.";
    Total cache_allocations, "heapmaster_cache_allocations_total", "cache allocations",
        "Allocations that caches served.";
    Total cache_releases, "heapmaster_cache_releases_total", "cache releases", "Releases that caches took.";
    Total cache_sent, "heapmaster_cache_sent_blocks_total", "cache blocks sent",
        "Of the releases that caches took, blocks that went back to another thread's cache.";
    Total cache_refilled, "heapmaster_cache_refilled_blocks_total", "cache blocks refilled",
        "Blocks that caches took in for allocations.";
    Total cache_flushed, "heapmaster_cache_flushed_blocks_total", "cache blocks flushed",
        "Blocks that caches gave away.";
    Total heap_allocations, "heapmaster_heap_allocations_total", "heap allocations",
        "Allocations that went past a thread's cache.";
    Total heap_releases, "heapmaster_heap_releases_total", "heap releases", "Releases that went past a thread's cache.";
    Count biased_sizes, "heapmaster_biased_sizes", "biased sizes",
        "Sizes of caches whose blocks their threads release without a locked operation.";
    Total heavy_fences, "heapmaster_heavy_fences_total", "heavy fences",
        "Fences for all threads of the process at once.";
    Total refused_fences, "heapmaster_refused_fences_total", "refused fences",
        "1 where the system refused such a fence.";
    Total failures, "heapmaster_failures_total", "failures", "Allocations that failed.";
    Total searches, "heapmaster_searches_total", "searches", "Allocations that the free stacks could not serve.";
    Total sweeps, "heapmaster_sweeps_total", "sweeps", "Sweeps, by hand or for a search.";
    Total merges, "heapmaster_merges_total", "merges", "Pairs of buddies that sweeps merged.";
}

figures! { HeapStats [heap largest_if_aligned]
    Bytes capacity, "heapmaster_heap_capacity_bytes", "capacity", "Bytes of a heap in blocks, of whatever state.";
    Bytes live, "heapmaster_heap_live_bytes", "live", "Bytes of a heap's blocks with the user.";
    Bytes cached, "heapmaster_heap_cached_bytes", "cached", "Bytes of a heap's blocks in caches.";
    Bytes free, "heapmaster_heap_free_bytes", "free", "Bytes of a heap's free blocks.";
    Bytes in_transit, "heapmaster_heap_in_transit_bytes", "in transit",
        "Bytes of a heap's blocks that were being split, merged or resized.";
    Bytes largest_free, "heapmaster_heap_largest_free_bytes", "largest free",
        "The largest block that merging forms of what is free in a heap.";
    Bytes largest_possible, "heapmaster_heap_largest_possible_bytes", "largest possible",
        "The largest block that a heap forms when all of it is free.";
}
