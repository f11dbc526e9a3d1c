//! A sweep while another thread works: how much of its throughput that thread keeps.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use mempool::MemoryPool;

use crate::full::UNIT;

/// How long another thread works alone, before the heap is swept beside it.
const ALONE: Duration = Duration::from_millis(100);

/// What another thread does while the heap is swept.
#[derive(Clone, Copy, Debug)]
pub enum Work {
    /// An allocation, and its release.
    Pairs,
    /// 1 000 allocations, and their releases.
    Bursts,
}

impl Work {
    /// Does it until told to stop; tells when it has done so for [`ALONE`], after a few for a start, and since when;
    /// and returns how many allocations there were, and when.
    fn run(self, pool: &MemoryPool, stop: &AtomicBool, tell: Sender<Instant>) -> Vec<Done> {
        let mut done = vec![Done::now(0)];
        let mut alone = None;
        let mut count = 0;
        let mut blocks = Vec::with_capacity(1000);
        while !stop.load(Ordering::Relaxed) {
            for _ in 0..if matches!(self, Self::Pairs) { 1000 } else { 1 } {
                let burst = if matches!(self, Self::Pairs) { 1 } else { 1000 };
                blocks.extend((0..burst).map(|_| pool.hl_alloc(UNIT)));
                for block in blocks.drain(..) {
                    assert!(!block.is_null());
                    pool.hl_release(block).expect("it is live");
                }
                count += burst;
            }
            let now = Done::now(count);
            done.push(now);
            if done.len() == 20 {
                alone = Some(now.at);
            }
            if let Some(begin) = alone.take_if(|begin| now.at - *begin >= ALONE) {
                _ = tell.send(begin);
            }
        }
        done
    }
}

/// How many allocations there were at a moment, and how long the thread had run by then.
#[derive(Clone, Copy, Debug)]
struct Done {
    at: Instant,
    ran: Duration,
    count: u64,
}

impl Done {
    fn now(count: u64) -> Self {
        Self { at: Instant::now(), ran: time_of_thread(), count }
    }
}

/// Time for which the calling thread has run.
#[cfg(unix)]
fn time_of_thread() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the place for the time is valid.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) }, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Elsewhere, the time of the clock.
#[cfg(not(unix))]
fn time_of_thread() -> Duration {
    static BEGUN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    BEGUN.get_or_init(Instant::now).elapsed()
}

/// Allocations a second between two moments, and allocations in a second that the thread ran.
fn rates(done: &[Done], from: Instant, to: Instant) -> [f64; 2] {
    let inside: Vec<_> = done.iter().filter(|done| (from..to).contains(&done.at)).collect();
    match inside[..] {
        [first, .., last] => {
            let count = (last.count - first.count) as f64;
            [count / (to - from).as_secs_f64(), count / (last.ran - first.ran).as_secs_f64()]
        }
        _ => [0.0; 2],
    }
}

/// How long a sweep took, and the throughput of another thread meanwhile, in percent of what it has alone.
pub fn sweep_beside(pool: &MemoryPool, work: Work) -> (Duration, [f64; 2]) {
    let stop = AtomicBool::new(false);
    let (done, [begin, sweep, swept]) = thread::scope(|scope| {
        let (tell, has_been_alone) = channel();
        let stop = &stop;
        let other = scope.spawn(move || {
            let done = work.run(pool, stop, tell);
            pool.flush_thread_cache();
            done
        });
        let begin = has_been_alone.recv().expect("it works");
        let sweep = Instant::now();
        pool.sweep();
        let swept = Instant::now();
        stop.store(true, Ordering::Relaxed);
        (other.join().expect("the work does not panic"), [begin, sweep, swept])
    });
    let (alone, beside) = (rates(&done, begin, sweep), rates(&done, sweep, swept));
    (swept - sweep, [0, 1].map(|by| 100.0 * beside[by] / alone[by]))
}
