//! A replay: several threads through one pool, each playing the whole trace on its own objects. The threads and the
//! sums over them; what one thread does is in `player.rs`.

use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicIsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use mempool::{AllocError, MemoryPool};
use recordings::Trace;

use crate::player::{Name, Player, Turn};

/// Most objects on their way from one thread to the next, so that one that is far behind does not keep all the memory.
const ON_THE_WAY: usize = 1024;

/// A replay, before, between and after its parts.
#[derive(Debug)]
pub struct Replay<'a> {
    shared: Shared<'a>,
    players: Vec<Player>,
    /// The time that threads were playing.
    pub elapsed: Duration,
}

/// The state that all threads share.
#[derive(Debug)]
pub struct Shared<'a> {
    pub pool: &'a MemoryPool,
    /// Of 100 releases, as many are left to the next thread.
    pub handed_over: u32,
    pub progress: ProgressBar,
    /// Requested bytes.
    pub live: Sum,
    /// Bytes of the blocks.
    pub held: Sum,
}

/// Bytes of all threads.
#[derive(Debug, Default)]
pub struct Sum {
    now: AtomicIsize,
    peak: AtomicIsize,
}

impl Sum {
    /// A thread adds a change when it has this number of bytes, so the peak is exact to as many bytes a thread.
    pub const STEP: usize = 64 << 10;

    pub fn add(&self, bytes: isize) {
        // Relaxed: a figure; it publishes nothing.
        let now = self.now.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.peak.fetch_max(now, Ordering::Relaxed);
    }

    fn now(&self) -> usize {
        // Relaxed: as above. What one thread adds another may have taken off before, so it can be below 0 in between.
        usize::try_from(self.now.load(Ordering::Relaxed)).unwrap_or(0)
    }

    fn peak(&self) -> usize {
        // Relaxed: as above.
        usize::try_from(self.peak.load(Ordering::Relaxed)).unwrap_or(0)
    }
}

/// Counts of a replay.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Allocations, reallocations and releases that were done.
    pub operations: u64,
    pub resized_in_place: u64,
    pub moved: u64,
    /// Releases by another thread than the one that allocated.
    pub handed_over: u64,
    /// Times that a pattern was checked.
    pub checks: u64,
    /// Allocations and reallocations for which there was no memory.
    pub failures: u64,
    pub first_failure: Option<AllocError>,
    /// Blocks found changed or refused by the pool. There is no other reason than an error of the pool.
    pub faults: u64,
    pub first_fault: Option<String>,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.operations += other.operations;
        self.resized_in_place += other.resized_in_place;
        self.moved += other.moved;
        self.handed_over += other.handed_over;
        self.checks += other.checks;
        self.failures += other.failures;
        self.first_failure = self.first_failure.or(other.first_failure);
        self.faults += other.faults;
        self.first_fault = self.first_fault.take().or_else(|| other.first_fault.clone());
    }

    pub fn failure(&mut self, error: AllocError) {
        self.failures += 1;
        self.first_failure.get_or_insert(error);
    }

    pub fn fault(&mut self, name: Name, what: impl fmt::Display) {
        self.faults += 1;
        self.first_fault.get_or_insert_with(|| format!("{name}: {what}"));
    }
}

impl<'a> Replay<'a> {
    /// A replay of `trace` by `threads` threads through `pool`. Of 100 releases, `handed_over` are left to the next
    /// thread.
    pub fn new(pool: &'a MemoryPool, trace: &Trace, threads: u32, handed_over: u32, progress: ProgressBar) -> Self {
        let handed_over = if threads > 1 { handed_over } else { 0 };
        Self {
            shared: Shared { pool, handed_over, progress, live: Sum::default(), held: Sum::default() },
            players: (0..threads).map(|thread| Player::new(thread, trace.objects)).collect(),
            elapsed: Duration::ZERO,
        }
    }

    /// All threads play these events of `trace`, and release what was handed to them. If the range ends with the trace,
    /// they also release what is live then.
    pub fn play(&mut self, trace: &Trace, range: Range<usize>) {
        let start = Instant::now();
        let over = range.end == trace.events.len();
        let events = &trace.events[range];
        let (mut inputs, outputs): (Vec<_>, Vec<_>) = self.players.iter().map(|_| sync_channel(ON_THE_WAY)).unzip();
        // Each to the next one, the last one to the first.
        inputs.rotate_left(1);
        let shared = &self.shared;
        thread::scope(|scope| {
            let players = self.players.iter_mut().zip(inputs).zip(outputs).map(|((player, next), handed)| {
                scope.spawn(move || {
                    let mut turn = Turn::new(shared, player, handed);
                    turn.play(events, &next);
                    if over {
                        turn.release_all();
                    }
                    // Once all threads have come here, nothing more is on its way.
                    drop(next);
                    turn.finish();
                })
            });
            // Until each is gone, not only done: then the pool may have what it cached.
            let players: Vec<_> = players.collect();
            players.into_iter().for_each(|player| player.join().expect("a player does not panic"));
        });
        self.elapsed += start.elapsed();
    }

    /// Live requested bytes, and those of their blocks. Exact between the parts of a replay.
    pub fn now(&self) -> (usize, usize) {
        (self.shared.live.now(), self.shared.held.now())
    }

    /// The most that there were of each.
    pub fn peaks(&self) -> (usize, usize) {
        (self.shared.live.peak(), self.shared.held.peak())
    }

    /// How many threads play.
    pub fn threads(&self) -> usize {
        self.players.len()
    }

    /// The counts so far.
    pub fn tally(&self) -> Tally {
        let mut sum = Tally::default();
        for player in &self.players {
            sum.add(&player.tally);
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use recordings::Region;
    use recordings::{SQLITE3, block_size};

    const MIN_BLOCK: usize = 64;

    fn trace(text: &str) -> Trace {
        Trace::read(text.as_bytes()).unwrap()
    }

    fn pool_over(region: &Region) -> MemoryPool {
        let pool = MemoryPool::builder().min_block(MIN_BLOCK).build().unwrap();
        pool.add_heap(region.base(), region.size()).unwrap();
        pool
    }

    fn assert_empty(pool: &MemoryPool, region: &Region) {
        pool.sweep();
        let blocks: Vec<_> = pool.heap_map().collect();
        assert_eq!(blocks.len(), 1, "one free block of the heap's size");
        assert_eq!((blocks[0].size, blocks[0].state), (region.size(), mempool::BlockState::Free));
    }

    #[test]
    fn two_threads_end_with_one_free_block() {
        let trace = Trace::read(SQLITE3).unwrap();
        // As much as is over before the table is in memory.
        let trace = Trace { events: trace.events[..20_000].to_vec(), ..trace };
        let peak = trace.peak(MIN_BLOCK);
        let region = Region::new(32 << 20).unwrap();
        let pool = pool_over(&region);
        let mut replay = Replay::new(&pool, &trace, 2, 50, ProgressBar::hidden());
        replay.play(&trace, 0..peak.events);
        // All that was handed over was released, so every thread has its peak.
        let (live, held) = replay.now();
        assert_eq!((live, held), (2 * peak.live, pool.stats().live));
        replay.play(&trace, peak.events..trace.events.len());
        let tally = replay.tally();
        assert_eq!((tally.failures, tally.faults, tally.first_fault), (0, 0, None));
        assert!(tally.operations >= 2 * 20_000 && tally.handed_over > 0);
        assert!(replay.peaks().0 >= live && replay.now() == (0, 0));
        assert_empty(&pool, &region);
    }

    #[test]
    fn sizes_of_zero_alignments_and_reallocations() {
        let trace = trace("a 0 0 0\nz 0 1 100 4096\nr 0 0 5000\nr 0 1 50\na 0 2 64\nr 0 0 0\nr 0 2 128\nf 0 2\n");
        let region = Region::new(1 << 16).unwrap();
        let pool = pool_over(&region);
        let mut replay = Replay::new(&pool, &trace, 1, 0, ProgressBar::hidden());
        replay.play(&trace, 0..7);
        assert_eq!(replay.now(), (1 + 50 + 128, 64 + 64 + 128));
        assert_eq!(pool.stats().live, replay.now().1);
        replay.play(&trace, 7..8);
        let tally = replay.tally();
        // With the two that were live at the end.
        assert_eq!((tally.operations, tally.failures, tally.faults), (10, 0, 0));
        assert_empty(&pool, &region);
    }

    #[test]
    fn an_overwritten_byte_is_a_fault() {
        let trace = trace("a 0 0 100\na 0 1 300\nr 0 1 200\nf 0 0\nf 0 1\n");
        let region = Region::new(1 << 16).unwrap();
        for (object, offset) in [(0, 99), (1, 7)] {
            let pool = pool_over(&region);
            let mut replay = Replay::new(&pool, &trace, 1, 0, ProgressBar::hidden());
            replay.play(&trace, 0..2);
            let size = if object == 0 { block_size_of(100) } else { block_size_of(300) };
            let block = pool.heap_map().find(|block| block.size == size && block.state == mempool::BlockState::Live);
            // SAFETY: inside the region; no thread is playing.
            unsafe { *region.base().add(block.unwrap().offset + offset) ^= 1 };
            replay.play(&trace, 2..5);
            let tally = replay.tally();
            let expected = format!("object {object} of thread 0: byte {offset} of ");
            assert!(tally.faults > 0 && tally.first_fault.unwrap().starts_with(&expected));
            assert_empty(&pool, &region);
        }
    }

    #[test]
    fn a_block_that_is_taken_away_is_a_fault() {
        let trace = trace("a 0 0 100\nf 0 0\n");
        let region = Region::new(1 << 16).unwrap();
        let pool = pool_over(&region);
        let mut replay = Replay::new(&pool, &trace, 1, 0, ProgressBar::hidden());
        replay.play(&trace, 0..1);
        let block = pool.heap_map().find(|block| block.state == mempool::BlockState::Live).unwrap();
        pool.hl_release(region.base().wrapping_add(block.offset)).unwrap();
        replay.play(&trace, 1..2);
        let fault = replay.tally().first_fault.unwrap();
        assert!(fault.contains("no live block is at the address"), "{fault}");
    }

    #[test]
    fn where_memory_is_short_failures_are_counted_and_the_rest_is_played() {
        let trace = trace("a 0 0 40000\na 0 1 40000\na 0 2 100\nr 0 2 70000\nr 0 1 10\nf 0 1\nf 0 0\n");
        let region = Region::new(1 << 16).unwrap();
        let pool = pool_over(&region);
        let mut replay = Replay::new(&pool, &trace, 1, 0, ProgressBar::hidden());
        replay.play(&trace, 0..trace.events.len());
        let tally = replay.tally();
        // The first object takes the whole heap.
        assert_eq!((tally.operations, tally.failures, tally.faults), (2, 2, 0));
        assert!(matches!(tally.first_failure, Some(AllocError::OutOfMemory { requested: 40000, .. })));
        assert_empty(&pool, &region);
    }

    fn block_size_of(size: usize) -> usize {
        block_size(std::alloc::Layout::from_size_align(size, 16).unwrap(), MIN_BLOCK)
    }
}
