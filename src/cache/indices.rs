//! Numbers of threads: dense, given again when a thread is gone.
//!
//! Whoever has a number owns every cache of that number, in all pools: a running thread, the next thread that is given
//! the number, or for a moment a thread that drains what a gone one left. So a cache is adopted without a word to it.

use crate::sync::{AtomicU64, Ordering, const_unless_loom};

/// Threads that can have a number at a time; more of them work without caches.
#[cfg(not(all(loom, feature = "loom")))]
const WORDS: usize = 64;
/// Under loom one word: each is a tracked object.
#[cfg(all(loom, feature = "loom"))]
const WORDS: usize = 1;

/// The number of a thread, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadIndex(u32);

impl ThreadIndex {
    /// How many there are.
    pub const COUNT: usize = WORDS * u64::BITS as usize;

    /// The number as an index into a table with an entry for each thread.
    #[inline]
    pub const fn slot(self) -> usize {
        self.0 as usize
    }

    /// The thread of number `slot`, if there can be one.
    #[inline]
    pub const fn new(slot: usize) -> Option<Self> {
        if slot < Self::COUNT { Some(Self(slot as u32)) } else { None }
    }

    const fn word(self) -> usize {
        self.slot() / u64::BITS as usize
    }

    const fn bit(self) -> u64 {
        1 << (self.0 % u64::BITS)
    }
}

/// Which numbers are taken: one bit each.
#[derive(Debug)]
pub struct Indices([AtomicU64; WORDS]);

impl Indices {
    const_unless_loom! {
        /// None is taken.
        pub fn new() -> Self {
            #[cfg(not(all(loom, feature = "loom")))]
            return Self([const { AtomicU64::new(0) }; WORDS]);
            #[cfg(all(loom, feature = "loom"))]
            return Self(core::array::from_fn(|_| AtomicU64::new(0)));
        }
    }

    /// Takes the lowest free number. `None`: all are taken. Lock-free.
    pub fn claim(&self) -> Option<ThreadIndex> {
        for (word, taken) in self.0.iter().enumerate() {
            // Relaxed: only a guess, which the exchange checks.
            let mut seen = taken.load(Ordering::Relaxed);
            while seen != u64::MAX {
                let bit = seen.trailing_ones();
                // Acquire: pairs with the Release in `release`; makes the caches visible as the last owner left them.
                // Relaxed on failure: as above.
                match taken.compare_exchange_weak(seen, seen | 1 << bit, Ordering::Acquire, Ordering::Relaxed) {
                    Ok(_) => return ThreadIndex::new(word * u64::BITS as usize + bit as usize),
                    Err(now) => seen = now,
                }
            }
        }
        None
    }

    /// Takes this number, if nobody has it. Wait-free.
    pub fn claim_free(&self, index: ThreadIndex) -> bool {
        // Acquire: as in `claim`.
        self.0[index.word()].fetch_or(index.bit(), Ordering::Acquire) & index.bit() == 0
    }

    /// Is this number taken? A hint.
    pub fn is_taken(&self, index: ThreadIndex) -> bool {
        // Relaxed: a hint; whoever acts on it claims the number first, or does no harm.
        self.0[index.word()].load(Ordering::Relaxed) & index.bit() != 0
    }

    /// Gives a number back, with all caches of that number.
    pub fn release(&self, index: ThreadIndex) {
        // Release: pairs with the Acquire in `claim` and `claim_free`; the next owner sees the caches as they are left.
        self.0[index.word()].fetch_and(!index.bit(), Ordering::Release);
    }
}

impl Default for Indices {
    fn default() -> Self {
        Self::new()
    }
}
