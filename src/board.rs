//! The board of a pool: what its heaps tell together, so that nobody need ask each of them.
//!
//! - **News.** Was anything published since a thread looked? A thread that looks *arms* the word. The first publication
//!   after that counts and disarms it. As long as nobody looks, a publication costs one load of a line that hardly ever
//!   changes.
//! - **Ceilings.** In which heaps may blocks be? Each heap has an *entry*, with its *ceiling*: a number above the
//!   orders that its stacks may have something of. Above the ceilings of heaps stands a tree of their maxima: the first
//!   heap with a block of some order is found in O(log heaps). Ceilings are hints: too high a one costs a look into the
//!   heap, which lowers it. Too low a one costs a search.
//!
//! A thread that lowers a ceiling looks into the heap once more afterwards. A thread that publishes looks at the
//! ceiling afterwards. With a fence on each side, one of the two sees what the other did.

use core::fmt;
use core::ptr::{self, NonNull};

use crate::check::at;
#[cfg(not(modelled))]
use crate::metadata::room;
use crate::metadata::{Owned, Source, Table, Unavailable};
use crate::sync::{AtomicPtr, Ordering, SharedU8, SharedU64, const_unless_loom, fence, fence_after_exchange, model_or};

/// The bit of the news that says whether a thread wants to know. The others count.
const ARMED: u64 = 1;
const ONE: u64 = 2;

/// Above all orders.
const ALL: u8 = u8::MAX;

/// Ceilings below one of the next level.
/// Under loom few: each is a tracked object.
const FAN: usize = model_or(2, 64);

/// Levels of the tree, enough for all heaps that fit into memory.
const DEPTH: usize = 8;

/// The board of a pool.
pub(crate) struct Board {
    news: SharedU64,
    /// Null as long as there is only one entry.
    levels: AtomicPtr<Levels>,
}

/// A tree of maxima. One that became too small stays until the board goes, for threads that are looking at it.
struct Levels {
    smaller: *mut Levels,
    ceilings: Table<SharedU8>,
    /// Where each level begins, that of the heaps first, and where the last one ends.
    begins: [usize; DEPTH + 1],
    depth: usize,
}

impl Board {
    const_unless_loom! {
        pub(crate) fn new() -> Self {
            Self { news: SharedU64::new(0), levels: AtomicPtr::new(ptr::null_mut()) }
        }
    }

    /// The news now. While it stays the same, nothing is published. It counts failures that a publication followed, and
    /// so does not come again.
    pub(crate) fn news(&self) -> u64 {
        // Relaxed: ordered by the fence below.
        let mut seen = self.news.load(Ordering::Relaxed);
        while seen & ARMED == 0 {
            // Relaxed, both: as above.
            match self.news.compare_exchange(seen, seen | ARMED, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => seen |= ARMED,
                Err(now) => seen = now,
            }
        }
        // SeqCst: pairs with the fence in `published`: either the caller sees what was published, or the publishing
        // thread sees that the news is armed.
        fence(Ordering::SeqCst);
        seen
    }

    /// The caller has published something in the heap of this entry, by a read-modify-write. A block of this order may
    /// be in a stack of it now.
    #[inline]
    pub(crate) fn published(&self, entry: usize, order: u32) {
        // SeqCst: pairs with the fences in `news` and `lower`.
        fence_after_exchange();
        // Relaxed: ordered by the fence.
        let seen = self.news.load(Ordering::Relaxed);
        if seen & ARMED != 0 {
            // Relaxed, both: ordered by the fences. If it fails, another thread has told it, and one that armed it
            // since sees what was published.
            let _ = self.news.compare_exchange(seen, (seen & !ARMED) + ONE, Ordering::Relaxed, Ordering::Relaxed);
        }
        if let Some(levels) = self.levels()
            && levels.ceiling(0, entry).load(Ordering::Relaxed) <= order as u8
        {
            levels.raise(entry, order as u8 + 1);
        }
    }

    /// The first entry from `from` on where a block of this order or a larger one may be.
    #[inline]
    pub(crate) fn first(&self, order: u32, from: usize) -> Option<usize> {
        match self.levels() {
            Some(levels) => levels.first(order as u8, from),
            None => (from == 0).then_some(0),
        }
    }

    /// The heap of this entry had no block of this order or a larger one. True: the caller is to look once more, and to
    /// call [`raise`](Self::raise) if there is one.
    pub(crate) fn lower(&self, entry: usize, order: u32) -> bool {
        let Some(ceiling) = self.levels().map(|levels| levels.ceiling(0, entry)) else { return false };
        // Relaxed, all: ordered by the fence.
        let seen = ceiling.load(Ordering::Relaxed);
        if seen > order as u8 {
            let _ = ceiling.compare_exchange(seen, order as u8, Ordering::Relaxed, Ordering::Relaxed);
        }
        // SeqCst: pairs with the fence in `published`: either the caller finds there what was published, or the
        // publishing thread raises the number again. No model needs the SeqCst: a number that is too low costs a
        // search, which asks none.
        fence(Ordering::SeqCst);
        true
    }

    /// There may be anything in the heap of this entry.
    pub(crate) fn raise(&self, entry: usize) {
        if let Some(levels) = self.levels() {
            levels.raise(entry, ALL);
        }
    }

    /// Is there room for this many entries?
    pub(crate) fn has_room(&self, entries: usize) -> bool {
        entries <= self.levels().map_or(1, |levels| levels.begins[1])
    }

    /// Makes room for this many entries, if there is none. False: another thread has made some, of which it is to be
    /// seen whether it is enough, and nothing of `source` is used.
    pub(crate) fn make_room(&self, entries: usize, source: &mut Source) -> Result<bool, Unavailable> {
        let current = self.levels();
        let new = Levels::over(current, entries, source)?;
        let new = source.owned(new)?.into_raw();
        let old = current.map_or(ptr::null_mut(), |levels| ptr::from_ref(levels).cast_mut());
        // Release: pairs with the Acquire in `levels`. No model needs the Release: `over` ends with a fence of `raise`.
        // Relaxed on failure: the caller looks again.
        let stored = self.levels.compare_exchange(old, new.as_ptr(), Ordering::Release, Ordering::Relaxed);
        if stored.is_err() {
            // SAFETY: it was not stored, so it is still this thread's.
            drop(unsafe { Owned::from_raw(new) });
        }
        Ok(stored.is_ok())
    }

    /// Most bytes that the board itself takes.
    #[cfg(not(modelled))]
    pub(crate) const ROOM: usize = Owned::<Self>::ROOM;

    /// Most bytes that room for this many entries takes.
    #[cfg(not(modelled))]
    pub(crate) const fn room(entries: usize) -> usize {
        let (begins, depth) = Levels::begins(entries);
        Owned::<Levels>::ROOM + room::<SharedU8>(begins[depth])
    }

    #[inline]
    fn levels(&self) -> Option<&Levels> {
        // Acquire: pairs with the Release in `make_room`.
        // SAFETY: null, or levels that live as long as the board.
        unsafe { self.levels.load(Ordering::Acquire).as_ref() }
    }
}

impl Levels {
    /// Where each level of a tree for at least this many entries begins, and how many levels there are. A tree that
    /// comes to be too small is followed by one for twice as many entries.
    const fn begins(entries: usize) -> ([usize; DEPTH + 1], usize) {
        let (mut begins, mut depth, mut len) = ([0; DEPTH + 1], 0, (2 * entries).next_multiple_of(FAN));
        while depth == 0 || len > 1 && depth < DEPTH {
            begins[depth + 1] = begins[depth] + len;
            len = len.div_ceil(FAN);
            depth += 1;
        }
        (begins, depth)
    }

    /// A tree for at least this many entries. In the entries of a smaller one there may be anything.
    fn over(smaller: Option<&Self>, entries: usize, source: &mut Source) -> Result<Self, Unavailable> {
        let (begins, depth) = Self::begins(entries);
        let ceilings = source.table(begins[depth])?;
        let new = Self { smaller: ptr::null_mut(), ceilings, begins, depth };
        // One entry where there was no tree.
        (0..smaller.map_or(1, |smaller| smaller.begins[1])).for_each(|entry| new.raise(entry, ALL));
        Ok(Self { smaller: smaller.map_or(ptr::null_mut(), |smaller| ptr::from_ref(smaller).cast_mut()), ..new })
    }

    #[inline]
    fn ceiling(&self, level: usize, index: usize) -> &SharedU8 {
        &self.ceilings[at(&self.begins, level) + index]
    }

    fn len(&self, level: usize) -> usize {
        self.begins[level + 1] - self.begins[level]
    }

    /// Raises the numbers on the way to a entry, that of the heap last: a thread that finds that one as large can rely
    /// on the others, unless they were lowered just then.
    #[cold]
    fn raise(&self, entry: usize, largest: u8) {
        let on_the_way = |level: usize| self.ceiling(level, entry.wrapping_shr(FAN.ilog2() * level as u32));
        (0..self.depth).rev().for_each(|level| raise(on_the_way(level), largest));
        // SeqCst: pairs with the fence in `settle`: either this thread sees that a maximum was lowered, or the thread
        // that lowered it sees what is below it.
        fence(Ordering::SeqCst);
        (1..self.depth).for_each(|level| raise(on_the_way(level), largest));
    }

    /// The first entry from `from` on with a number above this order.
    fn first(&self, order: u8, from: usize) -> Option<usize> {
        let (mut level, mut at, mut descended) = (0, from, false);
        loop {
            let end = ((at / FAN + 1) * FAN).min(self.len(level));
            // Relaxed: hints.
            match (at..end).find(|index| self.ceiling(level, *index).load(Ordering::Relaxed) > order) {
                Some(entry) if level == 0 => return Some(entry),
                Some(index) => {
                    (level, at, descended) = (level - 1, index * FAN, true);
                }
                None => {
                    if level + 1 == self.depth {
                        return None;
                    }
                    if descended {
                        self.settle(level + 1, at / FAN);
                    }
                    (level, at, descended) = (level + 1, at / FAN + 1, false);
                }
            }
        }
    }

    /// Lowers an ceiling above the heaps that is larger than all below it.
    #[cold]
    fn settle(&self, level: usize, index: usize) {
        let below = || {
            let end = ((index + 1) * FAN).min(self.len(level - 1));
            // Relaxed: ordered by the fence, or a guess.
            (index * FAN..end).map(|index| self.ceiling(level - 1, index).load(Ordering::Relaxed)).max().unwrap_or(0)
        };
        let ceiling = self.ceiling(level, index);
        // Relaxed, all: as in `raise`.
        let (seen, most) = (ceiling.load(Ordering::Relaxed), below());
        if most < seen && ceiling.compare_exchange(seen, most, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            // SeqCst: pairs with the fence in `raise`.
            fence(Ordering::SeqCst);
            let again = below();
            if again > most {
                self.raise(index * FAN.pow(level as u32), again);
            }
        }
    }
}

fn raise(ceiling: &SharedU8, largest: u8) {
    // Relaxed, both: ordered by the fences of the callers.
    if ceiling.load(Ordering::Relaxed) < largest {
        ceiling.fetch_max(largest, Ordering::Relaxed);
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        // Relaxed: `&mut self`, nobody else is there.
        let mut next = self.levels.load(Ordering::Relaxed);
        while let Some(levels) = NonNull::new(next) {
            // SAFETY: it came from `Owned::into_raw`, and is in the list once.
            let levels = unsafe { Owned::from_raw(levels) };
            next = levels.smaller;
        }
    }
}

// SAFETY: the pointers are to atomics, and to a tree that the board owns.
unsafe impl Send for Board {}
// SAFETY: as above.
unsafe impl Sync for Board {}
impl fmt::Debug for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Board").field("news", &self.news).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn make_room(board: &Board, entries: usize) {
        assert!(!board.has_room(entries));
        assert!(board.make_room(entries, &mut Source::Global).expect("a few bytes"));
        assert!(board.has_room(entries));
    }

    /// Numbers that change at random; all of them are looked at to compare.
    #[test]
    fn the_first_heap_is_found_among_many() {
        for entries in [2, 63, 64, 65, 300, 5000] {
            let board = Board::new();
            make_room(&board, entries);
            let mut largest = std::vec![0_u8; entries];
            largest[0] = ALL;
            let mut random = 88_172_645_463_325_252_u64;
            for _ in 0..20_000 {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let (entry, order) = ((random >> 33) as usize % entries, (random >> 20) as u32 % 20);
                if random >> 63 == 0 {
                    board.published(entry, order);
                    largest[entry] = largest[entry].max(order as u8 + 1);
                } else {
                    assert!(board.lower(entry, order));
                    largest[entry] = largest[entry].min(order as u8);
                }
                let from = (random >> 40) as usize % entries;
                let expected = (from..entries).find(|entry| largest[*entry] > order as u8);
                assert_eq!(board.first(order, from), expected, "{entries} entries, order {order} from {from}");
            }
            make_room(&board, 200 * entries);
            assert_eq!(board.first(19, 0), Some(0), "there may be anything");
            assert_eq!(board.first(19, entries - 1), Some(entries - 1));
        }
    }

    #[test]
    fn news_is_told_once() {
        let board = Board::new();
        board.published(0, 3);
        let before = board.news();
        assert_eq!(board.news(), before);
        board.published(0, 3);
        let after = board.news();
        assert_ne!(after, before);
        assert_eq!(board.news(), after);
    }
}
