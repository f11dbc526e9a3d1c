//! What concurrent tests share: a gate at which threads meet so that they go on at the same moment, rounds in which
//! they do, and a table of owners that sees any overlap at once.

use std::hint;
use std::mem;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mempool::ReleaseError;

use super::join;

/// A barrier that spins, so that all threads leave it within nanoseconds of each other.
#[derive(Debug)]
pub struct Gate {
    threads: usize,
    arrived: AtomicUsize,
    broken: AtomicBool,
}

/// Breaks the gate when its thread dies at a failed assertion, so that the others don't wait for ever.
#[derive(Debug)]
pub struct Watch<'a>(&'a Gate);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.broken.store(true, Ordering::Relaxed);
        }
    }
}

impl Gate {
    pub fn new(threads: usize) -> Self {
        Self { threads, arrived: AtomicUsize::new(0), broken: AtomicBool::new(false) }
    }

    /// To be held by each thread for as long as others may wait for it.
    pub fn watch(&self) -> Watch<'_> {
        Watch(self)
    }

    /// Waits for all the others; true, so that it can stand in a condition.
    pub fn pass(&self) -> bool {
        let mine = self.arrived.fetch_add(1, Ordering::AcqRel);
        let all = (mine / self.threads + 1) * self.threads;
        let mut spins = 0u32;
        while self.arrived.load(Ordering::Acquire) < all {
            spins = spins.wrapping_add(1);
            if spins.is_multiple_of(256) {
                thread::yield_now();
            } else {
                hint::spin_loop();
            }
            assert!(!self.broken.load(Ordering::Relaxed), "another thread died");
        }
        true
    }
}

/// How long threads meet, where there are too few processors for all of them.
const LONGEST: Duration = Duration::from_secs(4);

/// At most `rounds` rounds, for a few seconds: in each, `prepare` makes what the threads then do together, and `judge`
/// gets one result of each. Returns how many there were.
pub fn together<P: Copy + Send + Sync, R: Send>(
    rounds: usize,
    threads: usize,
    prepare: impl Fn(usize) -> P + Sync,
    act: impl Fn(usize, P) -> R + Sync,
    judge: impl Fn(usize, P, Vec<R>) + Sync,
) -> usize {
    let gate = &Gate::new(threads);
    // `None` once it is enough.
    let (prepared, results) = (&Mutex::new(None), &Mutex::new(Vec::new()));
    let (prepare, act, judge) = (&prepare, &act, &judge);
    let take_part = move |thread: usize| {
        let _watch = gate.watch();
        let start = Instant::now();
        for round in 0.. {
            if thread == 0 {
                let go_on = round < rounds && start.elapsed() < LONGEST;
                *prepared.lock().expect("no thread died") = go_on.then(|| prepare(round));
            }
            gate.pass();
            let what = *prepared.lock().expect("no thread died");
            let Some(what) = what else { return round };
            gate.pass();
            let result = act(thread, what);
            results.lock().expect("no thread died").push(result);
            gate.pass();
            if thread == 0 {
                judge(round, what, mem::take(&mut *results.lock().expect("no thread died")));
            }
        }
        unreachable!("rounds end before numbers do")
    };
    let rounds = thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|thread| scope.spawn(move || take_part(thread))).collect();
        let rounds = take_part(0);
        join(others);
        rounds
    });
    println!("{rounds} rounds");
    rounds
}

/// Of several releases of one block, one succeeded.
pub fn released_once(results: &[Result<(), ReleaseError>]) {
    let succeeded = results.iter().filter(|result| result.is_ok()).count();
    let refused = results.iter().filter(|result| **result == Err(ReleaseError::NotLive)).count();
    assert_eq!((succeeded, refused), (1, results.len() - 1), "{results:?}");
}

/// For each unit from `first` on, whether somebody owns it.
#[derive(Debug)]
pub struct Owners {
    first: usize,
    unit: usize,
    owned: Vec<AtomicBool>,
}

impl Owners {
    pub fn new(first: usize, unit: usize, units: usize) -> Self {
        Self { first, unit, owned: (0..units).map(|_| AtomicBool::new(false)).collect() }
    }

    fn units(&self, block: *mut u8, size: usize) -> &[AtomicBool] {
        let place = (block.addr() - self.first) / self.unit;
        &self.owned[place..place + size.div_ceil(self.unit)]
    }

    /// Does nobody own any of it?
    pub fn is_free(&self, block: *mut u8, size: usize) -> bool {
        !self.units(block, size).iter().any(|owned| owned.load(Ordering::Relaxed))
    }

    /// A block was handed out.
    pub fn claim(&self, block: *mut u8, size: usize) {
        let taken = self.units(block, size).iter().filter(|owned| owned.swap(true, Ordering::Relaxed)).count();
        assert_eq!(taken, 0, "units of the {size} bytes at {block:?} belong to somebody else");
    }

    /// It is about to be released.
    pub fn resign(&self, block: *mut u8, size: usize) {
        assert!(self.units(block, size).iter().all(|owned| owned.swap(false, Ordering::Relaxed)));
    }
}
