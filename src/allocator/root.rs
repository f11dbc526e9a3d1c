//! The root of an allocator: its instance, once it is started, and the name by which the fast paths find caches.

use core::marker::PhantomData;
use core::ptr::{self, NonNull};

use super::cache::Cache;
use super::instance::Instance;
use super::options::Options;
use crate::sync::{AtomicPtr, AtomicU64, Ordering};
use crate::thread;

/// Where an allocator has its instance.
pub(super) struct Root {
    /// The name by which the fast paths know caches: the instance's. No cache has the name 0: then all calls take the
    /// slow paths. It is 0 until there is an instance, for a while after a peak (`visit`), and for ever if releases
    /// are checked, since the checks are in the slow paths.
    name: AtomicU64,
    instance: AtomicPtr<Instance>,
    owns: PhantomData<Instance>,
}

impl Root {
    /// The root of an allocator that is not started.
    pub(super) const fn new() -> Self {
        Self { name: AtomicU64::new(0), instance: AtomicPtr::new(ptr::null_mut()), owns: PhantomData }
    }

    /// The root of an instance that was mapped just now.
    pub(super) fn of(instance: NonNull<Instance>, options: &Options) -> Self {
        // SAFETY: nobody else has it.
        let name = fast_name(unsafe { instance.as_ref() }, options);
        Self { name: AtomicU64::new(name), instance: AtomicPtr::new(instance.as_ptr()), owns: PhantomData }
    }

    /// The instance, if there is one.
    #[inline]
    pub(super) fn started(&self) -> Option<&Instance> {
        // Acquire: pairs with the Release in `start`; makes the instance visible.
        // SAFETY: null, or an instance that lives as long as `self`.
        unsafe { self.instance.load(Ordering::Acquire).as_ref() }
    }

    /// Starts an instance; the second value: this call did, and no faster thread.
    pub(super) fn start(&self, options: &Options) -> Option<(&Instance, bool)> {
        let new = Instance::map_growing(options)?;
        // AcqRel: the Release pairs with the Acquire in `started`. Acquire on failure: pairs with that Release, of a
        // faster thread.
        let stored = self.instance.compare_exchange(ptr::null_mut(), new.as_ptr(), Ordering::AcqRel, Ordering::Acquire);
        if let Err(first) = stored {
            // SAFETY: it was not stored, so nobody else has it.
            unsafe { Instance::unmap(new) };
            // SAFETY: it lives as long as `self`.
            return Some((unsafe { first.as_ref() }?, false));
        }
        // SAFETY: it lives as long as `self`.
        let instance = unsafe { new.as_ref() };
        // Relaxed: each thread compares it with a name that it has remembered itself.
        self.name.store(fast_name(instance, options), Ordering::Relaxed);
        Some((instance, true))
    }

    /// Makes all calls take the slow paths, until [`open`](Self::open).
    pub(super) fn close(&self) {
        // Relaxed: as in `start`. A thread that does not see it yet takes the fast path once more.
        self.name.store(0, Ordering::Relaxed);
    }

    /// The fast paths find caches again. For an allocator whose releases are not checked.
    pub(super) fn open(&self, instance: &Instance) {
        // Relaxed: as in `start`.
        self.name.store(instance.name, Ordering::Relaxed);
    }

    /// Do the fast paths find caches?
    pub(super) fn is_open(&self) -> bool {
        // Relaxed: a hint.
        self.name.load(Ordering::Relaxed) != 0
    }

    /// The cache of the calling thread, if it used this allocator last, and releases are not checked.
    #[inline(always)]
    pub(super) fn cache(&self) -> Option<&Cache> {
        // Relaxed: compared with a name in this thread's own memory.
        let cache = thread::allocator_cache(self.name.load(Ordering::Relaxed))?;
        // SAFETY: `own_cache` stored the cache with the name, which no other allocator ever has, so the cache lives as
        // long as `self`.
        Some(unsafe { cache.cast::<Cache>().as_ref() })
    }

    /// Gives back the memory of the instance, as far as nothing is live in it. The caller is its only user.
    #[cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
    pub(super) fn give_back(&self) {
        // Acquire: as in `started`.
        let Some(mut instance) = NonNull::new(self.instance.load(Ordering::Acquire)) else { return };
        // SAFETY: it lives until it is unmapped below, and nobody else uses it.
        if unsafe { instance.as_mut() }.give_back_all() {
            // Relaxed, both: nobody else is there. The next allocation starts anew.
            self.name.store(0, Ordering::Relaxed);
            self.instance.store(ptr::null_mut(), Ordering::Relaxed);
            // SAFETY: nothing is live in it, and no pointer to it is left.
            unsafe { Instance::unmap(instance) };
        }
    }
}

fn fast_name(instance: &Instance, options: &Options) -> u64 {
    if options.checked { 0 } else { instance.name }
}

impl Drop for Root {
    fn drop(&mut self) {
        // Relaxed: `&mut self`, nobody else is there.
        if let Some(instance) = NonNull::new(self.instance.load(Ordering::Relaxed)) {
            // SAFETY: it came from `Instance::map`. Blocks borrow the allocator, or their users vouched that it
            // outlives them.
            unsafe { Instance::unmap(instance) };
        }
    }
}
