//! The core without caches, beside the locked heap of `buddy_system_allocator` on the same work, at 1 and 2 threads.
//!
//! `cargo bench` runs all of it; `cargo bench -- pair` one workload. Every figure is the time of one allocation with
//! its release, as one thread sees it; where two threads do as many each in the same time, they do twice the work.
#![allow(clippy::disallowed_types, reason = "loom does not check benches")]

use std::alloc::{GlobalAlloc, Layout, alloc_zeroed, dealloc};
use std::hint::black_box;
use std::sync::{Barrier, mpsc};
use std::time::{Duration, Instant};

use buddy_system_allocator::LockedHeap;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mempool::MemoryPool;

const GIB: usize = 1 << 30;
const MIB: usize = 1 << 20;
const BURST: usize = 1000;
const BATCH: usize = 256;

/// Zeroed memory, aligned to its size, that costs only what is touched.
struct Region {
    base: *mut u8,
    layout: Layout,
}

impl Region {
    fn new(size: usize) -> Self {
        let layout = Layout::from_size_align(size, size.min(GIB)).expect("a power of two");
        // SAFETY: the size is not 0.
        let base = unsafe { alloc_zeroed(layout) };
        assert!(!base.is_null(), "{size} bytes are not to be had");
        Self { base, layout }
    }
}

impl Region {
    /// The pointer into the region with this address.
    fn at(&self, address: usize) -> *mut u8 {
        self.base.with_addr(address)
    }
}

// SAFETY: the region is only a base for pointers; whoever writes through them answers for that.
unsafe impl Sync for Region {}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout by `new`.
        unsafe { dealloc(self.base, self.layout) };
    }
}

/// What both sides can do.
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
        let pool = MemoryPool::new();
        pool.add_heap(region.base, region.layout.size()).expect("a fresh region");
        pool
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

impl Subject for LockedHeap<31> {
    const NAME: &'static str = "buddy_system_allocator";

    fn over(region: &Region) -> Self {
        let heap = LockedHeap::new();
        // SAFETY: the region outlives the subject, as all users of this trait see to.
        unsafe { heap.lock().init(region.base.expose_provenance(), region.layout.size()) };
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
    std::thread::scope(|scope| {
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
fn pair<S: Subject>(group: &mut BenchmarkGroup<'_, WallTime>) {
    for threads in [1, 2] {
        let region = Region::new(GIB);
        let subject = S::over(&region);
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new(S::NAME, threads), |bencher| {
            bencher.iter_custom(|count| {
                timed(threads, || {
                    for _ in 0..count {
                        subject.release(black_box(alloc(&subject, 64)), 64);
                    }
                })
            });
        });
    }
}

/// 1 000 blocks of 64 bytes, then 1 000 releases.
fn burst<S: Subject>(group: &mut BenchmarkGroup<'_, WallTime>) {
    for threads in [1, 2] {
        let region = Region::new(GIB);
        let subject = S::over(&region);
        group.throughput(Throughput::Elements(BURST as u64));
        group.bench_function(BenchmarkId::new(S::NAME, threads), |bencher| {
            bencher.iter_custom(|count| {
                timed(threads, || {
                    let mut blocks = Vec::with_capacity(BURST);
                    for _ in 0..count {
                        blocks.extend((0..BURST).map(|_| alloc(&subject, 64)));
                        blocks.drain(..).for_each(|block| subject.release(black_box(block), 64));
                    }
                })
            });
        });
    }
}

/// Batches of 256 blocks of 64 to 512 bytes: at 2 threads one allocates and the other releases.
fn producer_and_consumer<S: Subject>(group: &mut BenchmarkGroup<'_, WallTime>) {
    let size = |place: usize| 64 << (place % 4);
    for threads in [1, 2] {
        let region = Region::new(GIB);
        let subject = S::over(&region);
        let produce = || -> Vec<usize> { (0..BATCH).map(|place| alloc(&subject, size(place)).addr()).collect() };
        let consume = |batch: Vec<usize>| {
            for (place, block) in batch.into_iter().enumerate() {
                subject.release(region.at(block), size(place));
            }
        };
        group.throughput(Throughput::Elements(BATCH as u64));
        group.bench_function(BenchmarkId::new(S::NAME, threads), |bencher| {
            bencher.iter_custom(|count| {
                let begun = Instant::now();
                if threads == 1 {
                    (0..count).for_each(|_| consume(produce()));
                } else {
                    let (sender, receiver) = mpsc::sync_channel(8);
                    std::thread::scope(|scope| {
                        scope.spawn(|| receiver.into_iter().for_each(&consume));
                        let sender = sender;
                        (0..count).for_each(|_| sender.send(produce()).expect("the consumer is there"));
                    });
                }
                begun.elapsed()
            });
        });
    }
}

/// A heap of 64 MiB that lies in 64-byte blocks: all of them released in address order, and merged to one.
fn coalesce<S: Subject>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    timed: impl Fn(&S, &[*mut u8]) -> Duration,
) {
    let region = Region::new(64 * MIB);
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

fn core(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pair");
    pair::<MemoryPool>(&mut group);
    pair::<LockedHeap<31>>(&mut group);
    group.finish();

    let mut group = criterion.benchmark_group("burst");
    burst::<MemoryPool>(&mut group);
    burst::<LockedHeap<31>>(&mut group);
    group.finish();

    let mut group = criterion.benchmark_group("producer_and_consumer");
    producer_and_consumer::<MemoryPool>(&mut group);
    producer_and_consumer::<LockedHeap<31>>(&mut group);
    group.finish();

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
