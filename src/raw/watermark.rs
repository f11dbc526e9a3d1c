//! Numbers that were never used.

use crate::sync::{AtomicU32, Ordering};

/// Hands out numbers from 0 on, each once.
#[derive(Debug, Default)]
pub struct Watermark(AtomicU32);

impl Watermark {
    /// The next number.
    pub fn next(&self) -> u32 {
        // Relaxed: a number.
        self.0.load(Ordering::Relaxed)
    }

    /// Takes `count` consecutive numbers, and returns the first. `None`, if they would not be below `end`, or if
    /// `is_ready` says that there is nothing yet for all numbers below its argument. Lock-free, if `is_ready` is.
    pub fn take(&self, count: u32, end: u32, is_ready: impl Fn(u32) -> bool) -> Option<u32> {
        let mut next = self.next();
        loop {
            let then = next.checked_add(count).filter(|then| *then <= end && is_ready(*then))?;
            // Relaxed, both: nothing is published with a number that was never used.
            match self.0.compare_exchange_weak(next, then, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Some(next),
                Err(now) => next = now,
            }
        }
    }
}
