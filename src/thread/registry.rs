//! Indices of threads: dense, and given again when a thread has ended.
//!
//! A thread that has an index may use every cache of that index, in all pools and allocators. It has the index for a
//! *generation*. Index and generation together name one thread among all that there ever were, so that a cache can tell
//! whether the thread of its lease has ended.

use crate::check::at;
use crate::sync::{AtomicU64, Ordering, const_unless_loom, model_or};

/// Threads that can have an index at a time. Others work without caches.
/// Under loom few: the generation of each is a tracked object.
const COUNT: usize = model_or(4, 4096);

const WORDS: usize = COUNT.div_ceil(u64::BITS as usize);

/// The index of a thread, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadIndex(u32);

impl ThreadIndex {
    /// How many there are.
    pub const COUNT: usize = COUNT;

    /// It as an index into a table with an entry for each thread.
    #[inline]
    pub const fn place(self) -> usize {
        self.0 as usize
    }

    /// The thread of index `index`, if there can be one.
    #[inline]
    pub const fn new(index: usize) -> Option<Self> {
        if index < Self::COUNT { Some(Self(index as u32)) } else { None }
    }

    const fn word(self) -> usize {
        self.place() / u64::BITS as usize
    }

    const fn bit(self) -> u64 {
        1 << (self.0 % u64::BITS)
    }
}

/// Which thread it is of those that have had one index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation(u64);

impl Generation {
    /// The generation of which [`get`](Self::get) returned this.
    pub const fn new(generation: u64) -> Self {
        Self(generation)
    }

    /// Its number. It is never 0, and never the greatest: to start 2^64 threads takes centuries.
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// Which indices are taken.
#[derive(Debug)]
pub struct ThreadRegistry {
    /// One bit each.
    taken: [AtomicU64; WORDS],
    /// How many generations of each index are over.
    over: [AtomicU64; COUNT],
}

impl ThreadRegistry {
    const_unless_loom! {
        /// None is taken.
        pub fn new() -> Self {
            #[cfg(not(modelled))]
            return Self {
                taken: [const { AtomicU64::new(0) }; WORDS],
                over: [const { AtomicU64::new(0) }; COUNT],
            };
            #[cfg(modelled)]
            return Self {
                taken: core::array::from_fn(|_| AtomicU64::new(0)),
                over: core::array::from_fn(|_| AtomicU64::new(0)),
            };
        }
    }

    /// Takes the lowest free index. `None`: all are taken. Lock-free.
    pub fn take(&self) -> Option<ThreadIndex> {
        for (word, taken) in self.taken.iter().enumerate() {
            // Relaxed: only a guess, which the exchange checks.
            let mut seen = taken.load(Ordering::Relaxed);
            while seen != u64::MAX {
                let bit = seen.trailing_ones();
                let index = ThreadIndex::new(word * u64::BITS as usize + bit as usize)?;
                // Acquire: pairs with the Release in `release`; makes the caches visible as the last owner left them.
                // Relaxed on failure: as above.
                match taken.compare_exchange_weak(seen, seen | 1 << bit, Ordering::Acquire, Ordering::Relaxed) {
                    Ok(_) => return Some(index),
                    Err(now) => seen = now,
                }
            }
        }
        None
    }

    /// The generation of the thread that has this index, or will have it next. For other threads a hint.
    pub fn generation(&self, index: ThreadIndex) -> Generation {
        // Relaxed: only the thread that has the index changes it, and the next one sees it by the Acquire in `take`.
        Generation(at(&self.over, index.place()).load(Ordering::Relaxed) + 1)
    }

    /// Has the thread ended that had this index in this generation?
    pub fn is_over(&self, index: ThreadIndex, generation: Generation) -> bool {
        // Acquire: pairs with the Release in `release`; makes the caches of the thread visible as it left them.
        at(&self.over, index.place()).load(Ordering::Acquire) >= generation.0
    }

    /// Gives the caller's index back, with all caches of that index.
    pub fn release(&self, index: ThreadIndex) {
        // Release: pairs with the Acquire in `is_over`.
        at(&self.over, index.place()).store(self.generation(index).0, Ordering::Release);
        // Release: pairs with the Acquire in `take`; the next owner sees the caches, and the generation, as they are
        // left.
        at(&self.taken, index.word()).fetch_and(!index.bit(), Ordering::Release);
    }
}

impl Default for ThreadRegistry {
    fn default() -> Self {
        Self::new()
    }
}
