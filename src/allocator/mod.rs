//! `PoolAllocator`: a pool of pages behind Rust's allocator traits. `README.md` has the files in order of use.
//!
//! Nothing in here reaches another allocator, a lock, a panic or a log: it may be the global allocator of a program.

#[cfg(any(feature = "allocator-api2-02", feature = "allocator-api2-03", feature = "allocator-api2-04"))]
mod api;
mod backend;
mod bin;
mod builder;
mod cache;
mod class;
mod crowd;
mod cycle;
mod decay;
mod depot;
mod global;
mod instance;
mod meta;
mod options;
mod page_heap;
mod pool_allocator;
#[cfg(test)]
mod refused;
mod release;
mod root;
mod slow;
#[cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
mod unload;
mod visit;

pub use builder::AllocatorBuilder;
pub use pool_allocator::PoolAllocator;
