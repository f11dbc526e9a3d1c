//! Allocations beside a thread that withholds memory.

use std::thread;
use std::time::{Duration, Instant};

/// The least time that an allocation waits for a thread that withholds memory, before it fails without a certificate: a
/// hundred sleeps of a tenth of a millisecond.
const LEAST_WAIT: Duration = Duration::from_millis(10);

/// Allocates until there is a block. An allocation may fail only where another thread withholds memory and does not run
/// for the whole wait. So a failure without a wait is a fault. After one with a wait the next attempt comes when the
/// `progress` of the other thread has changed.
pub fn alloc_beside(alloc: impl Fn() -> *mut u8, progress: impl Fn() -> u64) -> *mut u8 {
    for _ in 0..100 {
        let (before, began) = (progress(), Instant::now());
        let block = alloc();
        if !block.is_null() {
            return block;
        }
        let waited = began.elapsed();
        assert!(waited >= LEAST_WAIT, "an allocation failed after {waited:?}, without a wait for the other thread");
        while progress() == before {
            thread::yield_now();
        }
    }
    panic!("each of a hundred allocations failed");
}
