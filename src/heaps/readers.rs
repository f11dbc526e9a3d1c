//! The readers of the set of heaps, and since when they read: nothing that a reader may hold is freed.
//!
//! Hazard eras (Ramalhete and Correia, Brief announcement: hazard eras, 2017; Michael, Hazard pointers, 2004). The
//! *era* counts replacements of the set. A reader enters the era in a *reader word* before it reads the pointer to the
//! set. An item that was in sight only during eras that stand in no word is freed. So a stopped reader keeps what the
//! set had in the one era that it entered, and nothing else, however often the set is replaced meanwhile.
//!
//! A reader word:
//!
//! | bits | meaning |
//! |---|---|
//! | 0 to 11 | how many readers it has; 0: it is free, whatever its era |
//! | 12 to 63 | their era: 2^52 of them last for a century at one each microsecond |
//!
//! Reading takes no memory, knows no thread, and works the same with and without the standard library. A thread with an
//! index begins to look for a word where no other does, and shares a word with readers of the same era. A reader is one
//! *without an era* only where all words have readers of other eras. While there is one, nothing is freed.

use core::fmt;
use core::ops::RangeInclusive;

use crate::sync::{AtomicPtr, AtomicU64, Ordering, SharedU64, const_unless_loom, fence, model_or};

const COUNT_BITS: u32 = 12;
const COUNT: u64 = (1 << COUNT_BITS) - 1;

/// Lines of words. As many threads have one for themselves.
/// Under loom as many as threads of a model.
const LINES: usize = model_or(4, 16);

/// Slots of a cache line.
/// Under loom one: each is a tracked object.
const PER_LINE: usize = model_or(1, 8);

const SLOTS: usize = LINES * PER_LINE;

#[derive(Debug)]
#[repr(align(64))]
struct Line([AtomicU64; PER_LINE]);

/// The readers of a set.
pub struct Readers {
    era: SharedU64,
    lines: [Line; LINES],
    without_era: AtomicU64,
    /// Models of other things don't watch readers.
    #[cfg(modelled)]
    watched: core::cell::Cell<bool>,
}

// SAFETY: `watched` is set before the threads of a model start.
#[cfg(modelled)]
unsafe impl Sync for Readers {}

/// A reader. Nothing that it read when it began is freed before this is dropped.
pub struct Guard<'a> {
    /// The word, or the count of readers without an era.
    word: &'a AtomicU64,
    #[cfg(modelled)]
    watched: bool,
}

/// The eras in which there were readers at one moment.
pub struct Eras {
    eras: [u64; SLOTS],
    count: usize,
}

impl Readers {
    const_unless_loom! {
        pub fn new() -> Self {
            #[cfg(not(modelled))]
            let lines = [const { Line([const { AtomicU64::new(0) }; PER_LINE]) }; LINES];
            #[cfg(modelled)]
            let lines = core::array::from_fn(|_| Line(core::array::from_fn(|_| AtomicU64::new(0))));
            Self {
                era: SharedU64::new(0),
                lines,
                without_era: AtomicU64::new(0),
                #[cfg(modelled)]
                watched: core::cell::Cell::new(false),
            }
        }
    }

    /// Reads a pointer to an item that is retired only after it was replaced there. Lock-free: it begins anew only
    /// where a replacement came in between.
    #[inline]
    pub fn read<T>(&self, current: &AtomicPtr<T>) -> (Guard<'_>, *mut T) {
        #[cfg(modelled)]
        if !self.watched.get() {
            // Acquire: as below. No model needs the Acquire: a model whose heaps come and go is watched.
            return (Guard { word: &self.without_era, watched: false }, current.load(Ordering::Acquire));
        }
        loop {
            // Relaxed: a guess, which is checked below.
            let era = self.era.load(Ordering::Relaxed);
            let (guard, entered) = self.enter(era);
            // SeqCst: pairs with the fence in `advance`: either a thread that retires something after that finds this
            // reader in its word, or the reader finds what has replaced it.
            fence(Ordering::SeqCst);
            // Acquire: pairs with the Release of the replacement; makes the item visible, and the era in which it
            // began.
            let pointer = current.load(Ordering::Acquire);
            // Relaxed: it comes after the Acquire, and so is no earlier era than the one in which the item began.
            if !entered || self.era.load(Ordering::Relaxed) == era {
                return (guard, pointer);
            }
        }
    }

    /// Enters an era in the first word that is free or has it. False: there is none.
    #[cfg_attr(modelled, expect(clippy::modulo_one, reason = "a line has one word there"))]
    #[inline]
    fn enter(&self, era: u64) -> (Guard<'_>, bool) {
        let place = place();
        let (first, shift) = (place % LINES, place / LINES);
        for number in 0..SLOTS {
            let word = &self.lines[(first + number / PER_LINE) % LINES].0[(shift + number) % PER_LINE];
            // Relaxed: a guess, which the exchange checks.
            let seen = word.load(Ordering::Relaxed);
            let count = seen & COUNT;
            if count == 0 || (seen >> COUNT_BITS == era && count < COUNT) {
                let entered = era << COUNT_BITS | (count + 1);
                // Relaxed, both: ordered by the fence in `read`. It continues the release sequence of readers that have
                // left.
                if word.compare_exchange(seen, entered, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                    return (Guard::of(word), true);
                }
            }
        }
        // Relaxed: as above.
        self.without_era.fetch_add(1, Ordering::Relaxed);
        (Guard::of(&self.without_era), false)
    }

    /// The era now. An item that is published after this call begins in this era or a later one.
    pub fn era(&self) -> u64 {
        // Relaxed: a reader of the published item sees no earlier era, by the Acquire of that.
        self.era.load(Ordering::Relaxed)
    }

    /// Something was replaced. Returns the last era in which it was in sight, and begins the next one.
    pub fn advance(&self) -> u64 {
        // SeqCst: pairs with the fence in `read`.
        fence(Ordering::SeqCst);
        // Relaxed: ordered by the fence: no reader of the replaced item has entered a later era than this returns.
        self.era.fetch_add(1, Ordering::Relaxed)
    }

    /// The eras in which there are readers, for a thread that frees retired items, after `advance`. `None`: one reader
    /// is without an era.
    pub fn eras(&self) -> Option<Eras> {
        #[cfg(modelled)]
        if !self.watched.get() {
            return None;
        }
        let mut found = Eras { eras: [0; SLOTS], count: 0 };
        for word in self.lines.iter().flat_map(|line| &line.0) {
            // Acquire: pairs with the Release in `drop`; the items are freed after the readers used them.
            let seen = word.load(Ordering::Acquire);
            if seen & COUNT != 0 {
                found.eras[found.count] = seen >> COUNT_BITS;
                found.count += 1;
            }
        }
        // Acquire: as above. No model needs the second Acquire: no model has a reader without an era that leaves.
        (self.without_era.load(Ordering::Acquire) == 0).then_some(found)
    }

    /// Readers enter words from now on, and what was retired is freed. Before the threads of a model start.
    #[cfg(modelled)]
    pub fn watch(&self) {
        self.watched.set(true);
    }
}

/// The place where the calling thread begins to look for a word.
#[inline]
fn place() -> usize {
    #[cfg(modelled)]
    return crate::sync::thread_of_model();
    #[cfg(not(modelled))]
    crate::thread::index().unwrap_or_else(|| crate::thread::shard().number())
}

impl Eras {
    /// Is there a reader in one of these eras?
    pub fn meet(&self, eras: &RangeInclusive<u64>) -> bool {
        self.eras[..self.count].iter().any(|era| eras.contains(era))
    }
}

impl<'a> Guard<'a> {
    fn of(word: &'a AtomicU64) -> Self {
        Self {
            word,
            #[cfg(modelled)]
            watched: true,
        }
    }
}

impl Drop for Guard<'_> {
    #[inline]
    fn drop(&mut self) {
        #[cfg(modelled)]
        if !self.watched {
            return;
        }
        // Release: pairs with the Acquire in `eras`.
        self.word.fetch_sub(1, Ordering::Release);
    }
}

impl fmt::Debug for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readers").field("era", &self.era).finish_non_exhaustive()
    }
}

impl fmt::Debug for Guard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    extern crate std;

    use super::*;
    use core::ptr;
    use std::vec::Vec;

    /// As many readers of one era as may be, and more: they share words.
    #[test]
    fn readers_of_one_era_share_slots() {
        let (readers, current) = (Readers::new(), AtomicPtr::<u8>::new(ptr::null_mut()));
        let guards: Vec<_> = (0..2 * COUNT + 7).map(|_| readers.read(&current).0).collect();
        let eras = readers.eras().expect("all have an era");
        assert_eq!(eras.count, 3);
        assert!(eras.meet(&(0..=0)) && !eras.meet(&(1..=9)));
        drop(guards);
        assert_eq!(readers.eras().map(|eras| eras.count), Some(0));
    }

    /// Readers that stay, each in an era of its own, until there are no words left.
    #[test]
    fn a_reader_without_an_era_keeps_everything() {
        let (readers, current) = (Readers::new(), AtomicPtr::<u8>::new(ptr::null_mut()));
        let mut guards = Vec::new();
        for era in 0..SLOTS as u64 {
            guards.push(readers.read(&current).0);
            let eras = readers.eras().expect("there was a word");
            assert!(eras.meet(&(era..=era)) && !eras.meet(&(era + 1..=u64::MAX)));
            assert_eq!(readers.advance(), era);
        }
        let one_more = readers.read(&current);
        assert!(readers.eras().is_none(), "it has an era");
        drop(one_more);
        let left = guards.remove(17);
        assert!(readers.eras().is_some_and(|eras| eras.meet(&(17..=17))));
        drop(left);
        assert!(readers.eras().is_some_and(|eras| !eras.meet(&(17..=17)) && eras.count == SLOTS - 1));
        let next = readers.read(&current);
        assert!(readers.eras().is_some_and(|eras| eras.meet(&(SLOTS as u64..=u64::MAX))));
        drop(next);
    }
}
