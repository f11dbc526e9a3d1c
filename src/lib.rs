#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![no_std]

extern crate alloc;
#[cfg(test)]
#[macro_use]
extern crate std;

#[cfg(all(feature = "allocator", unix, not(all(loom, feature = "loom"))))]
mod allocator;
#[cfg_attr(not(feature = "std"), allow(dead_code, reason = "only the standard library tells threads apart"))]
mod cache;
mod config;
mod error;
mod heap;
mod heaps;
mod map;
mod metadata;
#[cfg(all(feature = "allocator", unix, not(all(loom, feature = "loom"))))]
mod pages;
mod pool;
// The models in `loom-tests/` call the core itself.
#[cfg(all(loom, feature = "loom"))]
#[doc(hidden)]
pub mod raw;
#[cfg(not(all(loom, feature = "loom")))]
mod raw;
mod stats;
#[cfg(all(test, feature = "std", not(loom)))]
mod stops;
#[cfg(all(feature = "std", not(all(loom, feature = "loom"))))]
mod sweeper;
mod sync;
mod thread;
mod units;
// As for `raw`.
#[cfg(all(loom, feature = "loom"))]
#[doc(hidden)]
pub mod wakers;
#[cfg(all(feature = "std", not(all(loom, feature = "loom"))))]
mod wakers;

#[cfg(all(feature = "allocator", unix, not(all(loom, feature = "loom"))))]
#[cfg_attr(docsrs, doc(cfg(feature = "allocator")))]
pub use allocator::{AllocatorBuilder, PoolAllocator};
pub use config::Builder;
#[cfg(all(feature = "allocator", unix, not(all(loom, feature = "loom"))))]
#[cfg_attr(docsrs, doc(cfg(feature = "allocator")))]
pub use error::MapError;
pub use error::{AddHeapError, AllocError, ConfigError, ReleaseBatchError, ReleaseError, RemoveHeapError, ResizeError};
pub use heap::HeapId;
pub use map::{Block, BlockState, HeapMap, SvgMap, TextMap};
pub use pool::MemoryPool;
#[cfg(all(feature = "allocator", unix, not(all(loom, feature = "loom"))))]
#[cfg_attr(docsrs, doc(cfg(feature = "allocator")))]
pub use stats::AllocatorStats;
#[cfg(all(feature = "std", not(all(loom, feature = "loom"))))]
#[cfg_attr(docsrs, doc(cfg(feature = "std")))]
pub use stats::SweeperStats;
#[cfg(feature = "metrics")]
pub use stats::describe_metrics;
pub use stats::{HeapStats, OrderStats, PoolStats, SweepReport};
#[cfg(all(feature = "std", not(all(loom, feature = "loom"))))]
#[cfg_attr(docsrs, doc(cfg(feature = "std")))]
pub use sweeper::{Budget, Sweeper, SweeperBuilder};
