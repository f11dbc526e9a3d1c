//! How slabs are closed.
//!
//! Who closes a slab takes all slots of each of its bitmaps in turn, and if one is not whole gives back what it took. Two who close the same slab
//! may so each find a bitmap in the other's hand. So who gave something back looks again whether all is free: the last one finds it so.

use core::ops::Range;

use super::{BITMAPS, BitmapId, Found, Slabs};
use crate::check::check;
use crate::raw::slabs::bitmap::Slots;
use crate::raw::slabs::lists::Class;
use crate::sync::{Ordering, fence};

/// BitmapLists of a slab that its closer has closed.
pub(super) type Closed = [bool; BITMAPS as usize];

impl<const CLASSES: usize> Slabs<CLASSES> {
    /// Closes what is not closed yet of a slab, and releases its pages; or opens again what was closed, if not all of it is free.
    pub(super) fn close(&self, class: Class, head: u32, mut closed: Closed) {
        let shape = self.shapes[class];
        let parts = || {
            let parts = (0..BITMAPS).map(|nth| (BitmapId { head, nth }, shape.slots_of(nth)));
            parts.filter(|(_, all)| !all.is_empty())
        };
        loop {
            // The first bitmap first: of a slab of which nothing is the caller's, the others may be another one's.
            let is_whole = parts().all(|(part, all)| {
                let closed = &mut closed[part.nth as usize];
                *closed = *closed || self.close_bitmap(class, part, all);
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
            for (part, all) in parts().filter(|(part, _)| closed[part.nth as usize]) {
                // Each is the slab's as long as it is closed.
                if let Some(bitmap) = self.bitmap(part) {
                    let given = self.bitmaps.give(class, bitmap, all, self.its_shard(head));
                    check!(given.twice.is_empty());
                }
            }
            closed = Closed::default();
            // SeqCst: pairs with itself. Of two who gave back what the other one wanted, one sees what the other has given.
            fence(Ordering::SeqCst);
            // Somebody has a slot, and closes the slab when it comes back; or has closed it.
            let is_free = |(part, all)| self.bitmap(part).is_some_and(|bitmap| self.bitmaps.word(bitmap).free() == all);
            if !parts().all(is_free) {
                return;
            }
        }
    }

    /// Takes all slots of a bitmap, if all are free and its slab is one of this class. If it is not the first, the caller has slots of the slab.
    fn close_bitmap(&self, class: Class, part: BitmapId, all: Slots) -> bool {
        if !self.bitmap(part).is_some_and(|bitmap| self.bitmaps.close(bitmap, all)) {
            return false;
        }
        // Not before: until its slots are taken, a slab may be closed, and another one opened at its first page.
        match self.find(part.head) {
            Found::Slab { class: now, .. } if now != class => {
                self.put_back(now, part, all, all);
                false
            }
            _ => {
                self.count_idle(class, part, all, false);
                true
            }
        }
    }

    /// Gives back what was taken by mistake of a bitmap of this class, when `before` were free. Others may have given all else
    /// meanwhile, so that it is closed here if at all; it does not come here again, since nobody takes the rest of a slab for one of
    /// another class while a bitmap of it is closed.
    #[cold]
    pub(super) fn put_back(&self, class: Class, part: BitmapId, before: Slots, slots: Slots) {
        self.count_idle(class, part, before, false);
        let twice = self.give(class, part, slots);
        check!(twice.is_empty());
    }

    /// Closes the slabs that begin in these pages and that are open for nothing.
    pub(super) fn close_idle(&self, pages: Range<u32>) {
        for page in pages {
            if let Found::Slab { class, head } = self.find(page)
                && head == page
            {
                self.close(class, head, [false; BITMAPS as usize]);
            }
        }
    }
}
