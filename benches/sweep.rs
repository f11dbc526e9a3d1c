//! How fast a sweep is: with nothing to merge, merging a heap that lies in single blocks, and beside another thread.
//!
//! `cargo bench --bench sweep`; `-- nothing`, `-- coalesce` or `-- beside` for one part. The heap is one of 1 GiB in blocks of 64
//! bytes, 16 million of them; `SWEEP_MIB=64` makes it one of 64 MiB. `time` is that of one sweep of all of it, and `thrpt` counts
//! its blocks of 64 bytes: 2 Gelem/s are 0.5 ns each. What criterion has no place for is printed below each case. The heap is never
//! touched: only the tables cost memory, 6 bytes and a bit for each block, and the list of the blocks.
#![allow(clippy::disallowed_types, reason = "loom does not check benches")]

use std::alloc::Layout;
use std::env;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use mempool::MemoryPool;

const UNIT: usize = 64;
const BATCH: usize = 256;

/// Allocations after a sweep, each of which is timed.
const FIRST: usize = 1000;

/// Memory that is never touched.
struct Region {
    base: *mut u8,
    layout: Layout,
}

impl Region {
    fn new(size: usize) -> Self {
        let layout = Layout::from_size_align(size, 1 << 30).expect("a power of two");
        // SAFETY: the size is not 0.
        let base = unsafe { std::alloc::alloc(layout) };
        assert!(!base.is_null(), "{size} bytes are not to be had");
        Self { base, layout }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout by `new`.
        unsafe { std::alloc::dealloc(self.base, self.layout) };
    }
}

/// A pool over a region, all of which the program has in single units.
struct Full {
    pool: MemoryPool,
    region: Region,
    units: u32,
}

impl Full {
    fn new(size: usize, cache: Option<usize>) -> Self {
        let builder = MemoryPool::builder().min_block(UNIT);
        let builder = if let Some(cache) = cache { builder.thread_cache(cache) } else { builder };
        let pool = builder.build().expect("a right configuration");
        let region = Region::new(size);
        pool.add_heap(region.base, size).expect("a fresh region");
        Self { pool, region, units: (size / UNIT) as u32 }
    }

    /// Takes all units, past the caches.
    fn fill(&self) {
        let unit = Layout::from_size_align(UNIT, 1).expect("a small size");
        let mut batch = [std::ptr::null_mut(); 1 << 12];
        while self.pool.alloc_batch(unit, &mut batch).is_ok_and(|count| count == batch.len()) {}
        assert_eq!(self.pool.stats().free, 0);
    }

    fn unit(&self, unit: u32) -> *mut u8 {
        self.region.base.wrapping_add(unit as usize * UNIT)
    }

    /// Releases them in this order, past the caches.
    fn release(&self, units: impl Iterator<Item = u32>) {
        let mut batch = Vec::with_capacity(BATCH);
        let flush = |batch: &mut Vec<*mut u8>| {
            self.pool.release_batch(batch).expect("they are live");
            batch.clear();
        };
        for unit in units {
            batch.push(self.unit(unit));
            if batch.len() == BATCH {
                flush(&mut batch);
            }
        }
        flush(&mut batch);
    }

    /// Takes the whole again, as one block, and cuts it.
    fn refill(&self) {
        self.pool.flush_thread_cache();
        self.pool.sweep();
        let size = self.region.layout.size();
        assert_eq!(self.pool.largest_free_block(), size, "the heap is not merged to one block");
        self.fill();
    }
}

/// In which order blocks are released.
#[derive(Clone, Copy, Debug)]
enum By {
    Address,
    Random,
    RandomWithin(usize),
}

impl By {
    fn name(self) -> String {
        match self {
            Self::Address => "in address order".into(),
            Self::Random => "in random order".into(),
            Self::RandomWithin(units) => format!("in random order within {units}"),
        }
    }

    /// A heap, all of it in single units that are live, and the order in which they are to be released.
    fn prepare(self, cache: Option<usize>) -> (Full, Vec<u32>) {
        let heap = Full::new(heap_size(), cache);
        let order = self.units(heap.units);
        heap.fill();
        (heap, order)
    }

    fn units(self, count: u32) -> Vec<u32> {
        let mut units: Vec<u32> = (0..count).collect();
        let mut random = Random(1);
        match self {
            Self::Address => {}
            Self::Random => random.shuffle(&mut units),
            Self::RandomWithin(within) => units.chunks_mut(within).for_each(|units| random.shuffle(units)),
        }
        units
    }
}

/// splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    fn shuffle(&mut self, units: &mut [u32]) {
        for last in (1..units.len()).rev() {
            let other = ((u128::from(self.next()) * (last as u128 + 1)) >> 64) as usize;
            units.swap(last, other);
        }
    }
}

/// Time of a sweep.
fn sweep(pool: &MemoryPool) -> Duration {
    let begun = Instant::now();
    black_box(pool.sweep());
    begun.elapsed()
}

/// Bytes of the heap. `cargo test --benches` wants each case once, to see whether it works.
fn heap_size() -> usize {
    let default = if env::args().any(|argument| argument == "--bench") { 1024 } else { 4 };
    env::var("SWEEP_MIB").ok().and_then(|number| number.parse().ok()).unwrap_or(default) << 20
}

/// Prints the best, the median and the worst of some figures.
fn print(what: &str, unit: &str, mut figures: Vec<f64>) {
    figures.sort_by(f64::total_cmp);
    if let [first, .., last] = figures[..] {
        println!("    {what}, {unit}: {first:.1} to {last:.1}, median {:.1}\n", figures[figures.len() / 2]);
    }
}

/// A sweep of a heap in which every second block is free, or none, or blocks of all sizes are: nothing can be merged.
fn nothing_to_merge(group: &mut BenchmarkGroup<'_, WallTime>) {
    let heap = Full::new(heap_size(), Some(0));
    let mut measure = |what: &str| {
        group.bench_function(format!("nothing to merge, {what}"), |bencher| {
            bencher.iter(|| assert_eq!(black_box(heap.pool.sweep()).merges, 0));
        });
    };
    heap.fill();
    measure("all live");
    heap.release((0..heap.units).step_by(2));
    heap.pool.sweep();
    measure("every second block of 64 B free");
    heap.release((1..heap.units).step_by(2));
    heap.pool.sweep();
    let mut blocks = Vec::new();
    let mut random = Random(2);
    loop {
        let block = heap.pool.hl_alloc(UNIT << random.next().trailing_zeros().min(4));
        if block.is_null() {
            break;
        }
        blocks.push(block);
    }
    measure("blocks of 64 B to 1 KiB, all live");
    for block in blocks {
        if random.next().is_multiple_of(2) {
            heap.pool.hl_release(block).expect("it is live");
        }
    }
    heap.pool.sweep();
    measure("blocks of 64 B to 1 KiB, half of them free");
}

/// A sweep of a heap that lies in free single units, and the allocations after it.
fn coalesce(group: &mut BenchmarkGroup<'_, WallTime>, by: By) {
    let mut slowest = Vec::new();
    let mut prepared = None;
    group.bench_function(format!("coalesce, released {}", by.name()), |bencher| {
        let (heap, order) = prepared.get_or_insert_with(|| by.prepare(Some(0)));
        bencher.iter_custom(|rounds| {
            let mut total = Duration::ZERO;
            for _ in 0..rounds {
                heap.release(order.iter().copied());
                total += sweep(&heap.pool);
                slowest.push(slowest_of_first(heap).as_nanos() as f64 / 1e3);
                heap.refill();
            }
            total
        });
    });
    print(&format!("slowest of the first {FIRST} allocations afterwards"), "us", slowest);
}

/// Takes blocks of four sizes, each of which is timed, and releases them.
fn slowest_of_first(heap: &Full) -> Duration {
    // Written to beforehand, so that no page of it is met for the first time.
    let mut first = vec![(std::ptr::null_mut(), Duration::from_secs(1)); FIRST];
    let mut latest = Instant::now();
    for (place, first) in first.iter_mut().enumerate() {
        let block = heap.pool.hl_alloc(UNIT << (place % 4 * 2));
        let now = Instant::now();
        *first = (block, now - latest);
        latest = now;
    }
    first.iter().for_each(|(block, _)| heap.pool.hl_release(*block).expect("it is live"));
    first.iter().map(|(_, took)| *took).max().unwrap_or_default()
}

/// How long another thread works alone, before the heap is swept beside it.
const ALONE: Duration = Duration::from_millis(100);

/// What another thread does while the heap is swept.
#[derive(Clone, Copy, Debug)]
enum Work {
    /// An allocation, and its release.
    Pairs,
    /// 1 000 allocations, and their releases.
    Bursts,
}

impl Work {
    /// Does it until told to stop; tells when it has done so for [`ALONE`], after a few for a start, and since when; and returns how many
    /// allocations there were, and when.
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

/// A sweep of a heap that lies in free single units, and the throughput of another thread meanwhile, as a share of what it has
/// alone: by the clock, and, for machines that are not idle, by the time that it ran.
fn beside(group: &mut BenchmarkGroup<'_, WallTime>, by: By, kind: &str, cache: Option<usize>, work: Work) {
    let mut shares = [Vec::new(), Vec::new()];
    let mut prepared = None;
    let name = format!("beside another thread's {work:?}, {kind}, released {}", by.name());
    group.bench_function(name, |bencher| {
        let (heap, order) = prepared.get_or_insert_with(|| by.prepare(cache));
        bencher.iter_custom(|rounds| {
            let mut total = Duration::ZERO;
            for _ in 0..rounds {
                heap.release(order.iter().copied());
                let (took, [by_clock, by_run]) = sweep_beside(&heap.pool, work);
                total += took;
                shares[0].push(by_clock);
                shares[1].push(by_run);
                heap.refill();
            }
            total
        });
    });
    let [by_clock, by_run] = shares;
    print("throughput of the other thread, % of alone", "by the clock", by_clock);
    print("throughput of the other thread, % of alone", "by the time that it ran", by_run);
}

/// How long a sweep took, and the throughput of another thread meanwhile, in percent of what it has alone.
fn sweep_beside(pool: &MemoryPool, work: Work) -> (Duration, [f64; 2]) {
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

fn sweeps(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sweep");
    group.throughput(Throughput::Elements((heap_size() / UNIT) as u64));
    nothing_to_merge(&mut group);
    for by in [By::Address, By::Random, By::RandomWithin(4096)] {
        coalesce(&mut group, by);
    }
    for by in [By::Address, By::Random] {
        for (kind, cache) in [("cached", None), ("without cache", Some(0))] {
            for work in [Work::Pairs, Work::Bursts] {
                beside(&mut group, by, kind, cache, work);
            }
        }
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_secs(1));
    targets = sweeps
}
criterion_main!(benches);
