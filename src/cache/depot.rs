//! A depot: where other threads leave a cache's blocks, a whole magazine at a time (Bonwick and Adams, Magazines and
//! Vmem, 2001).
//!
//! Each class has a few places for magazines, and one word that says what is in each of them. To put a magazine or to
//! take one, a thread makes its place busy by one compare-exchange, copies the entries, and says what is there then.
//! Nobody waits for a busy place: a thread that finds no other goes on without the depot.
//!
//! | byte i of the word | place i |
//! |---|---|
//! | 0 | is empty |
//! | 1 to 128 | has a magazine of that many blocks |
//! | 255 | is busy: one thread copies |

use super::entry::Entry;
use super::layout::{MAGAZINE, MAGAZINE_ENTRIES, PLACES};
use crate::check::check;
use crate::raw::withheld::Withheld;
use crate::raw::{Class, Sizes};
use crate::sync::{AtomicU32, AtomicU64, Ordering};

const BITS: u32 = u8::BITS;
const BUSY: u64 = u8::MAX as u64;
const EMPTY: u64 = 0;
const _: () = assert!(PLACES <= (u64::BITS / BITS) as usize && (MAGAZINE as u64) < BUSY);

/// The depot of one cache.
#[derive(Debug)]
pub struct Depot {
    /// One for each class.
    words: [AtomicU64; Class::COUNT],
    /// Where the entries of each class begin in a place, and where the last ones end. Never changed once others see
    /// the depot.
    begins: [u16; Class::COUNT + 1],
    /// In each place a magazine of each class.
    entries: [[AtomicU32; MAGAZINE_ENTRIES]; PLACES],
}

/// The magazines of one class.
#[derive(Clone, Copy, Debug)]
struct Shelf<'a> {
    word: &'a AtomicU64,
    depot: &'a Depot,
    class: Class,
}

impl Default for Depot {
    fn default() -> Self {
        let entries = |_| core::array::from_fn(|_| AtomicU32::new(0));
        let words = core::array::from_fn(|_| AtomicU64::new(0));
        Self { words, begins: [0; Class::COUNT + 1], entries: core::array::from_fn(entries) }
    }
}

fn content(word: u64, place: usize) -> u64 {
    word >> (place as u32 * BITS) & u64::from(u8::MAX)
}

fn in_place(content: u64, place: usize) -> u64 {
    content << (place as u32 * BITS)
}

impl<'a> Shelf<'a> {
    /// Makes a place busy, if `wanted` wants what it has. Returns the place and what it had. Lock-free.
    fn occupy(self, wanted: impl Fn(u64) -> bool) -> Option<(usize, u64)> {
        // Relaxed: only a guess, which the exchange checks.
        let mut seen = self.word.load(Ordering::Relaxed);
        loop {
            let place = (0..PLACES).find(|place| wanted(content(seen, *place)))?;
            let has = content(seen, place);
            // Acquire: pairs with the Release in `vacate`. It makes the entries visible to a thread that takes them; a
            // thread that puts others there sees that the last ones were read. Relaxed on failure: as above.
            match self.word.compare_exchange_weak(
                seen,
                seen ^ in_place(has ^ BUSY, place),
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Some((place, has)),
                Err(now) => seen = now,
            }
        }
    }

    /// Says what a place has now that the caller made busy.
    fn vacate(self, place: usize, has: u64) {
        // Release: pairs with the Acquire in `occupy`.
        self.word.fetch_xor(in_place(BUSY ^ has, place), Ordering::Release);
    }

    /// The entries of a place.
    fn magazine(self, place: usize) -> &'a [AtomicU32] {
        let [begin, end] = [0, 1].map(|next| usize::from(self.depot.begins[self.class.place() + next]));
        &self.depot.entries[place][begin..end]
    }
}

impl Depot {
    /// Shares the entries out to the classes, before others see the depot.
    pub(super) fn share_out(&mut self, entries: impl Iterator<Item = (Class, usize)>) {
        entries.for_each(|(class, entries)| self.begins[class.place() + 1] = entries as u16);
        for class in 0..Class::COUNT {
            self.begins[class + 1] += self.begins[class];
        }
    }

    /// Most blocks of `class` that a magazine can have here.
    pub(super) fn room(&self, class: Class) -> usize {
        usize::from(self.begins[class.place() + 1] - self.begins[class.place()])
    }

    fn shelf(&self, class: Class) -> Shelf<'_> {
        Shelf { word: &self.words[class.place()], depot: self, class }
    }

    /// Puts blocks of `class` into a magazine with room for all of them. A magazine has at most `magazine` blocks.
    /// False: none has room.
    #[must_use = "the blocks are the caller's still if there was no place"]
    pub fn put(&self, class: Class, blocks: &[Entry], magazine: usize) -> bool {
        let shelf = self.shelf(class);
        check!((1..=magazine).contains(&blocks.len()) && magazine <= self.room(class));
        let room = (magazine - blocks.len()) as u64;
        // A busy place seems to have more blocks than there can be room for.
        let Some((place, has)) = shelf.occupy(|has| has <= room) else { return false };
        for (to, block) in shelf.magazine(place)[has as usize..].iter().zip(blocks) {
            // Relaxed: published by the Release in `vacate`.
            to.store(block.0, Ordering::Relaxed);
        }
        shelf.vacate(place, has + blocks.len() as u64);
        true
    }

    /// Takes a magazine of blocks of `class`. Returns how many blocks it had, 0 for no magazine.
    pub fn take(&self, class: Class, out: &mut [Entry; MAGAZINE]) -> usize {
        let shelf = self.shelf(class);
        let Some((place, has)) = shelf.occupy(|has| has != EMPTY && has != BUSY) else { return 0 };
        let len = has as usize;
        for (to, from) in out[..len].iter_mut().zip(shelf.magazine(place)) {
            // Relaxed: made visible by the Acquire in `occupy`.
            *to = Entry(from.load(Ordering::Relaxed));
        }
        shelf.vacate(place, EMPTY);
        len
    }

    /// Takes all magazines of blocks of these sizes, and lets `give` give them back to the heaps. Where it finds none,
    /// the blocks that others took to do the same are in the heaps, or `withheld` counts these threads.
    pub fn drain(&self, sizes: Sizes, withheld: &Withheld, mut give: impl FnMut(Class, &[Entry])) {
        let mut blocks = [Entry::NONE; MAGAZINE];
        for class in sizes.classes() {
            // Relaxed: a guess; the fence of `withheld` orders it before the counts that the caller reads.
            if self.words[class.place()].load(Ordering::Relaxed) != 0 {
                withheld.during(|| {
                    while let len @ 1.. = self.take(class, &mut blocks) {
                        give(class, &blocks[..len]);
                    }
                });
            }
        }
    }
}
