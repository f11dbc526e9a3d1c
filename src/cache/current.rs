//! The cache of the calling thread. `thread/` knows the thread.

#[cfg(modelled)]
pub use models::{current, exit, registry, return_to, with_current};
#[cfg(all(feature = "std", not(modelled)))]
pub use threads::{current, registry, return_to, with_current};
#[cfg(not(any(feature = "std", modelled)))]
pub use without::{current, registry, return_to, with_current};

#[cfg(all(feature = "std", not(modelled)))]
mod threads {
    use core::ptr::NonNull;

    use super::super::cache::{Cache, OwnCache};
    use super::super::caches::Caches;
    use crate::thread;
    use crate::thread::registry::{ThreadIndex, ThreadRegistry};

    /// The indices of the threads of this program.
    pub fn registry(_: &Caches) -> &'static ThreadRegistry {
        thread::registry()
    }

    /// The cache of the calling thread in the pool of `caches`, if that is the pool that the thread used last.
    #[inline]
    pub fn current(caches: &Caches) -> Option<OwnCache<'_>> {
        let cache = thread::pool_cache(|| caches.id())?;
        // SAFETY: `with_current` or `return_to` stored the cache with the name of its pool. The name fits no other
        // pool, so the cache is one of `caches`, and lives as long.
        let cache = unsafe { cache.cast::<Cache>().as_ref() };
        // SAFETY: this thread has the lease of the cache until it exits, and forgets the pool before that.
        Some(unsafe { cache.owner() })
    }

    /// The cache of the calling thread in the pool of `caches`, made if there is none. `None`: the thread has no index,
    /// because all are taken or it is about to exit; there is no memory for a cache; or another thread drains it now.
    #[cold]
    pub fn with_current(caches: &Caches, min_shift: u32) -> Option<OwnCache<'_>> {
        let index = thread::take_index()?;
        let cache = caches.get_or_new(index, min_shift)?;
        if !cache.lease.enter(thread::registry().generation(index)) {
            return None;
        }
        thread::remember_pool(caches.id_or(thread::next_name), NonNull::from(cache).cast());
        // SAFETY: this thread has just got the lease of the cache, until it exits.
        Some(unsafe { cache.owner() })
    }

    /// The cache of the calling thread in the pool of `caches`, if it has used that pool, but another one since: of use
    /// for threads that use several pools in turn.
    #[cold]
    pub fn return_to(caches: &Caches) -> Option<OwnCache<'_>> {
        let index = ThreadIndex::new(thread::index()?)?;
        let generation = thread::registry().generation(index);
        let cache = caches.get(index).filter(|cache| cache.lease.generation() == Some(generation))?;
        thread::remember_pool(caches.id(), NonNull::from(cache).cast());
        // SAFETY: this thread got the lease of the cache in `with_current`, until it exits: it did so in its own
        // generation.
        Some(unsafe { cache.owner() })
    }
}

#[cfg(not(any(feature = "std", modelled)))]
mod without {
    use super::super::cache::OwnCache;
    use super::super::caches::Caches;
    use crate::thread::registry::ThreadRegistry;

    /// No thread has an index.
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

/// Under loom each pool has indices of its own, and a thread exits when the model says so.
#[cfg(modelled)]
mod models {
    extern crate std;

    use core::cell::Cell;

    use super::super::cache::OwnCache;
    use super::super::caches::Caches;
    use crate::thread::registry::{ThreadIndex, ThreadRegistry};

    loom::thread_local! {
        static INDEX: Cell<Option<ThreadIndex>> = Cell::new(None);
    }

    /// The indices of the threads of this model.
    pub fn registry(caches: &Caches) -> &ThreadRegistry {
        caches.registry()
    }

    /// The cache of the calling thread, if it has an index.
    pub fn current(caches: &Caches) -> Option<OwnCache<'_>> {
        let index = INDEX.with(Cell::get)?;
        let cache =
            caches.get(index).filter(|cache| cache.lease.generation() == Some(caches.registry().generation(index)))?;
        // SAFETY: the thread has the lease of the cache until `exit`.
        Some(unsafe { cache.owner() })
    }

    /// `current` finds all caches of a model's thread.
    pub fn return_to(_: &Caches) -> Option<OwnCache<'_>> {
        None
    }

    /// The cache of the calling thread, made if it must be.
    pub fn with_current(caches: &Caches, min_shift: u32) -> Option<OwnCache<'_>> {
        let index = INDEX.with(Cell::get).or_else(|| caches.registry().take())?;
        INDEX.with(|own| own.set(Some(index)));
        let cache = caches.get_or_new(index, min_shift)?;
        if !cache.lease.enter(caches.registry().generation(index)) {
            return None;
        }
        // SAFETY: the thread has just got the lease of the cache, until `exit`.
        Some(unsafe { cache.owner() })
    }

    /// Gives the index back, as a thread does that exits.
    pub fn exit(caches: &Caches) {
        if let Some(index) = INDEX.with(Cell::take) {
            caches.registry().release(index);
        }
    }
}
