//! How slabs are closed.
//!
//! To close a slab, a thread takes all slots of each of its bitmaps in turn. If one is not whole, it gives back the
//! ones that it took. Two threads that close the same slab may each withhold a bitmap from the other. So a thread that
//! gave something back looks again whether all slots are free: the last one finds them so.

use core::ops::Range;

use super::bitmap::Slots;
use super::lists::Class;
use super::page_map::Found;
use super::pages::Slabs;
use super::shape::{BITMAPS, BitmapId};
use crate::check::check;
use crate::raw::order::BlockIndex;
use crate::sync::{Ordering, fence};

/// Which bitmaps of a slab its closer has taken.
pub(super) type Closed = [bool; BITMAPS as usize];

impl<const CLASSES: usize> Slabs<CLASSES> {
    /// Closes the bitmaps of a slab that are not closed yet, and releases its pages. If one is not free, opens all of
    /// them again.
    pub(super) fn close(&self, class: Class, head: u32, mut closed: Closed) {
        let shape = self.shape(class);
        let bitmaps = || {
            let bitmaps = (0..BITMAPS).map(|nth| (BitmapId { head, nth }, shape.slots_of(nth)));
            bitmaps.filter(|(_, all)| !all.is_empty())
        };
        loop {
            // The first bitmap first: while nothing of the slab is the caller's, the extra ones may be another slab's.
            let is_whole = bitmaps().all(|(id, all)| {
                let closed = &mut closed[id.in_slab()];
                *closed = *closed || self.close_bitmap(class, id, all);
                *closed
            });
            if is_whole {
                if let Some(set) = self.set_at(head) {
                    self.extra.give_back(set, shape.extra());
                }
                self.release_pages(head, shape.pages);
                return;
            }
            if closed == Closed::default() {
                return;
            }
            for (id, all) in bitmaps().filter(|(id, _)| closed[id.in_slab()]) {
                // The bitmap belongs to the slab as long as it is closed.
                if let Some(bitmap) = self.bitmap(id) {
                    let given = self.bitmaps.give(class, bitmap, all, self.shard_of(head));
                    check!(given.twice.is_empty());
                }
            }
            closed = Closed::default();
            // SeqCst: pairs with itself. Of two threads that gave back what the other one wanted, one sees what the
            // other gave.
            fence(Ordering::SeqCst);
            // If not all are free, a thread has a slot, and closes the slab when that comes back; or it has closed the
            // slab.
            let is_free = |(id, all)| self.bitmap(id).is_some_and(|bitmap| self.bitmaps.word(bitmap).free() == all);
            if !bitmaps().all(is_free) {
                return;
            }
        }
    }

    /// Takes all slots of a bitmap, if all are free and its slab has this class. If the bitmap is not the first one,
    /// the caller has slots of the slab.
    fn close_bitmap(&self, class: Class, id: BitmapId, all: Slots) -> bool {
        if !self.bitmap(id).is_some_and(|bitmap| self.bitmaps.close(bitmap, all)) {
            return false;
        }
        // Only now: until its slots are taken, a slab may be closed, and another one opened at its first page.
        match self.find(id.head) {
            Found::Slab { class: now, .. } if now != class => {
                self.put_back(now, id, all, all);
                false
            }
            _ => {
                self.count_idle(class, id, all, false);
                true
            }
        }
    }

    /// Gives back slots that were taken by mistake from a bitmap of this class, when `before` were free.
    ///
    /// Others may have given all other slots meanwhile; then this call closes the slab. That does not come here again:
    /// while a bitmap of a slab is closed, nobody takes its other ones for a slab of another class.
    #[cold]
    pub(super) fn put_back(&self, class: Class, id: BitmapId, before: Slots, slots: Slots) {
        self.count_idle(class, id, before, false);
        let twice = self.give(class, id, slots);
        check!(twice.is_empty());
    }

    /// Closes the idle slabs that begin in these pages. Most slabs are not idle, so their first bitmaps are looked at
    /// before.
    pub(super) fn close_idle(&self, pages: Range<u32>) {
        for page in pages {
            if let Found::Slab { class, head } = self.find(page)
                && head == page
                && self.bitmaps.word(BlockIndex::new(head)).free() == self.shape(class).slots_of(0)
            {
                self.close(class, head, [false; BITMAPS as usize]);
            }
        }
    }
}
