//! Ten thousand short threads with the crate's allocator as the global one: what they leave to each other lives on, and
//! when they are gone all of it is free again. Alone in its program, so that nobody else allocates while it counts.

#[path = "../common/mod.rs"]
mod common;

use std::collections::HashMap;
use std::sync::Mutex;
use std::thread;

use common::Random;
use mempool::{AllocatorStats, PoolAllocator};

#[global_allocator]
static ALLOCATOR: PoolAllocator = PoolAllocator::new();

/// Threads that run at the same time, and how often that number does.
const AT_ONCE: usize = 25;
const ROUNDS: usize = 400;

/// Blocks of one thread, which have its mark in all their bytes.
struct Left {
    mark: u8,
    blocks: Vec<Vec<u8>>,
}

/// What threads leave behind, each of them for a later one.
static LEFT: Mutex<Vec<Left>> = Mutex::new(Vec::new());

impl Left {
    fn new(random: &mut Random, mark: u8) -> Self {
        let size = |random: &mut Random| match random.below(20) {
            0 => random.below(300_000),
            1..4 => random.below(9000),
            _ => random.below(500),
        };
        Self { mark, blocks: (0..1 + random.below(40)).map(|_| vec![mark; size(random)]).collect() }
    }

    fn check(&self) {
        assert!(self.blocks.iter().flatten().all(|byte| *byte == self.mark), "blocks with {} were changed", self.mark);
    }

    /// Some blocks more, some longer and some gone, in the memory that another thread has left.
    fn change(&mut self, random: &mut Random) {
        for block in &mut self.blocks {
            block.resize(block.len() / 2 + random.below(200), self.mark);
            block.shrink_to_fit();
        }
        self.blocks.truncate(1 + random.below(40));
        self.blocks.push(vec![self.mark; random.below(70_000)]);
    }
}

/// The life of a short thread.
fn live(mut random: Random, mark: u8) {
    let words: HashMap<usize, String> = (0..random.below(60)).map(|number| (number, format!("{number:>9}"))).collect();
    assert!(words.iter().all(|(number, text)| text.len() == 9 && text.trim() == number.to_string()));
    let found = LEFT.lock().expect("nobody panics with the lock").pop();
    if let Some(mut found) = found {
        found.check();
        found.change(&mut random);
        // Some go on to a third thread, and further.
        let mut left = LEFT.lock().expect("nobody panics with the lock");
        if left.len() < AT_ONCE {
            left.push(found);
        }
    }
    let mine = Left::new(&mut random, mark);
    mine.check();
    LEFT.lock().expect("nobody panics with the lock").push(mine);
}

fn round(random: &Random, number: usize) {
    let start = |thread: usize| {
        let random = random.stream((number * AT_ONCE + thread) as u64);
        thread::spawn(move || live(random, (number * AT_ONCE + thread) as u8))
    };
    let threads: Vec<_> = (0..AT_ONCE).map(start).collect();
    threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
}

/// Bytes that are in use when nobody has anything.
fn at_rest() -> usize {
    std::mem::take(&mut *LEFT.lock().expect("nobody panics with the lock")).iter().for_each(Left::check);
    ALLOCATOR.sweep();
    let stats = ALLOCATOR.stats();
    stats.heap - stats.free
}

#[test]
fn ten_thousand_threads_leave_nothing() {
    let random = Random::from_environment();
    // What a program has only once is there then.
    round(&random, ROUNDS);
    let before = at_rest();
    (0..ROUNDS).for_each(|number| round(&random, number));
    let AllocatorStats { heap, caches, .. } = ALLOCATOR.stats();
    assert_eq!(at_rest(), before, "bytes in use, of a heap of {heap}");
    println!("{before} bytes are in use before and after; the heap grew to {heap} bytes, with {caches} caches");
    // The cache of an ended thread is that of a later one. Two are of this thread and of the one that waits for
    // it.
    assert!(caches <= AT_ONCE + 2, "{caches} caches");
}
