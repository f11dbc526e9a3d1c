//! Numbers that nobody had before.

use crate::sync::{AtomicU32, Ordering};

/// Hands out numbers from 0 on, each once.
#[derive(Debug, Default)]
pub struct Watermark(AtomicU32);

impl Watermark {
    /// The first number that was not handed out yet.
    pub fn next(&self) -> u32 {
        // Relaxed: a number.
        self.0.load(Ordering::Relaxed)
    }

    /// The first of `count` numbers in a row, all of them below `end`, if so many are left, and if `is_ready` says that
    /// what they stand for is there, all of it below the number that it is given. Lock-free, if that is.
    pub fn take(&self, count: u32, end: u32, is_ready: impl Fn(u32) -> bool) -> Option<u32> {
        let mut next = self.next();
        loop {
            let then = next.checked_add(count).filter(|then| *then <= end && is_ready(*then))?;
            // Relaxed, both: what a number stands for was not used before.
            match self.0.compare_exchange_weak(next, then, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Some(next),
                Err(now) => next = now,
            }
        }
    }
}
