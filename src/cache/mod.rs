//! Thread caches: what stands in front of the heaps, so that a thread's allocations and releases touch nothing that
//! another thread touches.
//!
//! Each thread has in each pool a [`Cache`]. A file uses only the ones before it here:
//!
//! | file | what |
//! |---|---|
//! | `indices` | the numbers of threads; who has a number may use the caches of that number |
//! | `user` | which thread does |
//! | `bin` | the blocks of one size in a cache |
//! | `depot` | where other threads leave this cache's blocks |
//! | `window` | the heap that a cache works with, protected by a hazard, and how others get the owner's attention |
//! | `budget` | how much a cache may hold, and of what |
//! | `cache` | one cache: pop, push |
//! | `caches` | all caches of a pool |
//! | `homes` | whose neighbours a block lies among, and how it gets there |
//! | `refill`, `overflow`, `flush` | what a cache does when it has none, has too many, or is asked for them |
//! | `current` | the calling thread: its number, the cache that it used last, and what its end does |
//!
//! A block in a cache is `Held`: its state says so, and a second release of it is an error. A released block goes *home*, to
//! the cache that handed it out, in a magazine with others: so the blocks of a thread stay neighbours, and two threads
//! don't write to one cache line of states for long.

mod bin;
mod budget;
#[expect(clippy::module_inception, reason = "the folder is about what the file is")]
mod cache;
mod caches;
mod current;
mod depot;
mod flush;
mod homes;
mod indices;
mod overflow;
mod refill;
mod user;
mod window;

pub use budget::Allowance;
#[cfg(all(feature = "std", not(all(loom, feature = "loom"))))]
pub use cache::Cache;
pub use cache::{Owner, Served};
pub use caches::{Caches, Reach};
#[cfg(any(feature = "std", all(loom, feature = "loom")))]
pub use current::exit;
pub use current::{current, indices, return_to, with_current};
#[cfg(all(feature = "allocator", not(all(loom, feature = "loom"))))]
pub use current::{next_name, number, numbers, remember, remembered};
pub use indices::Indices;
#[cfg(any(feature = "std", all(loom, feature = "loom")))]
pub use indices::ThreadIndex;
#[cfg(all(feature = "allocator", not(all(loom, feature = "loom"))))]
pub use user::User;
