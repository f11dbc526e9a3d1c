//! Epochs: when no reader can hold any more what was taken out of sight (Fraser, Practical lock-freedom, 2004), by
//! crossbeam-epoch; without the standard library never, before the pool is dropped.

#[cfg(all(loom, feature = "loom"))]
pub use models::{Domain, Guard};
#[cfg(all(feature = "std", not(all(loom, feature = "loom"))))]
pub use threads::{Domain, Guard};
#[cfg(not(any(feature = "std", all(loom, feature = "loom"))))]
pub use without::{Domain, Guard};

#[cfg(all(feature = "std", not(all(loom, feature = "loom"))))]
mod threads {
    use core::fmt;
    use core::marker::PhantomData;

    /// The readers of a set, with those of all other sets.
    #[derive(Debug)]
    pub struct Domain;

    /// What is reachable when it is made is not freed before it is dropped.
    pub struct Guard<'a> {
        guard: crossbeam_epoch::Guard,
        domain: PhantomData<&'a Domain>,
    }

    impl Domain {
        pub const fn new() -> Self {
            Self
        }

        #[inline]
        pub fn pin(&self) -> Guard<'_> {
            Guard { guard: crossbeam_epoch::pin(), domain: PhantomData }
        }
    }

    impl Guard<'_> {
        /// Calls `over` when all guards are dropped that there are now; it may be never. False: it will not be called.
        ///
        /// # Safety
        ///
        /// `over` may be called by any thread, at any later time.
        pub unsafe fn after(&self, over: impl FnOnce()) -> bool {
            // SAFETY: the caller vouches for it.
            unsafe { self.guard.defer_unchecked(over) };
            self.guard.flush();
            true
        }
    }

    impl fmt::Debug for Guard<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("Guard").finish_non_exhaustive()
        }
    }
}

#[cfg(not(any(feature = "std", all(loom, feature = "loom"))))]
mod without {
    use core::marker::PhantomData;

    /// The readers of a set, who are not counted.
    #[derive(Debug)]
    pub struct Domain;

    /// A reader.
    #[derive(Debug)]
    pub struct Guard<'a>(PhantomData<&'a Domain>);

    impl Domain {
        pub const fn new() -> Self {
            Self
        }

        #[inline]
        pub fn pin(&self) -> Guard<'_> {
            Guard(PhantomData)
        }
    }

    impl Guard<'_> {
        /// Does nothing.
        ///
        /// # Safety
        ///
        /// Always.
        pub unsafe fn after(&self, _: impl FnOnce()) -> bool {
            false
        }
    }
}

/// Under loom the readers are counted, which loom can judge: what waits is called by the last one that leaves. Only in sets
/// that a model watches, since most models are of something else.
#[cfg(all(loom, feature = "loom"))]
mod models {
    extern crate std;

    use core::fmt;
    use std::boxed::Box;
    use std::sync::{Mutex, MutexGuard};
    use std::vec::Vec;

    use crate::sync::{AtomicU32, Ordering};

    type Waiting = Box<dyn FnOnce()>;

    /// The readers of a set.
    pub struct Domain {
        readers: AtomicU32,
        /// `None`: readers are not counted. loom lets one thread run at a time, and does not see this lock.
        waiting: Mutex<Option<Vec<Waiting>>>,
    }

    // SAFETY: who gives a closure vouches that any thread may call it.
    unsafe impl Send for Domain {}
    // SAFETY: as above; each is called by the one thread that takes it out.
    unsafe impl Sync for Domain {}

    /// A reader.
    #[derive(Debug)]
    pub struct Guard<'a>(Option<&'a Domain>);

    impl Domain {
        pub fn new() -> Self {
            Self { readers: AtomicU32::new(0), waiting: Mutex::new(None) }
        }

        /// From now on readers are counted. Before the threads of a model start.
        pub fn watch(&self) {
            *self.waiting() = Some(Vec::new());
        }

        pub fn pin(&self) -> Guard<'_> {
            if self.waiting().is_none() {
                return Guard(None);
            }
            // AcqRel: as an epoch does it, what this thread reads from now on comes after all that was done before the last
            // reader left.
            self.readers.fetch_add(1, Ordering::AcqRel);
            Guard(Some(self))
        }

        fn waiting(&self) -> MutexGuard<'_, Option<Vec<Waiting>>> {
            self.waiting.lock().expect("nobody panics with it")
        }
    }

    impl Guard<'_> {
        /// Calls `over` when all guards are dropped that there are now. False: it will not be called.
        ///
        /// # Safety
        ///
        /// `over` may be called by any thread, at any later time.
        pub unsafe fn after(&self, over: impl FnOnce()) -> bool {
            let Some(domain) = self.0 else { return false };
            let over: Box<dyn FnOnce() + '_> = Box::new(over);
            // SAFETY: the caller vouches for any later time.
            let over = unsafe { core::mem::transmute::<Box<dyn FnOnce() + '_>, Waiting>(over) };
            domain.waiting().get_or_insert_default().push(over);
            true
        }
    }

    impl Drop for Guard<'_> {
        fn drop(&mut self) {
            let Some(domain) = self.0 else { return };
            // One less, wrapping. AcqRel: who calls what waits comes after all readers.
            if domain.readers.fetch_add(u32::MAX, Ordering::AcqRel) == 1 {
                let over = domain.waiting().replace(Vec::new());
                over.into_iter().flatten().for_each(|over| over());
            }
        }
    }

    impl fmt::Debug for Domain {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("Domain").field("readers", &self.readers).finish_non_exhaustive()
        }
    }
}
