//! The pool with the caches of its threads and without, at 1, 2 and 4 threads, and how fast it merges.
//!
//! `cargo bench` runs all of it; `cargo bench -- pair` one workload. `time` is that of one pair, burst or batch, and
//! `thrpt` counts allocations with their releases, both as one thread sees them; where two threads do as many each in
//! the same time, they do twice the work. How other allocators do is in `compare/`; only the merging is beside that of
//! `buddy_system_allocator` here.
#![allow(clippy::disallowed_types, reason = "loom does not check benches")]

use std::alloc::{GlobalAlloc, Layout};
use std::hint::black_box;
use std::ptr;
use std::sync::{Barrier, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use buddy_system_allocator::LockedHeap;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mempool::{MemoryPool, OffsetPool, PoolAllocator};
use recordings::Region;

const THREADS: [usize; 3] = [1, 2, 4];
const GIB: usize = 1 << 30;
const MIB: usize = 1 << 20;
const BURST: usize = 1000;
const BATCH: usize = 256;

fn region(size: usize) -> Region {
    Region::new(size).expect("the system has the memory")
}

/// Makes a pool without heaps.
type Make = fn() -> MemoryPool;

/// The pools whose figures are beside each other.
const POOLS: [(&str, Make); 2] = [("cached", MemoryPool::new), ("without cache", without_cache)];

fn without_cache() -> MemoryPool {
    MemoryPool::builder().thread_cache(0).build().expect("sizes as by default")
}

/// What both sides of the merging can do.
trait Subject: Sync {
    const NAME: &'static str;
    fn over(region: &Region) -> Self;
    fn alloc(&self, size: usize) -> *mut u8;
    fn release(&self, block: *mut u8, size: usize);
    fn sweep(&self) {}
}

impl Subject for MemoryPool {
    const NAME: &'static str = "heapmaster";

    fn over(region: &Region) -> Self {
        // Caches would keep blocks from the merging that is timed.
        with_heap(without_cache(), region)
    }

    fn alloc(&self, size: usize) -> *mut u8 {
        self.hl_alloc(size)
    }

    fn release(&self, block: *mut u8, _: usize) {
        self.hl_release(block).expect("the block is live");
    }

    fn sweep(&self) {
        black_box(MemoryPool::sweep(self));
    }
}

fn with_heap(pool: MemoryPool, region: &Region) -> MemoryPool {
    pool.add_heap(region.base(), region.size()).expect("a fresh region");
    pool
}

impl Subject for LockedHeap<31> {
    const NAME: &'static str = "buddy_system_allocator";

    fn over(region: &Region) -> Self {
        let heap = LockedHeap::new();
        // SAFETY: the region outlives the subject, as all users of this trait see to.
        unsafe { heap.lock().init(region.base().expose_provenance(), region.size()) };
        heap
    }

    fn alloc(&self, size: usize) -> *mut u8 {
        // SAFETY: no workload asks for 0 bytes.
        unsafe { GlobalAlloc::alloc(self, layout(size)) }
    }

    fn release(&self, block: *mut u8, size: usize) {
        // SAFETY: the workloads release what they allocated, with its size.
        unsafe { GlobalAlloc::dealloc(self, block, layout(size)) };
    }
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 1).expect("a small size")
}

fn alloc(subject: &impl Subject, size: usize) -> *mut u8 {
    let block = subject.alloc(size);
    assert!(!block.is_null());
    block
}

/// The time that `threads` threads take to do `work` each, started together.
fn timed(threads: usize, work: impl Fn() + Sync) -> Duration {
    let start = Barrier::new(threads + 1);
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    work();
                })
            })
            .collect();
        start.wait();
        let begun = Instant::now();
        for thread in running {
            thread.join().expect("the work does not panic");
        }
        begun.elapsed()
    })
}

/// 64 bytes, released at once.
fn pair(pool: &MemoryPool, threads: usize, count: u64) -> Duration {
    timed(threads, || {
        for _ in 0..count {
            Subject::release(pool, black_box(alloc(pool, 64)), 64);
        }
    })
}

/// 1 000 blocks of 64 bytes, then 1 000 releases.
fn burst(pool: &MemoryPool, threads: usize, count: u64) -> Duration {
    timed(threads, || {
        let mut blocks = Vec::with_capacity(BURST);
        for _ in 0..count {
            blocks.extend((0..BURST).map(|_| alloc(pool, 64)));
            blocks.drain(..).for_each(|block| Subject::release(pool, black_box(block), 64));
        }
    })
}

/// Batches of 256 blocks of 64 to 512 bytes: at 2 threads one allocates and the other releases, at 4 there are two such
/// pairs.
fn producer_and_consumer(pool: &MemoryPool, region: &Region, threads: usize, count: u64) -> Duration {
    let size = |place: usize| 64 << (place % 4);
    let produce = || -> Vec<usize> { (0..BATCH).map(|place| alloc(pool, size(place)).addr()).collect() };
    let consume = |batch: Vec<usize>| {
        for (place, block) in batch.into_iter().enumerate() {
            Subject::release(pool, region.base().with_addr(block), size(place));
        }
    };
    if threads == 1 {
        return timed(1, || (0..count).for_each(|_| consume(produce())));
    }
    timed(threads / 2, || {
        let (sender, receiver) = mpsc::sync_channel(8);
        thread::scope(|scope| {
            scope.spawn(|| receiver.into_iter().for_each(&consume));
            let sender = sender;
            (0..count).for_each(|_| sender.send(produce()).expect("the consumer is there"));
        });
    })
}

/// One workload, by several threads, on each kind of pool; `work` does it as often as it is told, and each time is
/// `pairs` allocations and releases.
fn sweep_threads(
    criterion: &mut Criterion,
    name: &str,
    pairs: usize,
    work: impl Fn(&MemoryPool, &Region, usize, u64) -> Duration,
) {
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(pairs as u64));
    for (kind, pool) in POOLS {
        for threads in THREADS {
            let region = region(GIB);
            let pool = with_heap(pool(), &region);
            group.bench_function(BenchmarkId::new(kind, threads), |bencher| {
                bencher.iter_custom(|count| work(&pool, &region, threads, count));
            });
        }
    }
    group.finish();
}

/// A heap of 64 MiB that lies in 64-byte blocks: all of them released in address order, and merged to one.
fn coalesce<S: Subject>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    timed: impl Fn(&S, &[*mut u8]) -> Duration,
) {
    let region = region(64 * MIB);
    let subject = S::over(&region);
    let count = 64 * MIB / 64;
    group.throughput(Throughput::Elements(count as u64));
    group.bench_function(BenchmarkId::new(S::NAME, name), |bencher| {
        bencher.iter_custom(|rounds| {
            let mut total = Duration::ZERO;
            for _ in 0..rounds {
                let mut blocks: Vec<*mut u8> = (0..count).map(|_| alloc(&subject, 64)).collect();
                blocks.sort_unstable();
                total += timed(&subject, &blocks);
                let whole = subject.alloc(64 * MIB);
                assert!(!whole.is_null(), "the heap is not merged to one block");
                subject.release(whole, 64 * MIB);
            }
            total
        });
    });
}

fn release_all(subject: &impl Subject, blocks: &[*mut u8]) {
    blocks.iter().for_each(|block| subject.release(*block, 64));
}

fn release_and_sweep<S: Subject>(subject: &S, blocks: &[*mut u8]) -> Duration {
    let begun = Instant::now();
    release_all(subject, blocks);
    subject.sweep();
    begun.elapsed()
}

fn sweep_only<S: Subject>(subject: &S, blocks: &[*mut u8]) -> Duration {
    release_all(subject, blocks);
    let begun = Instant::now();
    subject.sweep();
    begun.elapsed()
}

/// Pairs of 64 bytes, by one thread: in one pool of memory or of offsets, one heap or one allocator, then in two of
/// them in turn; and past the cache in one heap and in many.
fn in_turn(criterion: &mut Criterion) {
    const HEAPS: usize = 4000;
    let mut group = criterion.benchmark_group("in_turn");
    let mut bench = |name: &str, pair: &mut dyn FnMut(usize)| {
        let mut turn = 0;
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                turn += 1;
                pair(turn);
            });
        });
    };
    // There is no memory at these addresses: a pool never looks.
    let add = |pool: &MemoryPool, number: usize, size| {
        pool.add_heap(ptr::without_provenance_mut(GIB + number * MIB), size).expect("nothing else is there")
    };
    let pools = [MemoryPool::new(), MemoryPool::new()];
    pools.iter().for_each(|pool| _ = add(pool, 0, MIB));
    bench("one pool", &mut |_| Subject::release(&pools[0], black_box(alloc(&pools[0], 64)), 64));
    bench("two pools", &mut |turn| Subject::release(&pools[turn % 2], black_box(alloc(&pools[turn % 2], 64)), 64));

    let pools = [0, 1].map(|_| OffsetPool::builder().min_block(64).build().expect("valid"));
    pools.iter().for_each(|pool| _ = pool.add_range(0, MIB as u64).expect("the only range"));
    let pair = |pool: &OffsetPool| {
        let block = pool.alloc(64, 1).expect("nothing is live");
        pool.release(black_box(block)).expect("it is live");
    };
    bench("one pool of offsets", &mut |_| pair(&pools[0]));
    bench("two pools of offsets", &mut |turn| pair(&pools[turn % 2]));

    let pool = MemoryPool::new();
    let heaps = [0, 1].map(|number| add(&pool, number, MIB));
    let pair = |heap| {
        let block = pool.alloc_in(heap, Layout::new::<[u8; 64]>()).expect("nothing is live");
        pool.release(black_box(block)).expect("it is live");
    };
    bench("one heap of two", &mut |_| pair(heaps[0]));
    bench("two heaps", &mut |turn| pair(heaps[turn % 2]));

    let allocators = [PoolAllocator::new(), PoolAllocator::new()];
    let pair = |allocator: &PoolAllocator| {
        let layout = Layout::new::<[u8; 64]>();
        // SAFETY: the size is not 0, and the block is released as it was allocated.
        unsafe { allocator.dealloc(black_box(allocator.alloc(layout)), layout) };
    };
    bench("one allocator", &mut |_| pair(&allocators[0]));
    bench("two allocators", &mut |turn| pair(&allocators[turn % 2]));

    for count in [1, HEAPS] {
        let pool = without_cache();
        (0..count).for_each(|number| _ = add(&pool, number, 4096));
        let name = format!("without a cache, {count} heaps");
        bench(&name, &mut |_| Subject::release(&pool, black_box(alloc(&pool, 64)), 64));
    }
    group.finish();
}

fn core(criterion: &mut Criterion) {
    sweep_threads(criterion, "pair", 1, |pool, _, threads, count| pair(pool, threads, count));
    sweep_threads(criterion, "burst", BURST, |pool, _, threads, count| burst(pool, threads, count));
    sweep_threads(criterion, "producer_and_consumer", BATCH, producer_and_consumer);

    in_turn(criterion);

    let mut group = criterion.benchmark_group("coalesce_64_MiB");
    group.sample_size(10);
    coalesce::<MemoryPool>(&mut group, "sweep alone", sweep_only);
    coalesce::<MemoryPool>(&mut group, "release and merge", release_and_sweep);
    coalesce::<LockedHeap<31>>(&mut group, "release and merge", release_and_sweep);
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2));
    targets = core
}
criterion_main!(benches);
