//! The calling thread: how it gets its number, and the cache that it used last.
//!
//! That is in a thread-local cell without a destructor, as the number is (`thread`), so that it can be read at any time, in destructors too,
//! without a check. When the thread exits (`exit`), both are marked dead before the number is given back, so that what the thread still
//! does then it does without a cache.

#[cfg(modelled)]
pub use models::{current, exit, registry, return_to, with_current};
#[cfg(all(feature = "std", not(modelled)))]
pub use threads::{current, exit, registry, return_to, with_current};
#[cfg(all(feature = "allocator", not(modelled)))]
pub use threads::{next_name, number, remember, remembered, thread_registry};
#[cfg(not(any(feature = "std", modelled)))]
pub use without::{current, registry, return_to, with_current};

#[cfg(all(feature = "std", not(modelled)))]
mod threads {
    extern crate std;

    use core::cell::Cell;
    use core::ptr::NonNull;
    use std::thread_local;

    use crate::cache::{Cache, Caches, OwnCache, ThreadIndex, ThreadRegistry};
    use crate::sync::{AtomicU64, Ordering};
    use crate::sys::exit::{Registered, at_exit, registered};
    use crate::thread::{self, Number};

    /// The numbers of the threads of this program.
    static REGISTRY: ThreadRegistry = ThreadRegistry::new();

    /// The numbers of the threads of this program.
    pub fn registry(_: &Caches) -> &'static ThreadRegistry {
        &REGISTRY
    }

    /// The name of the next pool. A name is never used again, so that a thread's memory of a pool that was dropped fits no
    /// other one. 2^64 names are enough.
    static NEXT_ID: AtomicU64 = AtomicU64::new(1);

    /// No pool has this name.
    const NO_POOL: u64 = u64::MAX;

    struct Current {
        /// The name of the pool that this thread used last.
        pool: Cell<u64>,
        /// Its cache in that pool.
        cache: Cell<NonNull<Cache>>,
        /// The name of the allocator that this thread used last, and its cache in that.
        #[cfg(feature = "allocator")]
        allocator: Cell<(u64, NonNull<()>)>,
    }

    thread_local! {
        static CURRENT: Current = const {
            Current {
                pool: Cell::new(NO_POOL),
                cache: Cell::new(NonNull::dangling()),
                #[cfg(feature = "allocator")]
                allocator: Cell::new((NO_POOL, NonNull::dangling())),
            }
        };
    }

    /// The calling thread is about to exit: gives its number back.
    pub fn exit(index: Option<ThreadIndex>) {
        thread::set_number(Number::Never);
        CURRENT.with(|current| {
            current.pool.set(NO_POOL);
            #[cfg(feature = "allocator")]
            current.allocator.set((NO_POOL, NonNull::dangling()));
        });
        if let Some(index) = index {
            REGISTRY.release(index);
        }
    }

    /// The cache of the calling thread in the pool of `caches`, if that is the pool that the thread used last.
    #[inline]
    pub fn current(caches: &Caches) -> Option<OwnCache<'_>> {
        CURRENT.with(|current| {
            if current.pool.get() != caches.id() {
                return None;
            }
            // SAFETY: `with_current` stored the cache with the name of its pool. The name fits no other pool, so the cache is
            // one of `caches`, and lives as long.
            let cache = unsafe { current.cache.get().as_ref() };
            // SAFETY: this thread uses the cache until `exit`, which makes it forget the pool first.
            Some(unsafe { cache.owner() })
        })
    }

    /// The cache of the calling thread in the pool of `caches`, made if it must be. `None`: the thread has no number,
    /// because all are taken or it is about to exit; there is no memory for a cache; or another thread drains it just now.
    #[cold]
    pub fn with_current(caches: &Caches, min_shift: u32) -> Option<OwnCache<'_>> {
        CURRENT.with(|current| {
            let index = index_or_claim()?;
            let cache = caches.get_or_new(index, min_shift)?;
            if !cache.lease.enter(REGISTRY.generation(index)) {
                return None;
            }
            // Relaxed: only that each name is given once matters.
            current.pool.set(caches.id_or(|| NEXT_ID.fetch_add(1, Ordering::Relaxed)));
            current.cache.set(NonNull::from(cache));
            // SAFETY: this thread has just become the user of the cache, until `exit`.
            Some(unsafe { cache.owner() })
        })
    }

    /// The cache of the calling thread in the pool of `caches`, if it has used that pool, but another one since: of use for threads
    /// that use several pools in turn.
    #[cold]
    pub fn return_to(caches: &Caches) -> Option<OwnCache<'_>> {
        let index = ThreadIndex::new(thread::index()?)?;
        let cache = caches.get(index).filter(|cache| cache.lease.generation() == Some(REGISTRY.generation(index)))?;
        CURRENT.with(|current| {
            current.pool.set(caches.id());
            current.cache.set(NonNull::from(cache));
        });
        // SAFETY: this thread has become the user of the cache in `with_current`, until `exit`: it is so in its own generation.
        Some(unsafe { cache.owner() })
    }

    /// A name for an allocator.
    #[cfg(feature = "allocator")]
    pub fn next_name() -> u64 {
        // Relaxed: only that each name is given once matters.
        NEXT_ID.fetch_add(1, Ordering::Relaxed)
    }

    /// What the calling thread remembers of the allocator of this name, if that is the one that it used last.
    #[cfg(feature = "allocator")]
    #[inline(always)]
    pub fn remembered(name: u64) -> Option<NonNull<()>> {
        CURRENT.with(|current| {
            let (last, cache) = current.allocator.get();
            (last == name).then_some(cache)
        })
    }

    /// Makes the calling thread remember something of the allocator of this name, until it is about to exit.
    #[cfg(feature = "allocator")]
    pub fn remember(name: u64, cache: NonNull<()>) {
        CURRENT.with(|current| current.allocator.set((name, cache)));
    }

    /// The number of the calling thread. `None`: all are taken, or it is about to exit, or is being given one just now.
    #[cfg(feature = "allocator")]
    pub fn number() -> Option<(ThreadIndex, &'static ThreadRegistry)> {
        index_or_claim().map(|index| (index, &REGISTRY))
    }

    /// The numbers of the threads of this program.
    #[cfg(feature = "allocator")]
    pub fn thread_registry() -> &'static ThreadRegistry {
        &REGISTRY
    }

    /// The number of this thread, or one for it. Where all are taken the next call tries again; one that nobody tells that it exits never has one.
    fn index_or_claim() -> Option<ThreadIndex> {
        match thread::number() {
            Number::Is(index) => ThreadIndex::new(index),
            Number::NotYet => claim(),
            Number::Never => None,
        }
    }

    #[cold]
    fn claim() -> Option<ThreadIndex> {
        // Without a cache until it is certain that the number will be given back: that may allocate, and so use this pool.
        thread::set_number(Number::Never);
        match registered() {
            Registered::Nothing => {}
            Registered::Number(index) => {
                thread::set_number(Number::Is(index.slot()));
                return Some(index);
            }
            Registered::Called => return None,
        }
        let Some(index) = REGISTRY.claim() else {
            thread::set_number(Number::NotYet);
            return None;
        };
        if !at_exit(index) {
            REGISTRY.release(index);
            return None;
        }
        thread::set_number(Number::Is(index.slot()));
        Some(index)
    }
}

#[cfg(not(any(feature = "std", modelled)))]
mod without {
    use crate::cache::{Caches, OwnCache, ThreadRegistry};

    /// No thread has a number.
    pub fn registry(_: &Caches) -> &'static ThreadRegistry {
        static REGISTRY: ThreadRegistry = ThreadRegistry::new();
        &REGISTRY
    }

    /// Without the standard library there is no way to know a thread.
    #[inline]
    pub fn current(_: &Caches) -> Option<OwnCache<'_>> {
        None
    }

    /// As [`current`].
    pub fn return_to(_: &Caches) -> Option<OwnCache<'_>> {
        None
    }

    /// As [`current`].
    pub fn with_current(_: &Caches, _: u32) -> Option<OwnCache<'_>> {
        None
    }
}

/// Under loom each pool has numbers of its own, and a thread exits when the model says so.
#[cfg(modelled)]
mod models {
    extern crate std;

    use core::cell::Cell;

    use crate::cache::{Caches, OwnCache, ThreadIndex, ThreadRegistry};

    loom::thread_local! {
        static INDEX: Cell<Option<ThreadIndex>> = Cell::new(None);
    }

    /// The numbers of the threads of this model.
    pub fn registry(caches: &Caches) -> &ThreadRegistry {
        caches.registry()
    }

    /// The cache of the calling thread, if it has a number.
    pub fn current(caches: &Caches) -> Option<OwnCache<'_>> {
        let index = INDEX.with(Cell::get)?;
        let cache =
            caches.get(index).filter(|cache| cache.lease.generation() == Some(caches.registry().generation(index)))?;
        // SAFETY: the thread is the user of the cache until `exit`.
        Some(unsafe { cache.owner() })
    }

    /// A thread of a model has all its caches at hand.
    pub fn return_to(_: &Caches) -> Option<OwnCache<'_>> {
        None
    }

    /// The cache of the calling thread, made if it must be.
    pub fn with_current(caches: &Caches, min_shift: u32) -> Option<OwnCache<'_>> {
        let index = INDEX.with(Cell::get).or_else(|| caches.registry().claim())?;
        INDEX.with(|own| own.set(Some(index)));
        let cache = caches.get_or_new(index, min_shift)?;
        if !cache.lease.enter(caches.registry().generation(index)) {
            return None;
        }
        // SAFETY: the thread has just become the user of the cache, until `exit`.
        Some(unsafe { cache.owner() })
    }

    /// Gives the number back, as a thread does that exits.
    pub fn exit(caches: &Caches) {
        if let Some(index) = INDEX.with(Cell::take) {
            caches.registry().release(index);
        }
    }
}
