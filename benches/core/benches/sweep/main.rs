//! How fast a sweep is: with nothing to merge, merging a heap that lies in single blocks, and beside another thread.
//!
//! `cargo bench --bench sweep`; `-- nothing`, `-- coalesce` or `-- beside` for one part. The heap is one of 1 GiB in
//! blocks of 64 bytes, 16 million of them; `SWEEP_MIB=64` makes it one of 64 MiB. `time` is that of one sweep of all
//! of it. `thrpt` counts its blocks of 64 bytes: 2 Gelem/s are 0.5 ns each. Figures that criterion has no place for
//! are printed below each case. The heap is never touched. Only the tables cost memory, 49 bits for each block, and
//! the list of the blocks.
#![allow(clippy::disallowed_types, reason = "loom does not check benches")]

mod beside;
mod full;

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use fastrand::Rng;
use mempool::MemoryPool;

use crate::beside::{Work, sweep_beside};
use crate::full::{By, Full, UNIT, heap_size};

/// Allocations after a sweep, each of which is timed.
const FIRST: usize = 1000;

/// Time of a sweep.
fn sweep(pool: &MemoryPool) -> Duration {
    let begun = Instant::now();
    black_box(pool.sweep());
    begun.elapsed()
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
    let mut random = Rng::with_seed(2);
    loop {
        let block = heap.pool.hl_alloc(UNIT << random.u64(..).trailing_zeros().min(4));
        if block.is_null() {
            break;
        }
        blocks.push(block);
    }
    measure("blocks of 64 B to 1 KiB, all live");
    for block in blocks {
        if random.bool() {
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

/// A sweep of a heap that lies in free single units, and the throughput of another thread meanwhile, as a share of
/// what it has alone: by the clock, and, for machines that are not idle, by the time that it ran.
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
