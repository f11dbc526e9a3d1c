//! When no reader can hold any more what was taken out of sight.
//!
//! With the standard library by epochs (Fraser, Practical lock-freedom, 2004), as crossbeam-epoch has them. A thread that can't
//! have the memory for that, and all threads without the standard library, count themselves instead: then it is over when
//! there is a moment without any.

use core::fmt;

use crate::sync::{AtomicU32, Ordering, const_unless_loom, fence};

/// The readers of a set.
pub struct Domain {
    /// Readers that are not known to the epochs.
    counted: AtomicU32,
    /// Most models are of something else.
    #[cfg(all(loom, feature = "loom"))]
    watched: core::cell::Cell<bool>,
}

// SAFETY: `watched` is set before the threads of a model start.
#[cfg(all(loom, feature = "loom"))]
unsafe impl Sync for Domain {}

/// What is in sight when it is made is not freed before it is dropped.
pub struct Guard<'a>(Reader<'a>);

enum Reader<'a> {
    #[cfg(all(feature = "std", not(all(loom, feature = "loom"))))]
    Epoch(crossbeam_epoch::Guard),
    Counted(&'a AtomicU32),
    #[cfg(all(loom, feature = "loom"))]
    Unwatched,
}

impl Domain {
    const_unless_loom! {
        pub fn new() -> Self {
            Self {
                counted: AtomicU32::new(0),
                #[cfg(all(loom, feature = "loom"))]
                watched: core::cell::Cell::new(false),
            }
        }
    }

    #[inline]
    pub fn pin(&self) -> Guard<'_> {
        #[cfg(all(feature = "std", not(all(loom, feature = "loom"))))]
        if threads::are_registered() {
            return Guard(Reader::Epoch(crossbeam_epoch::pin()));
        }
        #[cfg(all(loom, feature = "loom"))]
        if !self.watched.get() {
            return Guard(Reader::Unwatched);
        }
        self.count_slow()
    }

    #[cold]
    fn count_slow(&self) -> Guard<'_> {
        // Relaxed: ordered by the fence.
        self.counted.fetch_add(1, Ordering::Relaxed);
        // SeqCst: pairs with the fence in `is_quiet`: either this reader is counted there, or it sees what has replaced what was
        // taken out of sight.
        fence(Ordering::SeqCst);
        Guard(Reader::Counted(&self.counted))
    }

    /// Is there none of the readers that the epochs don't know, at a moment after what the caller has replaced?
    pub fn is_quiet(&self) -> bool {
        // SeqCst: pairs with the fence in `count_slow`.
        fence(Ordering::SeqCst);
        // Acquire: pairs with the Release in `drop`; who frees comes after the readers.
        self.counted.load(Ordering::Acquire) == 0
    }

    /// From now on readers are counted. Before the threads of a model start.
    #[cfg(all(loom, feature = "loom"))]
    pub fn watch(&self) {
        self.watched.set(true);
    }
}

impl Guard<'_> {
    /// Calls `over` when all guards are dropped that the epochs know now; it may be never. False: there are none, and it
    /// will not be called.
    ///
    /// # Safety
    ///
    /// `over` may be called by any thread, at any later time.
    pub unsafe fn after(&self, over: impl FnOnce()) -> bool {
        #[cfg(all(feature = "std", not(all(loom, feature = "loom"))))]
        {
            let defer = |guard: &crossbeam_epoch::Guard| {
                // SAFETY: the caller vouches for it.
                unsafe { guard.defer_unchecked(over) };
                guard.flush();
            };
            match &self.0 {
                Reader::Epoch(guard) => defer(guard),
                Reader::Counted(_) => defer(&crossbeam_epoch::pin()),
            }
            true
        }
        #[cfg(not(all(feature = "std", not(all(loom, feature = "loom")))))]
        {
            let _ = over;
            false
        }
    }
}

impl Drop for Guard<'_> {
    #[inline]
    fn drop(&mut self) {
        match self.0 {
            #[cfg(all(feature = "std", not(all(loom, feature = "loom"))))]
            Reader::Epoch(_) => {}
            Reader::Counted(counted) => {
                // One less, wrapping. Release: pairs with the Acquire in `is_quiet`.
                counted.fetch_add(u32::MAX, Ordering::Release);
            }
            #[cfg(all(loom, feature = "loom"))]
            Reader::Unwatched => {}
        }
    }
}

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Domain").field("counted", &self.counted).finish_non_exhaustive()
    }
}

impl fmt::Debug for Guard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").finish_non_exhaustive()
    }
}

#[cfg(all(feature = "std", not(all(loom, feature = "loom"))))]
mod threads {
    extern crate std;

    use alloc::alloc::{alloc, dealloc};
    use core::alloc::Layout;
    use core::cell::Cell;
    use std::thread_local;

    thread_local! {
        static REGISTERED: Cell<bool> = const { Cell::new(false) };
    }

    /// May this thread use epochs? It registers with them at its first use, for which a failing allocation would be the end
    /// of the program.
    #[inline]
    pub fn are_registered() -> bool {
        REGISTERED.get() || register()
    }

    #[cold]
    fn register() -> bool {
        // What crossbeam-epoch takes for a thread, and more.
        let layout = Layout::new::<[u64; 1024]>();
        // SAFETY: the layout has a size. A black box, since who does not use what it allocates need not allocate it.
        let probe = core::hint::black_box(unsafe { alloc(layout) });
        if probe.is_null() {
            return false;
        }
        // SAFETY: it was allocated with this layout.
        unsafe { dealloc(probe, layout) };
        drop(crossbeam_epoch::pin());
        REGISTERED.set(true);
        true
    }
}
