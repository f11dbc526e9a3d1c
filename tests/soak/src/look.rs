//! What must hold between two seasons, when nothing is live.

use std::alloc::{GlobalAlloc, Layout};
use std::fmt;

use mempool::{HeapStats, PoolStats};

use crate::world::World;

const PAGE: usize = 4096;
/// From 32 MiB on a heap has huge pages, and the last one may reach behind the pages that it has grown to. These don't
/// go.
const BEHIND: usize = 2 << 20;

/// Looks at all of it: everything has coalesced, and figures are exact. Returns the memory of the process.
pub fn look(world: &World) -> Memory {
    let count = world.count.sum();
    // Heaps that could not go while they were in use go now, since every other thread has ended.
    world.pool.flush_thread_cache();
    for heap in world.pool.heap_stats().map(|heap| heap.heap).collect::<Vec<_>>() {
        let is_to_go = world.regions.iter().any(|region| {
            let base = std::ptr::NonNull::new(region.base()).expect("a region");
            world.pool.heap_of(base) == Some(heap)
        });
        if is_to_go {
            world.pool.remove_heap(heap).unwrap_or_else(|error| panic!("nothing is live: {error}"));
        }
    }
    world.pool.sweep();
    world.offsets.flush_thread_cache();
    world.offsets.sweep();
    let stats = world.pool.stats();
    look_at_pool(&stats, world.pool.heap_stats());
    assert_eq!([stats.allocations(), stats.releases()], count.pool, "{stats}");
    assert_eq!(count.pool[0], count.pool[1], "all was released");
    let offsets = world.offsets.stats();
    look_at_pool(&offsets, world.offsets.ranges().filter_map(|range| world.offsets.stats_of(range.id)));
    let mut tables = stats.cache_tables + offsets.cache_tables;
    for allocator in &world.allocators {
        allocator.sweep();
        let stats = allocator.stats();
        assert_eq!((stats.free, stats.idle, stats.refused_releases), (stats.heap, 0, 0), "{stats}");
        let whole = Layout::from_size_align(stats.heap.clamp(PAGE, stats.limit), PAGE).expect("a layout");
        // SAFETY: the size is not 0.
        let block = unsafe { allocator.alloc(whole) };
        assert!(!block.is_null(), "not one block: {stats}");
        // SAFETY: it was allocated just now.
        unsafe { allocator.dealloc(block, whole) };
        allocator.trim();
        let stats = allocator.stats();
        assert!(stats.resident <= stats.metadata + BEHIND, "{stats}");
        tables += stats.metadata + BEHIND;
    }
    Memory::now(tables, stats.cache_tables + offsets.cache_tables)
}

fn look_at_pool(stats: &PoolStats, heaps: impl Iterator<Item = HeapStats>) {
    assert_eq!((stats.live, stats.cached, stats.in_transit, stats.free), (0, 0, 0, stats.capacity), "{stats}");
    for heap in heaps {
        assert_eq!(heap.largest_free, heap.largest_possible, "it has coalesced: {heap}");
    }
}

/// The memory of the process, where that is known.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Bytes in memory.
    resident: usize,
    /// Bytes that `malloc` has from the system, and those of them that are in use.
    malloc: [usize; 2],
    /// Bytes of all tables that may be in memory, and those of them that come from `malloc`.
    tables: [usize; 2],
}

/// Stacks of threads that ended: the C library keeps up to 40 MiB of them, which is 20 of 2 MiB, each with some pages
/// that were used.
const STACKS: usize = 20 * 16 * PAGE;
/// Whatever else the program has from `malloc`: its threads and the progress bar.
const OTHER: usize = 256 << 10;

impl Memory {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    fn now(tables: usize, of_malloc: usize) -> Self {
        let pages = std::fs::read_to_string("/proc/self/statm").expect("Linux has it");
        let pages = pages.split_whitespace().nth(1).and_then(|pages| pages.parse::<usize>().ok());
        // SAFETY: it only returns figures.
        let malloc = unsafe { libc::mallinfo2() };
        Self {
            resident: pages.expect("a number") * PAGE,
            malloc: [malloc.arena + malloc.hblkhd, malloc.uordblks + malloc.hblkhd],
            tables: [tables, of_malloc],
        }
    }

    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    fn now(tables: usize, of_malloc: usize) -> Self {
        Self { resident: 0, malloc: [0; 2], tables: [tables, of_malloc] }
    }

    /// It stays flat: since the first time it grew at most by the tables that are in use, what `malloc` has more, and
    /// stacks.
    pub fn compare(first: &Self, now: &Self) {
        let more = now.malloc[0].saturating_sub(first.malloc[0]);
        let most = first.resident + now.tables[0] + more + STACKS;
        assert!(now.resident <= most, "{now} in memory, and at first {first}: {most} bytes at most");
        let most = first.malloc[1] + now.tables[1] + OTHER;
        assert!(now.malloc[1] <= most, "{now} from malloc, and at first {first}: {most} bytes at most");
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { resident, malloc: [_, used], tables: [tables, _] } = self;
        write!(f, "{} KiB resident ({} of malloc, {} of tables)", resident >> 10, used >> 10, tables >> 10)
    }
}
