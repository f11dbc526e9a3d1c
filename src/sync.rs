//! The one file that names the concurrency of the standard library or of loom.
//!
//! Everything else imports its atomics from here. A build with `--cfg loom` *and* the feature `loom` gets loom's
//! atomics; a user's own loom build, which only sets the former, keeps the real ones.
#![allow(clippy::disallowed_types)]

pub(crate) use imp::{AtomicPtr, AtomicU8, AtomicU32, AtomicU64, Ordering, yield_now};

#[cfg(not(all(loom, feature = "loom")))]
mod imp {
    pub(crate) use core::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, AtomicU64, Ordering};

    /// Lets other threads run: by the scheduler with the feature `std`, else by a pause of the processor.
    pub(crate) fn yield_now() {
        let backoff = crossbeam_utils::Backoff::new();
        // `snooze` spins at first; once it is past spinning, it yields.
        while !backoff.is_completed() {
            backoff.snooze();
        }
    }
}

/// loom's atomics, each with a companion.
///
/// loom 0.7 remembers only one last access for each atomic, so that a thread's own load before its compare-exchange
/// can hide another thread's earlier load, and schedules are missed. Each access here therefore first swaps a
/// companion atomic, `Relaxed`: that makes any two accesses dependent and adds no happens-before edge.
/// `loom-tests/tests/companion.rs` shows a schedule that is missed without it.
#[cfg(all(loom, feature = "loom"))]
mod imp {
    pub(crate) use loom::sync::atomic::Ordering;
    use loom::sync::atomic::{self, AtomicU8 as Companion};

    pub(crate) fn yield_now() {
        loom::thread::yield_now();
    }

    macro_rules! integer {
        ($name:ident, $int:ty) => {
            #[derive(Debug, Default)]
            pub(crate) struct $name {
                companion: Companion,
                word: atomic::$name,
            }

            #[allow(dead_code, reason = "each integer uses some of the operations")]
            impl $name {
                pub(crate) fn new(value: $int) -> Self {
                    Self { companion: Companion::new(0), word: atomic::$name::new(value) }
                }

                fn touch(&self) -> &atomic::$name {
                    self.companion.swap(0, Ordering::Relaxed);
                    &self.word
                }

                pub(crate) fn load(&self, order: Ordering) -> $int {
                    self.touch().load(order)
                }

                pub(crate) fn store(&self, value: $int, order: Ordering) {
                    self.touch().store(value, order);
                }

                pub(crate) fn swap(&self, value: $int, order: Ordering) -> $int {
                    self.touch().swap(value, order)
                }

                pub(crate) fn fetch_add(&self, value: $int, order: Ordering) -> $int {
                    self.touch().fetch_add(value, order)
                }

                pub(crate) fn fetch_or(&self, value: $int, order: Ordering) -> $int {
                    self.touch().fetch_or(value, order)
                }

                pub(crate) fn compare_exchange(
                    &self,
                    seen: $int,
                    new: $int,
                    success: Ordering,
                    failure: Ordering,
                ) -> Result<$int, $int> {
                    self.touch().compare_exchange(seen, new, success, failure)
                }

                pub(crate) fn compare_exchange_weak(
                    &self,
                    seen: $int,
                    new: $int,
                    success: Ordering,
                    failure: Ordering,
                ) -> Result<$int, $int> {
                    self.touch().compare_exchange(seen, new, success, failure)
                }
            }
        };
    }

    integer!(AtomicU8, u8);
    integer!(AtomicU32, u32);
    integer!(AtomicU64, u64);

    /// The set of heaps is not part of a model so far; it needs no companion.
    pub(crate) use loom::sync::atomic::AtomicPtr;
}
