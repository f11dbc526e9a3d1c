//! `MemoryPool`. The regions of most tests are made up: the pool never looks at what it manages.
#![allow(clippy::disallowed_types, reason = "tests are not modelled, so their atomics need not be the crate's")]

#[path = "../common/mod.rs"]
mod common;

/// Thread caches: bounds, bad pointers, several heaps, threads that come and go.
#[cfg(feature = "std")]
mod cache {
    mod bad_pointers;
    mod big_blocks;
    mod bounds;
    mod heaps;
    mod reach;
    mod threads;
}
/// Merging: by calls, and in the background.
#[cfg(feature = "std")]
mod sweep {
    mod histories;
    mod sweeper;
    mod wake;
}

mod errors;
mod exhaustion;
mod fragmentation;
mod geometry;
mod given_tables;
mod handover;
mod heaps;
mod programs;
mod races;
mod remove_heap;
mod resize;
#[cfg(feature = "std")]
mod shortage;
mod sizes;
mod stats;
#[cfg(feature = "metrics")]
mod stats_metrics;
#[cfg(feature = "serde")]
mod stats_serde;
mod stats_text;
mod usage;
