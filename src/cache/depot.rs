//! A depot: where other threads leave a cache's blocks, a whole magazine at a time (Bonwick and Adams, Magazines and
//! Vmem, 2001).
//!
//! For each order there are a few places for magazines, and one word that says what is in each of them. To put a magazine
//! or to take one is to make its place busy by one compare-exchange, to copy the entries, and to say what is there then.
//! Nobody waits for a busy place: who finds no other goes on without the depot.
//!
//! | byte i of the word | place i |
//! |---|---|
//! | 0 | is empty |
//! | 1 to 128 | has a magazine of so many blocks |
//! | 254 | is being drained: one thread gives what was there back to the heaps |
//! | 255 | is busy: one thread copies |

use super::bin::Entry;
use crate::check::check;
use crate::raw::Order;
use crate::sync::{AtomicU32, AtomicU64, Ordering, model_or};

/// Most blocks of a magazine: 512 bytes of entries.
/// Under loom few: each entry is a tracked object.
pub const MAGAZINE: usize = model_or(2, 128);

/// Magazines of one order.
/// Under loom two: the second one shows what is done when the first is busy.
const PLACES: usize = model_or(2, 8);

const BITS: u32 = u8::BITS;
const BUSY: u64 = u8::MAX as u64;
const DRAINED: u64 = BUSY - 1;
const EMPTY: u64 = 0;
const _: () = assert!(PLACES <= (u64::BITS / BITS) as usize && (MAGAZINE as u64) < DRAINED);

/// The magazines of one order.
#[derive(Debug)]
struct Shelf {
    word: AtomicU64,
    entries: [[AtomicU32; MAGAZINE]; PLACES],
}

/// The depot of one cache.
#[derive(Debug)]
pub struct Depot([Shelf; Order::COUNT]);

impl Default for Depot {
    fn default() -> Self {
        let entries = || core::array::from_fn(|_| core::array::from_fn(|_| AtomicU32::new(0)));
        Self(core::array::from_fn(|_| Shelf { word: AtomicU64::new(0), entries: entries() }))
    }
}

fn content(word: u64, place: usize) -> u64 {
    word >> (place as u32 * BITS) & u64::from(u8::MAX)
}

fn in_place(content: u64, place: usize) -> u64 {
    content << (place as u32 * BITS)
}

impl Shelf {
    /// Makes a place that has what `wanted` wants `busy`: [`BUSY`] or [`DRAINED`]. Returns the place and what it had. Lock-free.
    fn occupy(&self, busy: u64, wanted: impl Fn(u64) -> bool) -> Option<(usize, u64)> {
        // Relaxed: only a guess, which the exchange checks.
        let mut seen = self.word.load(Ordering::Relaxed);
        loop {
            let place = (0..PLACES).find(|place| wanted(content(seen, *place)))?;
            let has = content(seen, place);
            // Acquire: pairs with the Release in `vacate`; makes the entries visible, or to who puts others there that
            // the last ones were read. Relaxed on failure: as above.
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

    /// Says what is in a place now that the caller made `busy`.
    fn vacate(&self, place: usize, busy: u64, has: u64) {
        // Release: pairs with the Acquire in `occupy`, and with those in `drain`.
        self.word.fetch_xor(in_place(busy ^ has, place), Ordering::Release);
    }

    /// Takes a magazine, and has `give` do something with its blocks while its place is `busy`; returns how many there were, 0
    /// for no magazine.
    fn take(&self, busy: u64, out: &mut [Entry; MAGAZINE], give: impl FnOnce(&[Entry])) -> usize {
        let Some((place, has)) = self.occupy(busy, |has| has != EMPTY && has < DRAINED) else { return 0 };
        let len = has as usize;
        for (to, from) in out[..len].iter_mut().zip(&self.entries[place]) {
            // Relaxed: made visible by the Acquire in `occupy`.
            *to = Entry(from.load(Ordering::Relaxed));
        }
        give(&out[..len]);
        self.vacate(place, busy, EMPTY);
        len
    }
}

impl Depot {
    /// Puts blocks of `order`, of which a magazine has at most `magazine`, itself at most [`MAGAZINE`]: into one that has room
    /// for all of them. False, where none has.
    #[must_use = "the blocks are the caller's still if there was no place"]
    pub fn put(&self, order: Order, blocks: &[Entry], magazine: usize) -> bool {
        let shelf = &self.0[order.slot()];
        check!((1..=magazine).contains(&blocks.len()) && magazine <= MAGAZINE);
        let room = (magazine - blocks.len()) as u64;
        // A busy one has more than there can be room for.
        let Some((place, has)) = shelf.occupy(BUSY, |has| has <= room) else { return false };
        for (to, block) in shelf.entries[place][has as usize..].iter().zip(blocks) {
            // Relaxed: published by the Release in `vacate`.
            to.store(block.0, Ordering::Relaxed);
        }
        shelf.vacate(place, BUSY, has + blocks.len() as u64);
        true
    }

    /// Takes a magazine of blocks of `order`; returns how many blocks were in it, 0 for no magazine.
    pub fn take(&self, order: Order, out: &mut [Entry; MAGAZINE]) -> usize {
        self.0[order.slot()].take(BUSY, out, |_| {})
    }

    /// Takes all magazines and has `give` give them back to the heaps. Other threads may be doing the same with some that they took before:
    /// a number that tells the orders, a bit for each. If there are none, what they took can be seen in the heaps.
    pub fn drain(&self, mut give: impl FnMut(Order, &[Entry])) -> Option<u64> {
        let mut blocks = [Entry::NONE; MAGAZINE];
        let mut under_way = 0;
        for order in Order::ZERO.through(Order::MAX) {
            let shelf = &self.0[order.slot()];
            // Acquire: pairs with the Release in `vacate`; makes the blocks visible in the heaps, as others gave them back.
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
