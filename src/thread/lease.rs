//! Which thread uses a cache. A thread that has the index of a cache *may* use it, and does so once it has entered the
//! lease: a thread that never uses a pool must not keep what the one that had its index before left there.
//!
//! | the word | who uses the cache |
//! |---|---|
//! | 0 | nobody, and it is empty |
//! | the greatest | a thread that drains what an ended one left |
//! | else | the thread that has, or had, the index of the cache in this generation |

use crate::sync::{AtomicU64, Ordering};

use crate::thread::registry::Generation;

const NOBODY: u64 = 0;
const DRAINED: u64 = u64::MAX;

/// The lease of one cache.
#[derive(Debug, Default)]
pub struct Lease(AtomicU64);

impl Lease {
    /// The calling thread, which has the index of the cache in `generation`, uses the cache until it gives the index
    /// back. False: not now, another thread drains the cache. Lock-free.
    pub fn enter(&self, generation: Generation) -> bool {
        // Relaxed: what this thread stored itself, or a guess, which the exchange checks.
        let mut seen = self.0.load(Ordering::Relaxed);
        while seen != generation.get() {
            if seen == DRAINED {
                return false;
            }
            // Acquire: pairs with the Release in `end_drain`; the cache is seen as the drain left it. As an ended
            // thread left it, it is seen by the exchange that took the index. Relaxed on failure: as above.
            match self.0.compare_exchange(seen, generation.get(), Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
        true
    }

    /// The calling thread uses the cache until `end_drain`, if the last user has ended, as `is_over` tells.
    #[must_use = "a drain that has begun must end"]
    pub fn begin_drain(&self, is_over: impl Fn(Generation) -> bool) -> bool {
        let Some(generation) = self.generation() else { return false };
        // Relaxed, both: the cache is seen as the ended thread left it by the Acquire in `is_over`.
        let drained = || self.0.compare_exchange(generation.get(), DRAINED, Ordering::Relaxed, Ordering::Relaxed);
        is_over(generation) && drained().is_ok()
    }

    /// The cache is empty, and the calling thread uses it no longer.
    pub fn end_drain(&self) {
        // Release: pairs with the Acquire in `enter`.
        self.0.store(NOBODY, Ordering::Release);
    }

    /// Has the last user ended, as `is_over` tells? Then the cache may have what it left.
    pub fn is_left(&self, is_over: impl Fn(Generation) -> bool) -> bool {
        self.generation().is_some_and(is_over)
    }

    /// The generation of the thread that uses the cache, or did until it ended. A hint.
    pub fn generation(&self) -> Option<Generation> {
        // Relaxed: a hint; an exchange checks it, or a wrong one does no harm.
        match self.0.load(Ordering::Relaxed) {
            NOBODY | DRAINED => None,
            generation => Some(Generation::new(generation)),
        }
    }
}
