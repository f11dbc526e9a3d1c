//! The calling thread: what it remembers of itself, and its end.
//!
//! That is in a thread-local without a destructor, so that it can be read at any time, in destructors too, without a
//! check. When the thread exits, it forgets all before it gives its index back: from then on it works without caches.

extern crate std;

use core::cell::Cell;
use core::ptr::NonNull;
use std::thread_local;

use super::registry::{ThreadIndex, ThreadRegistry};
use crate::sync::{AtomicU64, Ordering};

static REGISTRY: ThreadRegistry = ThreadRegistry::new();

/// The indices of the threads of this program.
pub fn registry() -> &'static ThreadRegistry {
    &REGISTRY
}

/// The next name.
static NEXT_NAME: AtomicU64 = AtomicU64::new(1);

/// A name for a pool or an allocator. None is given twice, so that a thread's memory of one that was dropped fits no
/// other. 2^64 names are enough.
pub fn next_name() -> u64 {
    // Relaxed: only that each name is given once matters.
    NEXT_NAME.fetch_add(1, Ordering::Relaxed)
}

/// What a thread knows of its index.
#[derive(Clone, Copy, Debug)]
pub(super) enum Index {
    /// It has not asked for one, or all were taken.
    NotYet,
    /// It has none and will have none: it is about to exit, or nobody would tell when it does; or it is being given one
    /// now.
    Never,
    /// It has this one.
    Is(ThreadIndex),
}

/// A cache of the calling thread.
#[derive(Clone, Copy)]
struct Known {
    /// The name of the pool or allocator.
    name: u64,
    cache: NonNull<()>,
}

impl Known {
    /// No pool and no allocator has this name.
    const NOTHING: Self = Self { name: u64::MAX, cache: NonNull::dangling() };

    #[inline(always)]
    fn of(self, name: u64) -> Option<NonNull<()>> {
        (self.name == name).then_some(self.cache)
    }
}

struct Current {
    index: Cell<Index>,
    /// The cache in the pool that this thread used last.
    pool: Cell<Known>,
    /// The cache in the allocator that this thread used last.
    #[cfg(feature = "allocator")]
    allocator: Cell<Known>,
}

thread_local! {
    static CURRENT: Current = const {
        Current {
            index: Cell::new(Index::NotYet),
            pool: Cell::new(Known::NOTHING),
            #[cfg(feature = "allocator")]
            allocator: Cell::new(Known::NOTHING),
        }
    };
}

/// The calling thread's index as it knows it.
#[inline]
pub(super) fn known_index() -> Index {
    CURRENT.with(|current| current.index.get())
}

pub(super) fn set_index(index: Index) {
    CURRENT.with(|current| current.index.set(index));
}

/// The index of the calling thread, if it has one.
#[inline]
pub fn index() -> Option<usize> {
    if let Index::Is(index) = known_index() { Some(index.slot()) } else { None }
}

/// The calling thread's cache in the pool of this name, if that is the pool that it used last. The name is read after
/// the thread-local was found: in a library that takes a call, and a value that lives across it takes a register more.
#[inline(always)]
pub fn pool_cache(name: impl FnOnce() -> u64) -> Option<NonNull<()>> {
    CURRENT.with(|current| current.pool.get().of(name()))
}

/// The calling thread remembers its cache in the pool of this name, until it is about to exit.
pub fn remember_pool(name: u64, cache: NonNull<()>) {
    CURRENT.with(|current| current.pool.set(Known { name, cache }));
}

/// The calling thread's cache in the allocator of this name, if that is the allocator that it used last.
#[cfg(feature = "allocator")]
#[inline(always)]
pub fn allocator_cache(name: u64) -> Option<NonNull<()>> {
    CURRENT.with(|current| current.allocator.get().of(name))
}

/// The calling thread remembers its cache in the allocator of this name, until it is about to exit.
#[cfg(feature = "allocator")]
pub fn remember_allocator(name: u64, cache: NonNull<()>) {
    CURRENT.with(|current| current.allocator.set(Known { name, cache }));
}

/// The calling thread is about to exit: gives its index back.
pub fn exit(index: Option<ThreadIndex>) {
    CURRENT.with(|current| {
        current.index.set(Index::Never);
        current.pool.set(Known::NOTHING);
        #[cfg(feature = "allocator")]
        current.allocator.set(Known::NOTHING);
    });
    if let Some(index) = index {
        REGISTRY.release(index);
    }
}
