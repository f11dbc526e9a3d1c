//! Biased releases: the owner of a block releases it by a plain store, until another thread releases a block of that
//! owner and class. `README.md` has the states, the steps, and the proof.

mod fences;
mod patience;

pub use patience::Patience;

use crate::check::at;
use crate::sync::{AtomicU32, AtomicU64, Ordering, const_unless_loom};

/// In an intent: no release is under way. In the word of a class: settled, and none was under way. No block begins at
/// this address: it is null.
const NONE: u64 = 0;
/// In the word of a class: revoked, but maybe not to the owner's knowledge. No block begins at this address, nor at the
/// one before: a unit of memory has 16 bytes or more, and offsets have small addresses.
const REVOKED: u64 = u64::MAX;
/// In the word of a class: the owner releases by plain stores.
const BIASED: u64 = u64::MAX - 1;

/// Does the system make heavy fences for this process?
#[cfg_attr(modelled, allow(dead_code, reason = "models have them"))]
pub fn is_possible() -> bool {
    fences::heavy()
}

/// May anything be biased on this system?
#[cfg(all(feature = "std", not(modelled)))]
pub const MAY_BE: bool = crate::sys::HAS_HEAVY_FENCE;
/// The same: without the standard library there are no caches.
#[cfg(not(all(feature = "std", not(modelled))))]
pub const MAY_BE: bool = cfg!(modelled);

/// How an owner's release ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Released {
    /// By a plain store.
    Plainly,
    /// By a compare-exchange.
    ByExchange,
    /// Not at all: the state was no longer as the owner had read it.
    Not,
}

/// How it ended that an owner wanted a bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restored {
    /// It has it.
    Yes,
    /// Another thread visits the owner.
    Visited,
    /// The system refused the heavy fence.
    Refused,
}

/// The address of the block that the owner is releasing, or [`NONE`]. Only the owner writes it.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct Intent(AtomicU64);

/// For each class [`BIASED`], [`REVOKED`], or settled: the intent as a heavy fence found it after the revocation.
/// Zeroes are without bias.
#[derive(Debug)]
pub struct Words<const CLASSES: usize> {
    words: [AtomicU64; CLASSES],
    /// Heavy fences that were made for them: a statistic.
    fences: AtomicU64,
    /// 1: the system has refused one. Then no class gets a bias any more.
    refused: AtomicU32,
}

impl<const CLASSES: usize> Default for Words<CLASSES> {
    fn default() -> Self {
        Self {
            words: core::array::from_fn(|_| AtomicU64::new(NONE)),
            fences: AtomicU64::new(0),
            refused: AtomicU32::new(0),
        }
    }
}

impl<const CLASSES: usize> Words<CLASSES> {
    /// All classes are biased, before others see the cache. For models.
    #[cfg(modelled)]
    pub fn begin(&self) {
        // Relaxed: published with the cache.
        self.words.iter().for_each(|word| word.store(BIASED, Ordering::Relaxed));
    }

    /// The word of a class, as a visitor sees it.
    #[inline]
    pub fn see(&self, class: usize) -> Word {
        // Acquire: pairs with the Release in `settle_slow`; this thread is behind the heavy fence of the one that
        // settled the class, and sees the releases done that that one saw done.
        Word(at(&self.words, class).load(Ordering::Acquire))
    }

    /// Is the class biased now? A statistic.
    pub fn is_biased(&self, class: usize) -> bool {
        // Relaxed: a statistic.
        at(&self.words, class).load(Ordering::Relaxed) == BIASED
    }

    /// Heavy fences that were made for them.
    pub fn fences(&self) -> u64 {
        // Relaxed: a statistic.
        self.fences.load(Ordering::Relaxed)
    }

    /// Did the system refuse a heavy fence for them?
    pub fn is_refused(&self) -> bool {
        // Relaxed: nothing is published by it. Models know no refusal, and have more schedules with each access.
        cfg!(not(modelled)) && self.refused.load(Ordering::Relaxed) != 0
    }

    /// Makes a heavy fence; false, if it was refused.
    fn heavy(&self) -> bool {
        let made = fences::heavy();
        if cfg!(not(modelled)) {
            // Relaxed, both: a statistic, and as in `is_refused`.
            self.fences.fetch_add(made.into(), Ordering::Relaxed);
            if !made {
                self.refused.store(1, Ordering::Relaxed);
            }
        }
        made
    }
}

/// The word of a class as it was seen.
#[derive(Clone, Copy, Debug)]
pub struct Word(u64);

impl Word {
    /// May a visitor change the block at `address` by an exchange? False: perhaps.
    #[inline]
    pub fn allows(self, address: u64) -> bool {
        self.0 != BIASED && self.0 != REVOKED && self.0 != address
    }
}

/// The bias of a cache, as its owner and all others use it. The two parts lie in different lines: the owner writes the
/// intent all the time, and others read the words.
#[derive(Clone, Copy, Debug)]
pub struct Bias<'a, const CLASSES: usize> {
    /// The intent of the owner.
    pub intent: &'a Intent,
    /// The words of the classes.
    pub words: &'a Words<CLASSES>,
}

impl<const CLASSES: usize> Bias<'_, CLASSES> {
    /// The owner releases its block of `class` at `address`, the state of which it has just read: by `store`, or by
    /// `exchange` from that state, which tells whether it did.
    #[inline]
    pub fn release(
        self,
        class: usize,
        address: u64,
        store: impl FnOnce(),
        exchange: impl FnOnce() -> bool,
    ) -> Released {
        let (Intent(intent), Words { words, .. }) = (self.intent, self.words);
        // Release: pairs with the Acquire in `settle_slow`; a thread that sees this release under way sees the one
        // before it done. No model needs the Release: there an exchange finds each store that was made before it.
        intent.store(address, Ordering::Release);
        // Pairs with the heavy fence in `settle_slow`: that thread sees the intent, or this one sees the class revoked.
        fences::light();
        // Relaxed: ordered by the fence.
        let released = if at(words, class).load(Ordering::Relaxed) == BIASED {
            store();
            Released::Plainly
        } else if exchange() {
            Released::ByExchange
        } else {
            Released::Not
        };
        // Release: pairs with the Acquire in `settle_slow` and in `may_release_slow`; a thread that sees no release
        // under way sees the state that this one left. No model needs the second Release: there an
        // exchange finds each store that was made before it.
        intent.store(NONE, Ordering::Release);
        released
    }

    /// The owner takes the bias of `class`. `is_visited` looks whether another thread visits this owner.
    pub fn restore(self, class: usize, is_visited: impl FnOnce() -> bool) -> Restored {
        let word = at(&self.words.words, class);
        // Relaxed: ordered by the fence.
        word.store(BIASED, Ordering::Relaxed);
        // Pairs with the light fences of visits: this thread sees the visit, or the visitor sees the class biased.
        let restored = match self.words.heavy() {
            false => Restored::Refused,
            true if is_visited() => Restored::Visited,
            true => Restored::Yes,
        };
        if restored != Restored::Yes {
            // Release: pairs with the Acquire in `see`, should there have been no fence: the owner's last plain
            // store is seen. The class is settled at once, for the owner has no release under way. No model needs the
            // Release: the fence was made there. Relaxed on failure: a visitor has revoked the class meanwhile.
            let _ = word.compare_exchange(BIASED, NONE, Ordering::Release, Ordering::Relaxed);
        }
        restored
    }

    /// May a thread that visits the owner change the state of the block of `class` at `address` by a compare-exchange,
    /// as it was when the thread read it? False: the owner is releasing the block, or may be. The answer stands until
    /// the visit ends.
    #[inline]
    pub fn may_release(self, class: usize, address: u64) -> bool {
        let seen = self.words.see(class);
        seen.allows(address) || self.may_release_slow(class, address, seen)
    }

    /// The same, where the word of the class, which the thread saw in its visit, does not allow it.
    #[cold]
    pub fn may_release_slow(self, class: usize, address: u64, seen: Word) -> bool {
        // Acquire: pairs with the Release in `release`; the exchange that follows finds the state that the owner left.
        // No model needs the Acquire: there an exchange finds each store that was made before it.
        self.settle_slow(class, seen) != address || self.intent.0.load(Ordering::Acquire) != address
    }

    /// Revokes the bias of `class`, and makes that known to the owner. Returns the address of the block that the owner
    /// may be releasing by a plain store still, or [`NONE`].
    fn settle_slow(self, class: usize, Word(mut seen): Word) -> u64 {
        let word = at(&self.words.words, class);
        loop {
            let next = match seen {
                // Relaxed: ordered by the heavy fence. Acquire on failure: as in `see`.
                BIASED => word.compare_exchange(BIASED, REVOKED, Ordering::Relaxed, Ordering::Acquire).map(|_| REVOKED),
                REVOKED => {
                    // Pairs with the light fence in `release`.
                    if !self.words.heavy() {
                        fences::wait_instead();
                    }
                    // Acquire: pairs with both Releases in `release`. No model needs the Acquire: as in
                    // `may_release_slow`.
                    let intent = self.intent.0.load(Ordering::Acquire);
                    // Release: pairs with the Acquire in `see`. No model needs the Release: the heavy fence before it
                    // orders as much. Acquire on failure: as there. No model needs the second Acquire on
                    // failure: as in `may_release_slow`.
                    word.compare_exchange(REVOKED, intent, Ordering::Release, Ordering::Acquire).map(|_| intent)
                }
                settled => return settled,
            };
            seen = next.unwrap_or_else(|now| now);
        }
    }
}

/// The visit of a thread that has a cache, in that cache: a hazard that keeps one owner from taking a bias.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct Visit(AtomicU32);

/// Nobody is visited.
const NOBODY: u32 = 0;

impl Visit {
    /// The thread begins to release a block of the cache number `owner`, and ends each other visit.
    #[inline]
    pub fn begin(&self, owner: usize) {
        // Release: pairs with the Acquire in `is_to`, for the visit before.
        self.0.store(owner as u32 + 1, Ordering::Release);
        // Pairs with the heavy fence in `restore`.
        fences::light();
    }

    /// The thread has released it, or not.
    #[inline]
    pub fn end(&self) {
        // Release: pairs with the Acquire in `is_to`.
        self.0.store(NOBODY, Ordering::Release);
    }

    /// Does the thread visit this cache?
    pub fn is_to(&self, owner: usize) -> bool {
        // Acquire: pairs with the Releases above; the owner sees what a visit that has ended did to its blocks.
        self.0.load(Ordering::Acquire) == owner as u32 + 1
    }
}

/// Visits of threads without a cache, to any owner.
#[derive(Debug)]
pub struct Guests(AtomicU32);

impl Default for Guests {
    fn default() -> Self {
        Self::new()
    }
}

impl Guests {
    const_unless_loom! {
        /// There are none.
        pub fn new() -> Self {
            Self(AtomicU32::new(0))
        }
    }

    /// A visit begins.
    pub fn begin(&self) {
        // Relaxed: ordered by the fence.
        self.0.fetch_add(1, Ordering::Relaxed);
        // Pairs with the heavy fence in `restore`.
        fences::light();
    }

    /// A visit ends.
    pub fn end(&self) {
        // Release: pairs with the Acquire in `is_any`.
        self.0.fetch_sub(1, Ordering::Release);
    }

    /// Is there a visit?
    pub fn is_any(&self) -> bool {
        // Acquire: pairs with the Release in `end`, as in `is_to`.
        self.0.load(Ordering::Acquire) != 0
    }
}

#[cfg(all(test, not(modelled)))]
mod tests {
    use super::*;

    /// Offsets begin at 0, so that blocks of a pool of offsets have addresses from 1 on.
    #[test]
    fn no_address_is_a_mark() {
        for address in (1..1000).chain([1 << 40, u64::MAX >> 1]) {
            let settled = Word(address);
            assert!(!settled.allows(address) && settled.allows(address + 1) && Word(NONE).allows(address));
            assert!(!Word(BIASED).allows(address) && !Word(REVOKED).allows(address));
        }
    }
}
