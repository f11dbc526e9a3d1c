//! When an owner takes a bias back: after so many of its own releases without one.
//!
//! A revocation and the bias taken back cost a heavy fence each. The owner waits for twice as many releases as the last
//! time, unless the bias paid for itself since.

use core::cell::Cell;

/// Releases by exchange that an owner waits for at first.
const LEAST: u32 = 1 << 10;
/// And at most.
const MOST: u32 = 1 << 20;
/// A bias that lasted for so many times the releases that it took to get it has paid for itself.
const PAYS: u64 = 4;

/// For one order of a cache.
#[derive(Debug, Default)]
pub struct Patience {
    /// Releases by exchange until the owner takes the bias back. 0: it has it, as far as it knows.
    left: Cell<u32>,
    /// How many these were in all. 0 for none.
    wait: Cell<u32>,
    /// How many blocks had been handed out when it got the bias.
    since: Cell<u64>,
}

impl Patience {
    /// The owner released a block of the order by exchange, and `handed_out` tells how many it has handed out so far.
    /// True: it takes the bias back now, and calls [`restored`](Self::restored) or [`refused`](Self::refused).
    pub fn wait(&self, handed_out: impl FnOnce() -> u64) -> bool {
        match self.left.get() {
            0 => {
                let has_paid = handed_out().wrapping_sub(self.since.get()) >= PAYS * u64::from(self.wait.get());
                self.wait.set(if has_paid { LEAST } else { (2 * self.wait.get()).clamp(LEAST, MOST) });
                self.left.set(self.wait.get());
                false
            }
            1 => true,
            left => {
                self.left.set(left - 1);
                false
            }
        }
    }

    /// The owner has the bias.
    pub fn restored(&self, handed_out: u64) {
        self.left.set(0);
        self.since.set(handed_out);
    }

    /// Another thread visits the owner.
    pub fn refused(&self) {
        self.left.set(self.wait.get());
    }
}
