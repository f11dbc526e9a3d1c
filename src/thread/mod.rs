//! What a thread is to the pools: its index, the lease of a cache, and its end.

#[cfg_attr(not(feature = "std"), allow(dead_code, reason = "only the standard library tells threads apart"))]
pub mod lease;
pub mod number;
#[cfg_attr(not(feature = "std"), allow(dead_code, reason = "only the standard library tells threads apart"))]
pub mod registry;
mod shard;

pub use number::*;
pub use shard::{shard, shard_of, sweep_shard};
