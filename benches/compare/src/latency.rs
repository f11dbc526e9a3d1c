//! The times of the processor that no allocator can avoid.
//!
//! One is a compare-exchange: a release that is checked has one, so that no pair of calls with such a release is
//! faster. The other is the time that a cache line takes to go to another thread and back: how far two threads are
//! from each other. Where blocks cross threads, figures follow that, whatever the allocator, and it may change from
//! one second to the next: with the cores that the operating system, or the host of a virtual machine, puts the
//! threads on.

use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_utils::{Backoff, CachePadded};

/// Round trips that are timed at once.
const TRIPS: u32 = 100;

/// Compare-exchanges that are timed at once.
const EXCHANGES: u32 = 10_000;

/// The time for which each is measured: new threads may both be on one core for the first milliseconds.
const TIME: Duration = Duration::from_millis(10);

/// The first thread writes this when it has seen enough.
const OVER: u32 = u32::MAX;

/// Nanoseconds of a compare-exchange of what nobody else uses, of the fastest [`EXCHANGES`] consecutive ones.
pub fn exchange() -> f64 {
    let word = CachePadded::new(AtomicU32::new(0));
    let (begun, mut fastest) = (Instant::now(), Duration::MAX);
    while begun.elapsed() < TIME || fastest == Duration::MAX {
        let batch = Instant::now();
        for turn in 0..EXCHANGES {
            // AcqRel, as a release that hands a block on needs it. It is always as expected.
            _ = black_box(word.compare_exchange(turn, turn + 1, Ordering::AcqRel, Ordering::Acquire));
        }
        fastest = fastest.min(batch.elapsed());
        // Relaxed: nobody else has it.
        word.store(0, Ordering::Relaxed);
    }
    fastest.as_secs_f64() * 1e9 / f64::from(EXCHANGES)
}

/// Nanoseconds of one round trip between two threads, of the fastest [`TRIPS`] consecutive ones.
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

    #[test]
    fn an_exchange_takes_some_time() {
        assert!(exchange() > 0.0);
    }
}
