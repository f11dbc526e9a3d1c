//! The figures in tables: what all that prints or exports them goes by. To add a figure is to add its row.

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
    pub(super) const fn new(name: &'static str, label: &'static str, description: &'static str, of: Of<S>) -> Self {
        Self { name, label, description, of }
    }

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

impl Figures for PoolStats {
    const FIGURES: &'static [Figure<Self>] = {
        use Of::{Bytes, Count, Ratio, Total};
        &[
            Figure::new("heapmaster_heaps", "heaps", "Heaps.", Count(|of| of.heaps as u64)),
            Figure::new(
                "heapmaster_capacity_bytes",
                "capacity",
                "Bytes in blocks, of whatever state.",
                Bytes(|of| of.capacity as u64),
            ),
            Figure::new("heapmaster_live_bytes", "live", "Bytes of blocks with the user.", Bytes(|of| of.live as u64)),
            Figure::new(
                "heapmaster_cached_bytes",
                "cached",
                "Bytes of blocks in caches.",
                Bytes(|of| of.cached as u64),
            ),
            Figure::new("heapmaster_free_bytes", "free", "Bytes of free blocks.", Bytes(|of| of.free as u64)),
            Figure::new(
                "heapmaster_in_transit_bytes",
                "in transit",
                "Bytes of blocks that were being split, merged or resized.",
                Bytes(|of| of.in_transit as u64),
            ),
            Figure::new(
                "heapmaster_largest_free_bytes",
                "largest free",
                "The largest block that merging forms of what is free.",
                Bytes(|of| of.largest_free as u64),
            ),
            Figure::new(
                "heapmaster_largest_possible_bytes",
                "largest possible",
                "The largest block that a heap forms when all of it is free.",
                Bytes(|of| of.largest_possible as u64),
            ),
            Figure::new(
                "heapmaster_misaligned_heaps",
                "misaligned heaps",
                "Heaps whose base keeps them from forming a block twice as large.",
                Count(|of| of.misaligned_heaps as u64),
            ),
            Figure::new(
                "heapmaster_external_fragmentation_ratio",
                "external fragmentation",
                "The part of the free bytes that is not in the largest free block.",
                Ratio(Self::external_fragmentation),
            ),
            Figure::new(
                "heapmaster_caches",
                "caches",
                "Threads that have a cache, or left one.",
                Count(|of| of.caches as u64),
            ),
            Figure::new(
                "heapmaster_cache_tables_bytes",
                "cache tables",
                "Bytes of the tables of caches, without their blocks.",
                Bytes(|of| of.cache_tables as u64),
            ),
            Figure::new(
                "heapmaster_cache_allocations_total",
                "cache allocations",
                "Allocations that caches served.",
                Total(|of| of.cache_allocations),
            ),
            Figure::new(
                "heapmaster_cache_releases_total",
                "cache releases",
                "Releases that caches took.",
                Total(|of| of.cache_releases),
            ),
            Figure::new(
                "heapmaster_cache_sent_blocks_total",
                "cache blocks sent",
                "Of the releases that caches took, blocks that went back to another thread's cache.",
                Total(|of| of.cache_sent),
            ),
            Figure::new(
                "heapmaster_cache_refilled_blocks_total",
                "cache blocks refilled",
                "Blocks that caches took in for allocations.",
                Total(|of| of.cache_refilled),
            ),
            Figure::new(
                "heapmaster_cache_flushed_blocks_total",
                "cache blocks flushed",
                "Blocks that caches gave away.",
                Total(|of| of.cache_flushed),
            ),
            Figure::new(
                "heapmaster_heap_allocations_total",
                "heap allocations",
                "Allocations that went past a thread's cache.",
                Total(|of| of.heap_allocations),
            ),
            Figure::new(
                "heapmaster_heap_releases_total",
                "heap releases",
                "Releases that went past a thread's cache.",
                Total(|of| of.heap_releases),
            ),
            Figure::new("heapmaster_failures_total", "failures", "Allocations that failed.", Total(|of| of.failures)),
            Figure::new(
                "heapmaster_searches_total",
                "searches",
                "Allocations that the free stacks could not serve.",
                Total(|of| of.searches),
            ),
            Figure::new("heapmaster_sweeps_total", "sweeps", "Sweeps, by hand or for a search.", Total(|of| of.sweeps)),
            Figure::new(
                "heapmaster_merges_total",
                "merges",
                "Pairs of buddies that sweeps merged.",
                Total(|of| of.merges),
            ),
        ]
    };
}

impl Figures for HeapStats {
    const FIGURES: &'static [Figure<Self>] = {
        use Of::Bytes;
        &[
            Figure::new(
                "heapmaster_heap_capacity_bytes",
                "capacity",
                "Bytes of a heap in blocks, of whatever state.",
                Bytes(|of| of.capacity as u64),
            ),
            Figure::new(
                "heapmaster_heap_live_bytes",
                "live",
                "Bytes of a heap's blocks with the user.",
                Bytes(|of| of.live as u64),
            ),
            Figure::new(
                "heapmaster_heap_cached_bytes",
                "cached",
                "Bytes of a heap's blocks in caches.",
                Bytes(|of| of.cached as u64),
            ),
            Figure::new(
                "heapmaster_heap_free_bytes",
                "free",
                "Bytes of a heap's free blocks.",
                Bytes(|of| of.free as u64),
            ),
            Figure::new(
                "heapmaster_heap_in_transit_bytes",
                "in transit",
                "Bytes of a heap's blocks that were being split, merged or resized.",
                Bytes(|of| of.in_transit as u64),
            ),
            Figure::new(
                "heapmaster_heap_largest_free_bytes",
                "largest free",
                "The largest block that merging forms of what is free in a heap.",
                Bytes(|of| of.largest_free as u64),
            ),
            Figure::new(
                "heapmaster_heap_largest_possible_bytes",
                "largest possible",
                "The largest block that a heap forms when all of it is free.",
                Bytes(|of| of.largest_possible as u64),
            ),
        ]
    };
}
