//! What a thread is to the pools: its index, its leases of caches, and its end. `README.md` has the rules.

#[cfg(all(feature = "std", not(modelled)))]
mod current;
#[cfg(initial_exec)]
mod initial_exec;
#[cfg_attr(not(feature = "std"), allow(dead_code, reason = "only the standard library tells threads apart"))]
pub mod lease;
#[cfg_attr(not(feature = "std"), allow(dead_code, reason = "only the standard library tells threads apart"))]
pub mod registry;
mod shard;
#[cfg(all(feature = "std", not(modelled)))]
mod take;

#[cfg(all(feature = "allocator", not(modelled)))]
pub use current::{allocator_cache, remember_allocator};
#[cfg(all(feature = "std", not(modelled)))]
pub use current::{exit, index, next_name, pool_cache, registry, remember_pool};
pub use shard::{shard, shard_of, sweep_shard};
#[cfg(all(feature = "std", not(modelled)))]
pub use take::take_index;

/// Without the standard library there is no way to know a thread. Under loom indices are a pool's, and shards are a
/// model's.
#[cfg(not(all(feature = "std", not(modelled))))]
#[inline]
pub fn index() -> Option<usize> {
    None
}
