//! A global allocator that fails when it is told to, in one thread, and counts what is allocated there. Who includes
//! this makes it the program's.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use super::at;

thread_local! {
    /// Allocations of this thread that still succeed; `None`: all do.
    pub static LEFT: Cell<Option<usize>> = const { Cell::new(None) };
    /// Allocations that this thread has asked for.
    pub static ASKED: Cell<usize> = const { Cell::new(0) };
    /// Bytes that this thread has allocated and not freed.
    pub static BALANCE: Cell<isize> = const { Cell::new(0) };
}

pub struct Failing;

impl Failing {
    /// Does this allocation succeed?
    fn grant(layout: Layout) -> bool {
        ASKED.set(ASKED.get() + 1);
        let granted = LEFT.get() != Some(0);
        if granted {
            LEFT.set(LEFT.get().map(|left| left - 1));
            BALANCE.set(BALANCE.get() + layout.size() as isize);
        }
        granted
    }
}

// SAFETY: what is granted is the system's memory; null is a failure, as the trait says. The thread-locals have no
// destructors and are initialised without allocating.
unsafe impl GlobalAlloc for Failing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise about the layout is passed on.
        if Self::grant(layout) { unsafe { System.alloc(layout) } } else { at(0) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as in `alloc`.
        if Self::grant(layout) { unsafe { System.alloc_zeroed(layout) } } else { at(0) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        BALANCE.set(BALANCE.get() - layout.size() as isize);
        // SAFETY: the caller's promise about the place is passed on.
        unsafe { System.dealloc(place, layout) }
    }
}

/// Runs with only `allowed` allocations of this thread succeeding.
pub fn with<R>(allowed: usize, run: impl FnOnce() -> R) -> R {
    LEFT.set(Some(allowed));
    let result = run();
    LEFT.set(None);
    result
}
