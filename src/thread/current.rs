//! The calling thread: what it remembers of itself, and its end.
//!
//! That is in a thread-local without a destructor, so that it can be read at any time, in destructors too, without a
//! check. When the thread exits, it forgets all before it gives its index back: from then on it works without caches.

use core::cell::Cell;
use core::ptr::NonNull;

#[cfg(initial_exec)]
use super::initial_exec;
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
#[repr(u32)]
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
#[repr(C)]
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

#[repr(C)]
struct Current {
    index: Cell<Index>,
    /// The cache in the pool that this thread used last.
    pool: Cell<Known>,
    /// The cache in the allocator that this thread used last.
    #[cfg(feature = "allocator")]
    allocator: Cell<Known>,
}

#[cfg(not(initial_exec))]
extern crate std;

#[cfg(not(initial_exec))]
std::thread_local! {
    static CURRENT: Current = const {
        Current {
            index: Cell::new(Index::NotYet),
            pool: Cell::new(Known::NOTHING),
            #[cfg(feature = "allocator")]
            allocator: Cell::new(Known::NOTHING),
        }
    };
}

/// What the calling thread remembers.
#[cfg(not(initial_exec))]
#[inline(always)]
fn with_current<R>(look: impl FnOnce(&Current) -> R) -> R {
    CURRENT.with(look)
}

/// What the calling thread remembers.
#[cfg(initial_exec)]
#[inline(always)]
fn with_current<R>(look: impl FnOnce(&Current) -> R) -> R {
    use core::mem::{align_of, offset_of, size_of};

    // The words of a new thread are one that has no index, and knows no pool and no allocator.
    const _: () = assert!(size_of::<Current>() == 8 * initial_exec::WORDS && align_of::<Current>() == 8);
    const _: () = assert!(offset_of!(Current, pool) == 8 && offset_of!(Current, allocator) == 24);
    const _: () = assert!(offset_of!(Known, name) == 0 && initial_exec::FIRST[1] == Known::NOTHING.name);
    const _: () = assert!(initial_exec::FIRST[1] == initial_exec::FIRST[3]);
    // SAFETY: `Index` is a `u32`, of which 0 is `NotYet`, and what it holds; a name is any number, and no pointer of a
    // new thread is null. So the words are a `Current` of this thread, and nobody else has them.
    look(unsafe { &*initial_exec::words().cast::<Current>() })
}

/// The calling thread's index as it knows it.
#[inline]
pub(super) fn known_index() -> Index {
    with_current(|current| current.index.get())
}

pub(super) fn set_index(index: Index) {
    with_current(|current| current.index.set(index));
}

/// The index of the calling thread, if it has one.
#[inline]
pub fn index() -> Option<usize> {
    if let Index::Is(index) = known_index() { Some(index.place()) } else { None }
}

/// The calling thread's cache in the pool of this name, if that is the pool that it used last. The name is read after
/// the thread-local was found: in a library that takes a call, and a value that lives across it takes a register more.
#[inline(always)]
pub fn pool_cache(name: impl FnOnce() -> u64) -> Option<NonNull<()>> {
    with_current(|current| current.pool.get().of(name()))
}

/// The calling thread remembers its cache in the pool of this name, until it is about to exit.
pub fn remember_pool(name: u64, cache: NonNull<()>) {
    with_current(|current| current.pool.set(Known { name, cache }));
}

/// The calling thread's cache in the allocator of this name, if that is the allocator that it used last.
#[cfg(feature = "allocator")]
#[inline(always)]
pub fn allocator_cache(name: u64) -> Option<NonNull<()>> {
    with_current(|current| current.allocator.get().of(name))
}

/// The calling thread remembers its cache in the allocator of this name, until it is about to exit.
#[cfg(feature = "allocator")]
pub fn remember_allocator(name: u64, cache: NonNull<()>) {
    with_current(|current| current.allocator.set(Known { name, cache }));
}

/// The calling thread is about to exit: gives its index back.
pub fn exit(index: Option<ThreadIndex>) {
    with_current(|current| {
        current.index.set(Index::Never);
        current.pool.set(Known::NOTHING);
        #[cfg(feature = "allocator")]
        current.allocator.set(Known::NOTHING);
    });
    if let Some(index) = index {
        REGISTRY.release(index);
    }
}
