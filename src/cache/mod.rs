//! Thread caches: what stands in front of the heaps, so that a thread's allocations and releases touch nothing that
//! another thread touches.
//!
//! Each thread has in each pool a [`Cache`]. A file uses only the ones before it here:
//!
//! | file | what |
//! |---|---|
//! | `registry` | the numbers of threads; who has a number may use the caches of that number |
//! | `user` | which thread does |
//! | `bin` | the blocks of one size in a cache |
//! | `depot` | where other threads leave this cache's blocks |
//! | `window` | the heap that a cache works with, protected by a hazard, and how others get the owner's attention |
//! | `budget` | how much a cache may hold, and of what |
//! | `cache` | one cache: pop, push |
//! | `caches` | all caches of a pool |
//! | `owners` | whose neighbours a block lies among, and how it gets there |
//! | `refill`, `overflow`, `flush` | what a cache does when it has none, has too many, or is asked for them |
//! | `current` | the calling thread: its number, the cache that it used last, and what its end does |
//!
//! A block in a cache is `Cached`: its state says so, and a second release of it is an error. A released block goes *owner*, to
//! the cache that handed it out, in a magazine with others: so the blocks of a thread stay neighbours, and two threads
//! don't write to one cache line of states for long.

mod bin;
mod budget;
#[expect(clippy::module_inception, reason = "the folder is about what the file is")]
mod cache;
mod caches;
mod current;
mod depot;
mod entry;
mod flush;
mod layout;
mod limit;
mod outbox;
mod overflow;
mod refill;
mod tiles;
mod window;

#[cfg(all(feature = "allocator", not(modelled)))]
pub use crate::thread::lease::Lease;
#[cfg(any(feature = "std", modelled))]
pub use crate::thread::registry::ThreadIndex;
pub use crate::thread::registry::ThreadRegistry;
#[cfg(all(feature = "std", not(modelled)))]
pub use cache::Cache;
pub use cache::{OwnCache, Served};
pub use caches::{Caches, Reach};
#[cfg(any(feature = "std", modelled))]
pub use current::exit;
pub use current::{current, registry, return_to, with_current};
#[cfg(all(feature = "allocator", not(modelled)))]
pub use current::{next_name, number, remember, remembered, thread_registry};
pub use limit::Allowance;
