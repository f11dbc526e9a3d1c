//! A program whose global allocator is this crate's: it counts the words of a text with several threads, shows what
//! its memory is like at the most and at the end, and gives what it does not need any more back.
//!
//! ```text
//! cargo run --release --example global_allocator
//! ```

use std::collections::HashMap;
use std::thread;

use mempool::PoolAllocator;

/// At most half a GiB: what goes beyond fails, as everywhere where memory is short.
#[global_allocator]
static ALLOCATOR: PoolAllocator = PoolAllocator::with_limit(512 << 20);

/// Words that none of the threads has in the same order.
fn words(thread: usize, count: usize) -> impl Iterator<Item = String> {
    const SYLLABLES: [&str; 8] = ["ba", "li", "nor", "te", "gu", "sal", "mi", "dro"];
    let mut state = thread as u64 + 1;
    let mut next = move || {
        // The next number of a linear congruential generator (Knuth's MMIX).
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    (0..count).map(move |_| (0..2 + next() % 4).map(|_| SYLLABLES[next() % SYLLABLES.len()]).collect())
}

fn count(thread: usize) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for word in words(thread, 200_000) {
        *counts.entry(word).or_default() += 1;
    }
    counts
}

fn main() {
    println!("before:         {}", ALLOCATOR.stats());
    let threads = thread::available_parallelism().map_or(2, usize::from);
    let counts: Vec<HashMap<String, usize>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|number| scope.spawn(move || count(number))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no thread panics")).collect()
    });
    println!("with the words: {}", ALLOCATOR.stats());

    let mut all: HashMap<String, usize> = HashMap::new();
    for (word, count) in counts.into_iter().flatten() {
        *all.entry(word).or_default() += count;
    }
    let mut most: Vec<(&String, &usize)> = all.iter().collect();
    most.sort_by_key(|(word, count)| (std::cmp::Reverse(**count), word.as_str()));
    println!("{} words of {threads} threads; the most frequent: {:?}", all.len(), &most[..3]);
    drop(all);

    let trimmed = ALLOCATOR.trim();
    println!("without them:   {}; {} KiB went back to the system", ALLOCATOR.stats(), trimmed / 1024);

    // Where the limit is reached, the program is told, and goes on.
    let mut huge: Vec<u8> = Vec::new();
    let refused = huge.try_reserve(1 << 30).expect_err("it is more than the limit");
    println!("1 GiB:          {refused}");
}
