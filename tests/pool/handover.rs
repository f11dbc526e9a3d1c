//! Threads on one pool, with memory behind it: blocks are written with patterns, handed over, checked by another thread
//! and released by it. The same code runs with a mutex around the pool, as the control.

use std::slice;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, MutexGuard};
use std::thread;

use crate::common::{Gate, Lockstep, Random};
use mempool::{MemoryPool, ReleaseError};
use rayon::prelude::*;

/// The operations of the run, with a lock around them or without.
trait Shared: Sync {
    fn alloc(&self, size: usize) -> *mut u8;
    fn release(&self, block: *mut u8) -> Result<(), ReleaseError>;
    fn release_all(&self, blocks: &[*mut u8]);
    fn sweep(&self);
}

impl Shared for MemoryPool {
    fn alloc(&self, size: usize) -> *mut u8 {
        self.hl_alloc(size)
    }

    fn release(&self, block: *mut u8) -> Result<(), ReleaseError> {
        self.hl_release(block)
    }

    fn release_all(&self, blocks: &[*mut u8]) {
        self.release_batch(blocks).expect("all blocks are live");
    }

    fn sweep(&self) {
        MemoryPool::sweep(self);
    }
}

/// The control: one thread at a time.
struct Locked<'a>(Mutex<&'a MemoryPool>);

impl<'a> Locked<'a> {
    fn lock(&self) -> MutexGuard<'_, &'a MemoryPool> {
        self.0.lock().expect("no thread died")
    }
}

impl Shared for Locked<'_> {
    fn alloc(&self, size: usize) -> *mut u8 {
        self.lock().hl_alloc(size)
    }

    fn release(&self, block: *mut u8) -> Result<(), ReleaseError> {
        self.lock().hl_release(block)
    }

    fn release_all(&self, blocks: &[*mut u8]) {
        self.lock().release_all(blocks);
    }

    fn sweep(&self) {
        self.lock().sweep();
    }
}

/// A block with a pattern in it.
struct Written {
    block: *mut u8,
    size: usize,
    pattern: u8,
}

// SAFETY: whoever has a `Written` is the only one who has that block; the memory outlives the threads.
unsafe impl Send for Written {}

impl Written {
    /// Fills a block that was just handed out.
    fn new(block: *mut u8, size: usize, pattern: u8) -> Self {
        assert_eq!(block.addr() % size.next_power_of_two(), 0);
        // SAFETY: the pool handed the block out, so its `size` bytes, in a vector that lives on, are this thread's.
        unsafe { block.write_bytes(pattern, size) };
        Self { block, size, pattern }
    }

    /// Checks that nobody wrote into it, and gives the block back.
    fn read(self) -> *mut u8 {
        // SAFETY: the block is this thread's still, and was written in `new`.
        let bytes = unsafe { slice::from_raw_parts(self.block, self.size) };
        assert!(bytes.iter().all(|byte| *byte == self.pattern), "somebody wrote into {:?}", self.block);
        self.block
    }
}

const ROUNDS: usize = 200_000;
const MOST_HELD: usize = 24;

/// One thread of the run.
fn work(pool: &impl Shared, mut random: Random, inbox: &Receiver<Written>, peers: &[Sender<Written>]) -> usize {
    let mut held: Vec<Written> = Vec::new();
    let mut failures = 0;
    for round in 0..ROUNDS {
        held.extend(inbox.try_recv());
        match random.below(16) {
            0..8 if held.len() < MOST_HELD => {
                let most = 64 << random.below(8);
                let size = 1 + random.below(most);
                match pool.alloc(size) {
                    block if block.is_null() => failures += 1,
                    block => held.push(Written::new(block, size, random.next() as u8)),
                }
            }
            8..10 if !held.is_empty() => {
                let written = held.swap_remove(random.below(held.len()));
                // A thread that is done reads its inbox no more; what is sent to it then comes back.
                if let Err(returned) = peers[random.below(peers.len())].send(written) {
                    held.push(returned.0);
                }
            }
            10 if held.len() > 4 => {
                let rest = held.len() / 2;
                let blocks: Vec<*mut u8> = held.drain(rest..).map(Written::read).collect();
                pool.release_all(&blocks);
            }
            _ if !held.is_empty() => {
                let block = held.swap_remove(random.below(held.len())).read();
                pool.release(block).expect("the block is this thread's");
            }
            _ => {}
        }
        if round % 10_000 == 9_999 {
            pool.sweep();
        }
    }
    let blocks: Vec<*mut u8> = held.into_iter().map(Written::read).collect();
    pool.release_all(&blocks);
    failures
}

fn run(pool: &impl Shared, threads: usize) {
    let random = Random::from_environment();
    let gate = &Gate::new(threads);
    let (senders, inboxes): (Vec<_>, Vec<_>) = (0..threads).map(|_| channel()).unzip();
    let (leftover, failures) = thread::scope(|scope| {
        let spawn = |(number, inbox): (usize, Receiver<Written>)| {
            let (peers, random) = (senders.clone(), random.stream(number as u64));
            scope.spawn(move || {
                gate.pass();
                (work(pool, random, &inbox, &peers), inbox)
            })
        };
        let workers: Vec<_> = inboxes.into_iter().enumerate().map(spawn).collect();
        let done: Vec<_> =
            workers.into_iter().map(|worker| worker.join().expect("the thread found no fault")).collect();
        let failures = done.iter().map(|(failures, _)| failures).sum::<usize>();
        // All threads are done, so that what is in the inboxes now is all.
        (done.into_iter().flat_map(|(_, inbox)| inbox.try_iter().collect::<Vec<_>>()).collect::<Vec<_>>(), failures)
    });
    println!("{threads} threads: {failures} allocations failed, {} blocks were left in inboxes", leftover.len());
    for written in leftover {
        pool.release(written.read()).expect("the block is nobody's");
    }
}

/// The memory, and a pool with it in several heaps, odd ones among them.
fn pool() -> (Vec<u8>, Lockstep) {
    let mut memory = vec![0u8; 1 << 20];
    let mut pool = Lockstep::new(64, None);
    let base = memory.as_mut_ptr();
    // The heaps must be added by the pointer that may write.
    for range in [0..300_000, 300_000..300_300, 301_000..500_001, 500_001..1 << 20] {
        let heap = base.wrapping_add(range.start);
        let id = pool.pool.add_heap(heap, range.len()).expect("a heap");
        pool.oracle.add(id, heap.addr(), range.len());
    }
    (memory, pool)
}

fn quiesce(mut pool: Lockstep) {
    pool.check();
    pool.finish(|_| 0);
}

#[test]
fn blocks_handed_over_between_threads() {
    for threads in [2, 4, 7] {
        let (_memory, pool) = pool();
        run(&pool.pool, threads);
        quiesce(pool);
    }
}

#[test]
fn the_same_run_behind_a_mutex() {
    let (_memory, pool) = pool();
    run(&Locked(Mutex::new(&pool.pool)), 4);
    quiesce(pool);
}

#[test]
fn rayon_tasks() {
    let (_memory, pool) = pool();
    let shared = &pool.pool;
    let checked: usize = (0..200_000usize)
        .into_par_iter()
        .map(|number| {
            let size = 1 + number * 37 % 2000;
            let block = shared.hl_alloc(size);
            assert!(!block.is_null(), "a few tasks of 2 000 bytes at most fit into a MiB");
            let written = Written::new(block, size, number as u8);
            // Tasks within tasks, so that blocks are held while the thread does something else.
            let inner = if number % 64 == 0 {
                let blocks = (0..8).into_par_iter().map(|_| Written::new(shared.hl_alloc(100), 100, 7));
                let blocks: Vec<Written> = blocks.collect();
                blocks.into_par_iter().map(|written| shared.hl_release(written.read())).filter(Result::is_ok).count()
            } else {
                8
            };
            assert_eq!(inner, 8);
            shared.hl_release(written.read()).map_or(0, |()| 1)
        })
        .sum();
    assert_eq!(checked, 200_000);
    // These threads stay, and so does what they have cached.
    rayon::broadcast(|_| shared.flush_thread_cache());
    quiesce(pool);
}
