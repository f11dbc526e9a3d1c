//! `PoolAllocator` as an allocator that is not the global one.
#![allow(clippy::disallowed_types, reason = "tests are not modelled, so their atomics need not be the crate's")]

#[path = "../common/mod.rs"]
mod common;

mod blocks;
mod checked;
#[cfg(feature = "allocator-api2-04")]
mod collections;
mod leftovers;
mod limit;
mod metadata;
mod sweeper;
