//! Numbers that nobody had before.

use crate::sync::{AtomicU32, Ordering};

/// Hands out numbers from 0 on, each once.
#[derive(Debug, Default)]
pub struct Fresh(AtomicU32);

impl Fresh {
    /// The first number that was not handed out yet.
    pub fn next(&self) -> u32 {
        // Relaxed: a number.
        self.0.load(Ordering::Relaxed)
    }

    /// The first of `count` numbers in a row, all of them below `end`, if so many are left. Lock-free.
    pub fn take(&self, count: u32, end: u32) -> Option<u32> {
        let mut next = self.next();
        loop {
            let then = next.checked_add(count).filter(|then| *then <= end)?;
            // Relaxed, both: what a number stands for was not used before.
            match self.0.compare_exchange_weak(next, then, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Some(next),
                Err(now) => next = now,
            }
        }
    }
}
