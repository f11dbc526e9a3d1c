//! How far two threads are from each other: the time that a cache line takes to go to the other one and back.
//!
//! Where blocks cross threads, figures follow this time, whatever the allocator, and it may change from one second to the next:
//! with the cores that the operating system, or the host of a virtual machine, puts the threads on.

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_utils::{Backoff, CachePadded};

/// Round trips that are timed at once.
const TRIPS: u32 = 100;

/// For so long they play: new threads may both be on one core for the first milliseconds.
const TIME: Duration = Duration::from_millis(10);

/// What the first thread writes when it has seen enough.
const OVER: u32 = u32::MAX;

/// Nanoseconds of one round trip between two threads, of the fastest [`TRIPS`] in a row.
pub fn round_trip() -> f64 {
    // Each writes what the other one waits for: this thread odd numbers, the other one even ones.
    let line = CachePadded::new(AtomicU32::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut turn = 1;
            while wait_for(&line, turn) {
                // Release: pairs with the Acquire in `wait_for`.
                line.store(turn + 1, Ordering::Release);
                turn += 2;
            }
        });
        let (begun, mut turn, mut fastest) = (Instant::now(), 0, Duration::MAX);
        while begun.elapsed() < TIME || fastest == Duration::MAX {
            let batch = Instant::now();
            for _ in 0..TRIPS {
                // Release: as above.
                line.store(turn + 1, Ordering::Release);
                turn += 2;
                wait_for(&line, turn);
            }
            fastest = fastest.min(batch.elapsed());
        }
        // Release: as above.
        line.store(OVER, Ordering::Release);
        fastest.as_secs_f64() * 1e9 / f64::from(TRIPS)
    })
}

/// Waits until the other thread has written this; false, if it has written that it is over.
fn wait_for(line: &AtomicU32, turn: u32) -> bool {
    let backoff = Backoff::new();
    loop {
        // Acquire: pairs with the Releases of the other thread.
        match line.load(Ordering::Acquire) {
            OVER => return false,
            now if now == turn => return true,
            // After a while it lets another thread go on, should there be only one core.
            _ => backoff.snooze(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trip_comes_to_an_end() {
        assert!(round_trip() > 0.0);
    }
}
