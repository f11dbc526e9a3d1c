//! Which memory other threads withhold, and what an allocation that fails waits for.
//!
//! A thread that takes free memory for longer than an allocation does, or gives back what others have cached, counts
//! when it begins and when it ends. An allocation has failed for certain only if both counts were equal, and stayed so.

use crate::sync::{AtomicU32, AtomicU64, Ordering, const_unless_loom, fence};

/// Counts of threads that withhold memory.
#[derive(Debug)]
pub struct Withheld {
    /// How often threads began to withhold memory.
    begun: AtomicU32,
    /// How often they ended.
    ended: AtomicU32,
}

impl Default for Withheld {
    fn default() -> Self {
        Self::new()
    }
}

impl Withheld {
    const_unless_loom! {
        /// Nobody withholds any.
        pub fn new() -> Self {
            Self { begun: AtomicU32::new(0), ended: AtomicU32::new(0) }
        }
    }

    /// Does `work`, which withholds memory.
    pub fn during<R>(&self, work: impl FnOnce() -> R) -> R {
        // Relaxed: the fence publishes it.
        self.begun.fetch_add(1, Ordering::Relaxed);
        // Release: pairs with the fence in `both`. A thread that has read anything that this one writes from now on
        // sees that it has begun.
        fence(Ordering::Release);
        let result = work();
        // Release: pairs with the Acquire in `both`; a thread that sees it finds the memory that was withheld.
        self.ended.fetch_add(1, Ordering::Release);
        result
    }

    /// Both counts. If they are equal, none began between the two loads.
    fn both(&self) -> (u32, u32) {
        // Acquire: pairs with the fence in `during`. A caller that came upon withheld memory has read something that
        // its thread wrote: the state of a block, the word of a bitmap or of a depot, a lease, or the number of idle
        // slabs.
        fence(Ordering::Acquire);
        // Acquire: pairs with the Release in `during`.
        let ended = self.ended.load(Ordering::Acquire);
        // Relaxed: the fence orders it.
        (self.begun.load(Ordering::Relaxed), ended)
    }

    /// How often threads withheld memory; `None`, if one may do so now. If two answers are the same number, none did in
    /// between.
    #[cfg(any(feature = "allocator", modelled))]
    pub fn seen(&self) -> Option<u32> {
        let (begun, ended) = self.both();
        (begun == ended).then_some(begun)
    }

    /// Threads that withhold memory now. If there are none, the caller finds all that was withheld before.
    pub fn count(&self) -> u32 {
        let (begun, ended) = self.both();
        begun.wrapping_sub(ended)
    }
}

/// The last wait of an allocation for others, in vain and as long as one may.
#[derive(Debug)]
pub struct Waited(AtomicU64);

impl Default for Waited {
    fn default() -> Self {
        Self::new()
    }
}

impl Waited {
    const_unless_loom! {
        /// None yet.
        pub fn new() -> Self {
            Self(AtomicU64::new(0))
        }
    }

    /// Notes a wait at this progress of the others.
    pub fn note(&self, progress: u64) {
        // Relaxed: only equality with a later value matters.
        self.0.store(progress, Ordering::Relaxed);
    }

    /// Was there one at the same progress?
    pub fn has(&self, progress: u64) -> bool {
        // Relaxed: as above.
        self.0.load(Ordering::Relaxed) == progress
    }
}

/// A number that changes when something is published, or when more or fewer threads withhold memory. Pairs that differ
/// by chance have different ones.
pub const fn progress(version: u64, threads: u32) -> u64 {
    (threads as u64).rotate_left(u32::BITS) ^ version.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

#[cfg(all(test, not(modelled)))]
mod tests {
    use super::*;

    #[test]
    fn who_withholds_memory_is_counted_and_waited_for_once() {
        let (withheld, waited) = (Withheld::new(), Waited::new());
        assert_eq!(withheld.count(), 0);
        let within = withheld.during(|| {
            assert!(!waited.has(progress(7, withheld.count())));
            waited.note(progress(7, withheld.count()));
            withheld.count()
        });
        assert_eq!((within, withheld.count()), (1, 0));
        assert!(waited.has(progress(7, 1)));
        assert!(!waited.has(progress(8, 1)) && !waited.has(progress(7, 0)) && !waited.has(progress(1, 7)));
    }
}
