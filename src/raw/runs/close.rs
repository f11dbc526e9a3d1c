//! How runs are closed.
//!
//! Who closes a run takes all slots of each of its groups in turn, and if one is not whole gives back what it took. Two who close the same run
//! may so each find a group in the other's hand. So who gave something back looks again whether all is free: the last one finds it so.

use core::ops::Range;

use super::{Found, PLANES, Part, Runs};
use crate::check::check;
use crate::raw::group::Slots;
use crate::raw::groups::Class;
use crate::sync::{Ordering, fence};

/// Groups of a run that its closer has closed.
pub(super) type Closed = [bool; PLANES as usize];

impl<const CLASSES: usize> Runs<CLASSES> {
    /// Closes what is not closed yet of a run, and releases its pages; or opens again what was closed, if not all of it is free.
    pub(super) fn close(&self, class: Class, head: u32, mut closed: Closed) {
        let shape = self.shapes[class];
        let parts = || {
            let parts = (0..PLANES).map(|plane| (Part { head, plane }, shape.slots_of(plane)));
            parts.filter(|(_, all)| !all.is_empty())
        };
        loop {
            // The first group first: of a run of which nothing is the caller's, the others may be another one's.
            let is_whole = parts().all(|(part, all)| {
                let closed = &mut closed[part.plane as usize];
                *closed = *closed || self.close_group(class, part, all);
                *closed
            });
            if is_whole {
                if let Some(set) = self.set_at(head) {
                    self.further.give_back(set, shape.further());
                }
                self.release_pages(head, shape.pages);
                return;
            }
            if closed == Closed::default() {
                return;
            }
            for (part, all) in parts().filter(|(part, _)| closed[part.plane as usize]) {
                // Each is the run's as long as it is closed.
                if let Some(group) = self.group(part) {
                    let given = self.groups.give(class, group, all, self.home(head));
                    check!(given.twice.is_empty());
                }
            }
            closed = Closed::default();
            // SeqCst: pairs with itself. Of two who gave back what the other one wanted, one sees what the other has given.
            fence(Ordering::SeqCst);
            // Somebody has a slot, and closes the run when it comes back; or has closed it.
            let is_free = |(part, all)| self.group(part).is_some_and(|group| self.groups.word(group).free() == all);
            if !parts().all(is_free) {
                return;
            }
        }
    }

    /// Takes all slots of a group, if all are free and its run is one of this class. If it is not the first, the caller has slots of the run.
    fn close_group(&self, class: Class, part: Part, all: Slots) -> bool {
        if !self.group(part).is_some_and(|group| self.groups.close(group, all)) {
            return false;
        }
        // Not before: until its slots are taken, a run may be closed, and another one opened at its first page.
        match self.find(part.head) {
            Found::Run { class: now, .. } if now != class => {
                self.put_back(now, part, all, all);
                false
            }
            _ => {
                self.count_idle(class, part, all, false);
                true
            }
        }
    }

    /// Gives back what was taken by mistake of a group of this class, when `before` were free. Others may have given all else
    /// meanwhile, so that it is closed here if at all; it does not come here again, since nobody takes the rest of a run for one of
    /// another class while a group of it is closed.
    #[cold]
    pub(super) fn put_back(&self, class: Class, part: Part, before: Slots, slots: Slots) {
        self.count_idle(class, part, before, false);
        let twice = self.give(class, part, slots);
        check!(twice.is_empty());
    }

    /// Closes the runs that begin in these pages and that are open for nothing.
    pub(super) fn close_idle(&self, pages: Range<u32>) {
        for page in pages {
            if let Found::Run { class, head } = self.find(page)
                && head == page
            {
                self.close(class, head, [false; PLANES as usize]);
            }
        }
    }
}
