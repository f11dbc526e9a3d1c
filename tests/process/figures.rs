//! The figures of an allocator are those of the operating system: what is resident, what `trim` gives back, what a
//! failed request leaves, what stays after a peak. In a program of its own, so that nobody else's memory is counted.
#![cfg(target_os = "linux")]

use std::alloc::{GlobalAlloc, Layout};
use std::fs;
use std::sync::{Barrier, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use mempool::{AllocatorStats, PoolAllocator};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
const GIB: usize = 1 << 30;

/// One test at a time: what is resident is all of the process's.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes of this process that are in memory, and come from no file.
fn resident() -> usize {
    let text = fs::read_to_string("/proc/self/smaps_rollup").expect("Linux has it");
    let line = text.lines().find_map(|line| line.strip_prefix("Anonymous:")?.trim().strip_suffix(" kB"));
    line.and_then(|number| number.parse::<usize>().ok()).expect("a number") * KIB
}

fn bytes(size: usize) -> Layout {
    Layout::array::<u8>(size).expect("a layout")
}

/// A block of `size` bytes, the first `written` of which are written to.
fn alloc(allocator: &PoolAllocator, size: usize, written: usize) -> *mut u8 {
    // SAFETY: the size is not 0.
    let block = unsafe { allocator.alloc(bytes(size)) };
    assert!(!block.is_null(), "{size} {}", allocator.stats());
    // SAFETY: the block is that long.
    unsafe { block.write_bytes(1, written) };
    block
}

fn release(allocator: &PoolAllocator, block: *mut u8, size: usize) {
    // SAFETY: a live block of this layout, given up here.
    unsafe { allocator.dealloc(block, bytes(size)) };
}

/// The two differ by at most `by`.
fn assert_near(is: usize, should: usize, by: usize, stats: &AllocatorStats) {
    assert!(is.abs_diff(should) <= by, "{is} is not {should}, {stats}");
}

/// After one request that is much larger than all else, untouched and released, figures are of what is in memory: 64
/// MiB that were written to, and not gigabytes.
#[test]
fn after_a_large_request_figures_are_those_of_the_system() {
    let _alone = alone();
    // The system may refuse the larger ones.
    for large in [128 * MIB, GIB, 4 * GIB] {
        let before = resident();
        let allocator = PoolAllocator::builder().checked(false).on_demand(usize::MAX);
        let kept = alloc(&allocator, 64 * MIB, 64 * MIB);
        let (grown, is_resident) = (allocator.stats(), resident() - before);
        assert_near(grown.resident, is_resident, MIB / 2, &grown);
        assert!(grown.resident >= 64 * MIB && grown.metadata < MIB, "{grown}");
        // SAFETY: the size is not 0.
        let block = unsafe { allocator.alloc(bytes(large)) };
        if block.is_null() {
            assert_eq!(allocator.stats().heap, grown.heap, "{grown}");
        } else {
            assert!(allocator.stats().heap > large);
            release(&allocator, block, large);
        }
        let stats = allocator.stats();
        assert_near(stats.resident, resident() - before, MIB / 2, &stats);
        assert_eq!(stats.free, stats.heap - 64 * MIB);
        // Of the tables a part.
        assert!(stats.resident < 64 * MIB + 12 * MIB, "{stats}");
        assert_eq!(allocator.trim(), 0, "nothing that is free is in memory, {stats}");

        release(&allocator, kept, 64 * MIB);
        let (had, stats) = (resident(), allocator.stats());
        let trimmed = allocator.trim();
        assert_near(trimmed, 64 * MIB, MIB / 2, &stats);
        assert_near(trimmed, had - resident(), MIB / 2, &stats);
        let stats = allocator.stats();
        // Trimming has read tables, whose pages count then.
        assert_near(stats.resident, resident() - before, MIB / 2 + stats.metadata / 2, &stats);
        assert!(stats.resident + MIB / 2 >= resident() - before, "{stats}");
        assert!(stats.resident < 24 * MIB, "{stats}");
        assert_eq!(allocator.trim(), 0);
    }
}

/// Blocks of a page, of many pages, and slots; some of them released again.
#[test]
fn what_is_resident_is_what_was_written_to() {
    let _alone = alone();
    for size in [64, 3000, 40_000, 300_000, 3 * MIB] {
        let before = resident();
        let allocator = PoolAllocator::builder().checked(false).on_demand(usize::MAX);
        let blocks: Vec<*mut u8> = (0..48 * MIB / size).map(|_| alloc(&allocator, size, size)).collect();
        // Of huge pages. Linux may replace these parts by the page of zeroes, which is resident and nobody's.
        let unwritten = allocator.stats().free + 2 * MIB;
        let check = |least: usize| {
            let (stats, blocks) = (allocator.stats(), blocks.capacity() * size_of::<*mut u8>());
            let is = resident() - before - blocks;
            assert!(stats.resident + MIB >= is && stats.resident <= is + unwritten + MIB, "{size} {is} {stats}");
            assert!(stats.resident >= least, "{size} {stats}");
        };
        check(47 * MIB);
        blocks.iter().skip(1).step_by(2).for_each(|block| release(&allocator, *block, size));
        check(24 * MIB);
        let had = resident();
        let trimmed = allocator.trim();
        let gone = had - resident();
        assert!(
            trimmed + MIB / 2 >= gone && trimmed <= gone + unwritten + MIB / 2,
            "{trimmed} {gone} {}",
            allocator.stats()
        );
        check(23 * MIB);
    }
}

/// A block as large as the limit is had wherever the heap has come to, once nothing else is live.
#[test]
fn all_that_the_limit_allows_is_had_in_one_piece() {
    let _alone = alone();
    let limit = 64 * MIB;
    for before in [4096, 100_000, 3 * MIB, 20 * MIB, 33 * MIB, 60 * MIB] {
        let allocator = PoolAllocator::builder().checked(false).on_demand(limit);
        release(&allocator, alloc(&allocator, before, before), before);
        assert!(allocator.stats().heap < limit, "{before}");
        release(&allocator, alloc(&allocator, limit, limit), limit);
        // With something at its beginning, all the rest.
        let allocator = PoolAllocator::builder().checked(false).on_demand(limit);
        let kept = alloc(&allocator, 4 * MIB, 1);
        release(&allocator, alloc(&allocator, before.min(limit / 2), before.min(limit / 2)), before.min(limit / 2));
        release(&allocator, alloc(&allocator, limit - 4 * MIB, 1), limit - 4 * MIB);
        release(&allocator, kept, 4 * MIB);
    }
}

/// What can't be had is not had in part.
#[test]
fn a_failed_request_leaves_nothing_grown() {
    let _alone = alone();
    let limit = 64 * MIB;
    let allocator = PoolAllocator::builder().checked(false).on_demand(limit);
    let kept = alloc(&allocator, 10 * MIB, 10 * MIB);
    // The first failure gives back what is cached.
    // SAFETY: the size is not 0.
    assert!(unsafe { allocator.alloc(bytes(limit)) }.is_null());
    let before = allocator.stats();
    for size in [limit - 8 * MIB, limit, limit + 1, 4 * GIB, isize::MAX as usize - 4096] {
        // SAFETY: the size is not 0.
        assert!(unsafe { allocator.alloc(bytes(size)) }.is_null(), "{size} {before}");
        let stats = allocator.stats();
        assert_eq!(stats.heap, before.heap, "{size}");
        assert_near(stats.resident, before.resident, 64 * KIB, &stats);
        // SAFETY: a live block of this layout, and the new size is not 0.
        assert!(unsafe { allocator.realloc(kept, bytes(10 * MIB), size.max(limit + 1)) }.is_null(), "{size}");
        let stats = allocator.stats();
        assert_eq!((stats.heap, stats.free), (before.heap, before.free), "{size}");
    }
    release(&allocator, kept, 10 * MIB);
}

/// Blocks of `size` bytes, written to, of `all` bytes. All but the first ones, of `live` bytes, are released in
/// another order. Returns those that are live.
fn peak(allocator: &PoolAllocator, size: usize, all: usize, live: usize) -> Vec<*mut u8> {
    let mut blocks: Vec<*mut u8> = (0..all / size).map(|_| alloc(allocator, size, size)).collect();
    let mut rest = blocks.split_off(live / size);
    fastrand::Rng::with_seed(7).shuffle(&mut rest);
    rest.into_iter().for_each(|block| release(allocator, block, size));
    // What the list of all blocks took is memory of this process, too.
    blocks.shrink_to_fit();
    blocks
}

/// One pair of calls a millisecond, which the cache serves, for this time or until `enough`.
fn go_on_with_little(allocator: &PoolAllocator, milliseconds: usize, enough: impl Fn() -> bool) {
    for _ in 0..milliseconds {
        release(allocator, alloc(allocator, 64, 64), 64);
        thread::sleep(Duration::from_millis(1));
        if enough() {
            return;
        }
    }
}

/// What a program that goes on with little has in memory: twice what is live, and 16 MiB.
#[test]
fn a_peak_goes_back_while_the_program_goes_on_with_little() {
    let _alone = alone();
    for (size, live, checked) in
        [(64, 0, false), (500, MIB, false), (500, MIB, true), (20_000, 4 * MIB, false), (3 * MIB, 0, true)]
    {
        let before = resident();
        let allocator =
            PoolAllocator::builder().checked(checked).decay(Duration::from_millis(50)).on_demand(usize::MAX);
        let kept = peak(&allocator, size, 96 * MIB, live);
        let most = before + 2 * live + 16 * MIB;
        // Far longer than it takes, for a machine that is busy.
        go_on_with_little(&allocator, 20_000, || resident() < most);
        let is = resident();
        assert!(is < most, "{size}: {is} instead of {most}, {}", allocator.stats());
        kept.into_iter().for_each(|block| release(&allocator, block, size));
    }
}

/// The same at its full size, ten seconds later.
#[test]
#[ignore = "takes a minute"]
fn a_peak_of_512_mib_is_gone_after_ten_seconds() {
    let _alone = alone();
    for (size, live) in [(64, 0), (500, 4 * MIB), (20_000, 4 * MIB), (3 * MIB, 0), (256 * MIB, 0)] {
        let before = resident();
        let allocator = PoolAllocator::builder().checked(false).on_demand(usize::MAX);
        let kept = peak(&allocator, size, 512 * MIB, live);
        let after_peak = resident();
        go_on_with_little(&allocator, 9000, || false);
        let is = resident();
        println!("blocks of {size}: {} MiB, then {} MiB", (after_peak - before) / MIB, (is - before) / MIB);
        assert!(is < before + 2 * live + 16 * MIB, "{size}: {before} {after_peak} {is}, {}", allocator.stats());
        kept.into_iter().for_each(|block| release(&allocator, block, size));
    }
}

/// How much the caches of threads that sleep keep, and the largest block that others get.
#[test]
#[ignore = "prints a table"]
fn what_sleeping_threads_keep() {
    const THREADS: usize = 8;
    let _alone = alone();
    println!("limit, taken by the threads, kept by what they have cached, largest block for others");
    for limit in [8, 16, 32, 64, 128].map(|mib| mib * MIB) {
        for part in [4, 8] {
            let allocator = &PoolAllocator::builder().checked(false).on_demand(limit);
            let percent = |bytes: usize| bytes * 100 / limit;
            let (released, measured) = (Barrier::new(THREADS + 1), Barrier::new(THREADS + 1));
            thread::scope(|scope| {
                for seed in 1..=THREADS {
                    let (released, measured) = (&released, &measured);
                    scope.spawn(move || {
                        let mut random = seed * 0x9e37_79b9;
                        let (mut blocks, mut bytes) = (Vec::new(), 0);
                        while bytes < limit / THREADS * part / 10 {
                            random ^= random << 13;
                            random ^= random >> 7;
                            random ^= random << 17;
                            let size = 1 + random % 4096;
                            blocks.push((alloc(allocator, size, 1), size));
                            bytes += size;
                        }
                        blocks.into_iter().for_each(|(block, size)| release(allocator, block, size));
                        released.wait();
                        measured.wait();
                    });
                }
                released.wait();
                allocator.sweep();
                let stats = allocator.stats();
                let largest = (1..=100).rev().find(|percent| {
                    let layout = bytes(limit / 100 * percent);
                    // SAFETY: the size is not 0.
                    let block = unsafe { allocator.alloc(layout) };
                    // SAFETY: allocated just now.
                    (!block.is_null()).then(|| unsafe { allocator.dealloc(block, layout) }).is_some()
                });
                let kept = percent(stats.heap - stats.free);
                println!("{} MiB, {} %, {kept} %, {} %", limit / MIB, part * 10, largest.unwrap_or(0));
                measured.wait();
            });
        }
    }
}
