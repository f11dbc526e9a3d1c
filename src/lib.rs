#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![no_std]

extern crate alloc;

#[cfg_attr(not(feature = "std"), allow(dead_code, reason = "only the standard library tells threads apart"))]
mod cache;
mod config;
mod error;
mod heap;
mod heaps;
mod map;
mod metadata;
mod pool;
// The models in `loom-tests/` call the core itself.
#[cfg(all(loom, feature = "loom"))]
#[doc(hidden)]
pub mod raw;
#[cfg(not(all(loom, feature = "loom")))]
mod raw;
mod stats;
mod sync;
mod units;

pub use config::Builder;
pub use error::{AddHeapError, AllocError, ConfigError, ReleaseBatchError, ReleaseError, RemoveHeapError, ResizeError};
pub use heap::HeapId;
pub use map::{Block, BlockState, HeapMap, SvgMap, TextMap};
pub use pool::MemoryPool;
#[cfg(feature = "metrics")]
pub use stats::describe_metrics;
pub use stats::{HeapStats, OrderStats, PoolStats, SweepReport};
