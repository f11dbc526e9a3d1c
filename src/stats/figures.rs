//! The figures of a pool in a table: what all that prints or exports them goes by.

use super::PoolStats;

/// What the names of all metrics begin with.
macro_rules! name {
    ($name:literal) => {
        concat!("heapmaster_", $name)
    };
}
#[cfg(feature = "metrics")]
pub(super) use name;

/// One figure of a pool.
#[derive(Clone, Copy, Debug)]
pub(super) struct Figure {
    /// Its name for machines, with its unit; for logs without the prefix.
    pub(super) name: &'static str,
    /// Its name for people.
    pub(super) label: &'static str,
    /// What it is.
    #[cfg_attr(not(feature = "metrics"), allow(dead_code, reason = "only metrics are described"))]
    pub(super) description: &'static str,
    /// Its value.
    pub(super) of: fn(&PoolStats) -> Value,
}

/// The value of a figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    /// How many there are now.
    Count(u64),
    /// How many bytes there are now.
    Bytes(u64),
    /// A part of 1.
    Ratio(f64),
    /// How many there ever were.
    Total(u64),
}

impl Figure {
    const fn new(
        name: &'static str,
        label: &'static str,
        description: &'static str,
        of: fn(&PoolStats) -> Value,
    ) -> Self {
        Self { name, label, description, of }
    }

    /// Its name without the prefix.
    pub(super) fn key(&self) -> &'static str {
        self.name.strip_prefix(name!("")).unwrap_or(self.name)
    }
}

/// All of them, in the order in which a person reads them.
pub(super) const FIGURES: [Figure; 20] = {
    use Value::{Bytes, Count, Ratio, Total};
    [
        Figure::new(name!("heaps"), "heaps", "Heaps.", |of| Count(of.heaps as u64)),
        Figure::new(name!("capacity_bytes"), "capacity", "Bytes in blocks, of whatever state.", |of| {
            Bytes(of.capacity as u64)
        }),
        Figure::new(name!("live_bytes"), "live", "Bytes of blocks with the user.", |of| Bytes(of.live as u64)),
        Figure::new(name!("cached_bytes"), "cached", "Bytes of blocks in caches.", |of| Bytes(of.cached as u64)),
        Figure::new(name!("free_bytes"), "free", "Bytes of free blocks.", |of| Bytes(of.free as u64)),
        Figure::new(
            name!("in_transit_bytes"),
            "in transit",
            "Bytes of blocks that were being split, merged or resized.",
            |of| Bytes(of.in_transit as u64),
        ),
        Figure::new(
            name!("largest_free_bytes"),
            "largest free",
            "The largest block that merging forms of what is free.",
            |of| Bytes(of.largest_free as u64),
        ),
        Figure::new(
            name!("external_fragmentation_ratio"),
            "external fragmentation",
            "The part of the free bytes that is not in the largest free block.",
            |of| Ratio(of.external_fragmentation()),
        ),
        Figure::new(name!("caches"), "caches", "Threads that have a cache, or left one.", |of| Count(of.caches as u64)),
        Figure::new(name!("cache_allocations_total"), "cache allocations", "Allocations that caches served.", |of| {
            Total(of.cache_allocations)
        }),
        Figure::new(
            name!("cache_releases_total"), //
            "cache releases",
            "Releases that caches took.",
            |of| Total(of.cache_releases),
        ),
        Figure::new(
            name!("cache_sent_blocks_total"),
            "cache blocks sent",
            "Of the releases that caches took, blocks that went home to another thread's cache.",
            |of| Total(of.cache_sent),
        ),
        Figure::new(
            name!("cache_refilled_blocks_total"),
            "cache blocks refilled",
            "Blocks that caches took in for allocations.",
            |of| Total(of.cache_refilled),
        ),
        Figure::new(
            name!("cache_flushed_blocks_total"),
            "cache blocks flushed",
            "Blocks that caches gave away.",
            |of| Total(of.cache_flushed),
        ),
        Figure::new(
            name!("heap_allocations_total"),
            "heap allocations",
            "Allocations that went past a thread's cache.",
            |of| Total(of.heap_allocations),
        ),
        Figure::new(name!("heap_releases_total"), "heap releases", "Releases that went past a thread's cache.", |of| {
            Total(of.heap_releases)
        }),
        Figure::new(name!("failures_total"), "failures", "Allocations that failed.", |of| Total(of.failures)),
        Figure::new(name!("searches_total"), "searches", "Allocations that the free stacks could not serve.", |of| {
            Total(of.searches)
        }),
        Figure::new(name!("sweeps_total"), "sweeps", "Sweeps, by hand or for a search.", |of| Total(of.sweeps)),
        Figure::new(name!("merges_total"), "merges", "Pairs of buddies that sweeps merged.", |of| Total(of.merges)),
    ]
};
