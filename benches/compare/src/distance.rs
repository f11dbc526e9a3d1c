//! How far two threads are from each other: the time that a cache line takes to go to the other one and back.
//!
//! Where blocks cross threads, figures follow this time, whatever the allocator, and it may change from one second to the next:
//! with the cores that the operating system, or the host of a virtual machine, puts the threads on.

use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Instant;

use crossbeam_utils::{Backoff, CachePadded};

/// Trips that are timed at once.
const TRIPS: u32 = 500;

/// Nanoseconds of one round trip between two threads.
pub fn round_trip() -> f64 {
    let (line, both) = (CachePadded::new(AtomicU32::new(0)), Barrier::new(2));
    // Each writes what the other one waits for.
    let play = |first: u32| {
        both.wait();
        let begun = Instant::now();
        for trip in (first..2 * TRIPS).step_by(2) {
            let backoff = Backoff::new();
            // Acquire: pairs with the Release below.
            while line.load(Ordering::Acquire) != trip {
                // After a while it lets another thread go on, should there be only one core.
                backoff.snooze();
            }
            // Release: pairs with the Acquire above.
            line.store(trip + 1, Ordering::Release);
        }
        begun.elapsed().as_secs_f64() * 1e9 / f64::from(TRIPS)
    };
    thread::scope(|scope| {
        scope.spawn(|| play(1));
        play(0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trip_comes_to_an_end() {
        assert!(round_trip() > 0.0);
    }
}
