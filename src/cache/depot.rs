//! A depot: where other threads leave a cache's blocks, a whole magazine at a time (Bonwick and Adams, Magazines and
//! Vmem, 2001).
//!
//! Each order has a few places for magazines, and one word that says what is in each of them. To put a magazine or to
//! take one, a thread makes its place busy by one compare-exchange, copies the entries, and says what is there then.
//! Nobody waits for a busy place: a thread that finds no other goes on without the depot.
//!
//! | byte i of the word | place i |
//! |---|---|
//! | 0 | is empty |
//! | 1 to 128 | has a magazine of that many blocks |
//! | 254 | is being drained: one thread gives its blocks back to the heaps |
//! | 255 | is busy: one thread copies |

use super::entry::Entry;
use super::layout::{MAGAZINE, MAGAZINE_ENTRIES, PLACES};
use crate::check::check;
use crate::raw::Order;
use crate::sync::{AtomicU32, AtomicU64, Ordering};

const BITS: u32 = u8::BITS;
const BUSY: u64 = u8::MAX as u64;
const DRAINED: u64 = BUSY - 1;
const EMPTY: u64 = 0;
const _: () = assert!(PLACES <= (u64::BITS / BITS) as usize && (MAGAZINE as u64) < DRAINED);

/// The depot of one cache.
#[derive(Debug)]
pub struct Depot {
    /// One for each order.
    words: [AtomicU64; Order::COUNT],
    /// Where the entries of each order begin in a place, and where the last ones end. Never changed once others see
    /// the depot.
    begins: [u16; Order::COUNT + 1],
    /// In each place a magazine of each order.
    entries: [[AtomicU32; MAGAZINE_ENTRIES]; PLACES],
}

/// The magazines of one order.
#[derive(Clone, Copy, Debug)]
struct Shelf<'a> {
    word: &'a AtomicU64,
    depot: &'a Depot,
    order: Order,
}

impl Default for Depot {
    fn default() -> Self {
        let entries = |_| core::array::from_fn(|_| AtomicU32::new(0));
        let words = core::array::from_fn(|_| AtomicU64::new(0));
        Self { words, begins: [0; Order::COUNT + 1], entries: core::array::from_fn(entries) }
    }
}

fn content(word: u64, place: usize) -> u64 {
    word >> (place as u32 * BITS) & u64::from(u8::MAX)
}

fn in_place(content: u64, place: usize) -> u64 {
    content << (place as u32 * BITS)
}

impl<'a> Shelf<'a> {
    /// Makes a place `busy`, [`BUSY`] or [`DRAINED`], if `wanted` wants what it has. Returns the place and what it had.
    /// Lock-free.
    fn occupy(self, busy: u64, wanted: impl Fn(u64) -> bool) -> Option<(usize, u64)> {
        // Relaxed: only a guess, which the exchange checks.
        let mut seen = self.word.load(Ordering::Relaxed);
        loop {
            let place = (0..PLACES).find(|place| wanted(content(seen, *place)))?;
            let has = content(seen, place);
            // Acquire: pairs with the Release in `vacate`. It makes the entries visible to a thread that takes them; a
            // thread that puts others there sees that the last ones were read. Relaxed on failure: as above.
            match self.word.compare_exchange_weak(
                seen,
                seen ^ in_place(has ^ busy, place),
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Some((place, has)),
                Err(now) => seen = now,
            }
        }
    }

    /// Says what a place has now that the caller made `busy`.
    fn vacate(self, place: usize, busy: u64, has: u64) {
        // Release: pairs with the Acquire in `occupy`, and with those in `drain`.
        self.word.fetch_xor(in_place(busy ^ has, place), Ordering::Release);
    }

    /// The entries of a place.
    fn magazine(self, place: usize) -> &'a [AtomicU32] {
        let [begin, end] = [0, 1].map(|next| usize::from(self.depot.begins[self.order.slot() + next]));
        &self.depot.entries[place][begin..end]
    }

    /// Takes a magazine, and lets `give` do something with its blocks while its place is `busy`. Returns how many
    /// blocks there were, 0 for no magazine.
    fn take(self, busy: u64, out: &mut [Entry; MAGAZINE], give: impl FnOnce(&[Entry])) -> usize {
        let Some((place, has)) = self.occupy(busy, |has| has != EMPTY && has < DRAINED) else { return 0 };
        let len = has as usize;
        for (to, from) in out[..len].iter_mut().zip(self.magazine(place)) {
            // Relaxed: made visible by the Acquire in `occupy`.
            *to = Entry(from.load(Ordering::Relaxed));
        }
        give(&out[..len]);
        self.vacate(place, busy, EMPTY);
        len
    }
}

impl Depot {
    /// Shares the entries out to the orders, before others see the depot.
    pub(super) fn share_out(&mut self, entries: impl Iterator<Item = (Order, usize)>) {
        for (order, entries) in entries {
            self.begins[order.slot() + 1] = self.begins[order.slot()] + entries as u16;
        }
    }

    /// Most blocks of `order` that a magazine can have here.
    pub(super) fn room(&self, order: Order) -> usize {
        usize::from(self.begins[order.slot() + 1] - self.begins[order.slot()])
    }

    fn shelf(&self, order: Order) -> Shelf<'_> {
        Shelf { word: &self.words[order.slot()], depot: self, order }
    }

    /// Puts blocks of `order` into a magazine with room for all of them. A magazine has at most `magazine` blocks.
    /// False: none has room.
    #[must_use = "the blocks are the caller's still if there was no place"]
    pub fn put(&self, order: Order, blocks: &[Entry], magazine: usize) -> bool {
        let shelf = self.shelf(order);
        check!((1..=magazine).contains(&blocks.len()) && magazine <= self.room(order));
        let room = (magazine - blocks.len()) as u64;
        // A busy place seems to have more blocks than there can be room for.
        let Some((place, has)) = shelf.occupy(BUSY, |has| has <= room) else { return false };
        for (to, block) in shelf.magazine(place)[has as usize..].iter().zip(blocks) {
            // Relaxed: published by the Release in `vacate`.
            to.store(block.0, Ordering::Relaxed);
        }
        shelf.vacate(place, BUSY, has + blocks.len() as u64);
        true
    }

    /// Takes a magazine of blocks of `order`. Returns how many blocks it had, 0 for no magazine.
    pub fn take(&self, order: Order, out: &mut [Entry; MAGAZINE]) -> usize {
        self.shelf(order).take(BUSY, out, |_| {})
    }

    /// Takes all magazines, and lets `give` give them back to the heaps.
    ///
    /// Returns a bit for each order of which other threads are doing the same with magazines that they took before.
    /// `None`: no thread is, and the heaps have all that others took.
    pub fn drain(&self, mut give: impl FnMut(Order, &[Entry])) -> Option<u64> {
        let mut blocks = [Entry::NONE; MAGAZINE];
        let mut under_way = 0;
        for order in Order::ZERO.through(Order::MAX) {
            let shelf = self.shelf(order);
            // Acquire: pairs with the Release in `vacate`; makes the blocks visible in the heaps, as others gave them
            // back.
            if shelf.word.load(Ordering::Acquire) != 0 {
                while shelf.take(DRAINED, &mut blocks, |blocks| give(order, blocks)) > 0 {}
                // Acquire: as above.
                let seen = shelf.word.load(Ordering::Acquire);
                let is_drained = (0..PLACES).any(|place| content(seen, place) == DRAINED);
                under_way |= u64::from(is_drained) << order.get();
            }
        }
        (under_way != 0).then_some(under_way)
    }
}
