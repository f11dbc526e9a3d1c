//! The word of a slot bitmap: which of its slots are free, and whether its node is in use.
//!
//! | bits | meaning |
//! |---|---|
//! | 0 to 62 | slot i is free |
//! | 63 | `Listed`: the bitmap's node stands in exactly one stack, or one thread has popped it and owns it |
//!
//! A slot belongs to the thread that cleared its bit, by compare-exchange. Only that thread sets the bit again.
//!
//! `Listed` is as in the state word of a unit: a thread that gives slots sets it, the node's owner clears it, and a
//! free slot implies it. Both are in one word. So one step gives slots and tells whether to push the node, and one step
//! takes the last slots and lets go of the node.

use crate::sync::{AtomicU64, Ordering};

const LISTED: u64 = 1 << 63;

/// Slots of one bitmap, a bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slots(u64);

impl Slots {
    /// Most slots of a bitmap.
    pub const MOST: u32 = 63;

    /// The first `count` slots, at most [`MOST`](Self::MOST).
    pub const fn first(count: u32) -> Self {
        Self(!(u64::MAX << if count > Self::MOST { Self::MOST } else { count }))
    }

    /// Slot number `slot`.
    pub const fn one(slot: u32) -> Self {
        Self((1 << (slot & 63)) & !LISTED)
    }

    /// The slots that are in either.
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// These slots without the others.
    pub const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// The slots that are in both.
    pub const fn common(self, others: Self) -> Self {
        Self(self.0 & others.0)
    }

    /// Is there none?
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many there are.
    pub const fn count(self) -> u32 {
        self.0.count_ones()
    }

    /// The lowest `count` of them.
    pub const fn lowest(self, count: u32) -> Self {
        let (mut rest, mut left) = (self.0, count);
        while rest != 0 && left > 0 {
            rest &= rest - 1;
            left -= 1;
        }
        Self(self.0 & !rest)
    }
}

impl Iterator for Slots {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        if self.0 == 0 {
            return None;
        }
        let slot = self.0.trailing_zeros();
        self.0 &= self.0 - 1;
        Some(slot)
    }
}

/// Result of giving slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "push an idle node, else nobody finds the slots"]
pub struct Given {
    /// The node was idle: the caller owns it now.
    pub owns_node: bool,
    /// Given slots that were free already: they were released twice.
    pub twice: Slots,
    /// The slots that are free now.
    pub free: Slots,
}

/// Result of taking slots, for the node's owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "push the node that is still owned"]
pub struct Taken {
    /// The slots that are the caller's now.
    pub slots: Slots,
    /// The slots that were free before.
    pub before: Slots,
}

impl Taken {
    /// Does the caller still own the node? It does if free slots are left; else the node is idle.
    pub fn owns_node(&self) -> bool {
        self.slots != self.before
    }
}

/// The word of one bitmap. Only this file accesses the atomic.
#[derive(Clone, Copy, Debug)]
pub struct BitmapWord<'a>(pub(super) &'a AtomicU64);

impl BitmapWord<'_> {
    /// The slots that are free now. A hint.
    pub fn free(self) -> Slots {
        // Relaxed: a hint.
        Slots(self.0.load(Ordering::Relaxed) & !LISTED)
    }

    /// Is the node in use? For models.
    #[cfg(modelled)]
    pub fn is_listed(self) -> bool {
        // Relaxed: a model asks when its threads are done.
        self.0.load(Ordering::Relaxed) & LISTED != 0
    }

    /// Frees slots of the caller.
    pub fn give(self, slots: Slots) -> Given {
        // AcqRel: the Release pairs with the Acquire in `change`; the next owner of a slot sees what the last one wrote
        // to it. The Acquire pairs with the Release there; the node's last owner has read its link before this caller
        // writes it. No model needs the Acquire: loom lets no load see a later store.
        let old = self.0.fetch_or(slots.0 | LISTED, Ordering::AcqRel);
        let was = Slots(old & !LISTED);
        Given { owns_node: old & LISTED == 0, twice: was.common(slots), free: was.and(slots) }
    }

    /// Takes up to `most` slots, at least one if any is free. The caller owns the node, and lets go of it when no slot
    /// is left.
    pub fn take(self, most: u32) -> Taken {
        // Relaxed: a guess, which the exchange checks.
        let mut seen = self.0.load(Ordering::Relaxed);
        loop {
            let before = Slots(seen & !LISTED);
            let slots = before.lowest(most);
            match self.change(seen, if slots == before { 0 } else { seen & !slots.0 }) {
                Ok(()) => return Taken { slots, before },
                Err(now) => seen = now,
            }
        }
    }

    /// Takes `all` slots of the bitmap, if they are free. `with_node`: the caller owns the node, which becomes idle;
    /// else the node stays where it is.
    pub fn take_whole(self, all: Slots, with_node: bool) -> bool {
        self.change(all.0 | LISTED, if with_node { 0 } else { LISTED }).is_ok()
    }

    fn change(self, seen: u64, new: u64) -> Result<(), u64> {
        // AcqRel: the Acquire pairs with the Release in `give`; the new owner of a slot sees what the last one wrote.
        // The Release pairs with the Acquire there, for the node's link. No model needs the Release: as there.
        // Relaxed on failure: a guess again.
        self.0.compare_exchange(seen, new, Ordering::AcqRel, Ordering::Relaxed).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_counted_and_cut() {
        assert_eq!(Slots::first(63).count(), 63);
        assert_eq!(Slots::first(64).count(), 63);
        assert!(Slots::first(0).is_empty());
        let some = Slots::one(3).and(Slots::one(5)).and(Slots::one(62));
        assert_eq!(some.lowest(2), Slots::one(3).and(Slots::one(5)));
        assert_eq!(some.lowest(9), some);
        assert_eq!(some.map(u64::from).sum::<u64>(), 3 + 5 + 62);
    }
}
