//! When an owner takes a bias: after so many of its own blocks were handed out.
//!
//! A revocation and the bias taken again cost a heavy fence each. The owner waits for twice as many blocks as the last
//! time, unless the bias paid for itself since. It looks only when it releases by exchange: so one whose blocks others
//! release never has a bias.

use core::cell::Cell;

use crate::check::at;

/// Blocks handed out that an owner waits for at first.
const LEAST: u32 = 1 << 10;
/// And at most.
const MOST: u32 = 1 << 20;
/// A bias that lasted for so many times the blocks that it took to get it has paid for itself: a fence takes some
/// microseconds, on a busy machine many, and a release saves a few nanoseconds.
const PAYS: u64 = 32;

/// In the word of a class: the owner has the bias, as far as it knows. The other bits say how many blocks
/// it waited for.
const HAS: u32 = 1 << 31;
const _: () = assert!(2 * MOST <= HAS);

/// For each class of a cache. Zeroes are an owner that has not begun to wait.
#[derive(Debug)]
pub struct Patience<const CLASSES: usize> {
    /// How many blocks were handed out when the owner is to look. While it has the bias: when it got that.
    due: [Cell<u64>; CLASSES],
    waits: [Cell<u32>; CLASSES],
}

impl<const CLASSES: usize> Default for Patience<CLASSES> {
    fn default() -> Self {
        Self { due: core::array::from_fn(|_| Cell::new(0)), waits: core::array::from_fn(|_| Cell::new(0)) }
    }
}

impl<const CLASSES: usize> Patience<CLASSES> {
    /// The owner released a block of the class by exchange, and has handed out so many. True: it is to [`look`].
    ///
    /// [`look`]: Self::look
    #[inline]
    pub fn is_due(&self, class: usize, handed_out: u64) -> bool {
        handed_out >= at(&self.due, class).get()
    }

    /// True: the owner takes the bias now, and calls [`restored`](Self::restored) or [`refused`](Self::refused).
    pub fn look(&self, class: usize, handed_out: u64) -> bool {
        let waited = at(&self.waits, class).get();
        if waited != 0 && waited & HAS == 0 {
            return true;
        }
        // It comes to know that the bias is gone, or begins to wait.
        let waited = waited & !HAS;
        let has_paid = handed_out.wrapping_sub(at(&self.due, class).get()) >= PAYS * u64::from(waited);
        self.wait(class, handed_out, if has_paid { LEAST } else { 2 * waited });
        false
    }

    fn wait(&self, class: usize, handed_out: u64, blocks: u32) {
        let blocks = blocks.clamp(LEAST, MOST);
        at(&self.waits, class).set(blocks);
        at(&self.due, class).set(handed_out.saturating_add(blocks.into()));
    }

    /// The owner has the bias.
    pub fn restored(&self, class: usize, handed_out: u64) {
        at(&self.waits, class).set(at(&self.waits, class).get() | HAS);
        at(&self.due, class).set(handed_out);
    }

    /// Another thread visits the owner: that happens where others release its blocks.
    pub fn refused(&self, class: usize, handed_out: u64) {
        self.wait(class, handed_out, 2 * (at(&self.waits, class).get() & !HAS));
    }

    /// There will be no bias.
    pub fn give_up(&self, class: usize) {
        at(&self.due, class).set(u64::MAX);
    }

    /// What was handed out is counted from 0 again.
    pub fn count_anew(&self, class: usize) {
        if at(&self.due, class).get() != u64::MAX {
            at(&self.due, class).set(0);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn an_owner_waits_for_longer_each_time_unless_the_bias_lasted() {
        let patience = Patience::<2>::default();
        let mut handed_out = 0;
        // Blocks until the owner takes the bias, and has it.
        let mut wait = || {
            let begin = handed_out;
            while !(patience.is_due(1, handed_out) && patience.look(1, handed_out)) {
                handed_out += 1;
            }
            patience.restored(1, handed_out);
            handed_out - begin
        };
        let first = u64::from(LEAST);
        assert_eq!([wait(), wait(), wait(), wait()], [first, 2 * first, 4 * first, 8 * first]);
        for _ in 0..20 {
            wait();
        }
        assert_eq!([wait(), wait()], [u64::from(MOST); 2], "there is a longest wait");
        let later = handed_out + PAYS * u64::from(MOST);
        assert!(patience.is_due(1, later) && !patience.look(1, later), "it notices that the bias is gone");
        assert!(!patience.is_due(1, later + first - 1) && patience.is_due(1, later + first), "it has paid for itself");
        assert!(patience.look(1, later + first));
        patience.refused(1, later + first);
        assert!(!patience.is_due(1, later + 3 * first - 1) && patience.is_due(1, later + 3 * first));
        patience.count_anew(1);
        assert!(patience.is_due(1, 1) && patience.look(1, 1));
        patience.give_up(1);
        patience.count_anew(1);
        assert!(!patience.is_due(1, u64::MAX - 1) && patience.is_due(0, 0), "each class by itself");
    }
}
