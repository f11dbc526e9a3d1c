//! The figures add up, of the pool and of each heap.

use std::alloc::Layout;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::common::cached::{BASE, UNIT, UNITS, non_null};
use crate::common::{Actor, Random, at};
use mempool::{MemoryPool, OrderStats, PoolStats};

/// A pool with a heap at each multiple of `BASE`.
pub(crate) fn pool_of(sizes: &[usize], builder: mempool::PoolBuilder) -> MemoryPool {
    let pool = builder.build().expect("the sizes are valid");
    for (number, size) in sizes.iter().enumerate() {
        pool.add_heap(at((number + 1) * BASE), *size).expect("the heap is one");
    }
    pool
}

/// The user's side of the books.
#[derive(Debug, Default)]
struct Books {
    live: Vec<usize>,
    allocations: u64,
    releases: u64,
}

impl Books {
    fn got(&mut self, blocks: impl IntoIterator<Item = usize>) {
        let before = self.live.len();
        self.live.extend(blocks);
        self.allocations += (self.live.len() - before) as u64;
    }

    fn pick(&mut self, random: &mut Random) -> Option<usize> {
        (!self.live.is_empty()).then(|| self.live.swap_remove(random.below(self.live.len())))
    }

    /// One random operation, of whatever kind.
    fn step(&mut self, pool: &MemoryPool, random: &mut Random) {
        let size = UNIT << random.below(13);
        let layout = Layout::from_size_align(size, 1).expect("it is a layout");
        match random.below(10) {
            0..4 => self.got(Some(pool.hl_alloc(size).addr()).filter(|block| *block != 0)),
            4 => {
                let heaps: Vec<_> = pool.heap_stats().map(|heap| heap.heap).collect();
                let block = pool.alloc_in(heaps[random.below(heaps.len())], layout);
                self.got(block.map(|block| block.addr().get()));
            }
            5 => {
                let mut blocks = [ptr::null_mut(); 50];
                let count = pool.alloc_batch(layout, &mut blocks).unwrap_or(0);
                self.got(blocks[..count].iter().map(|block| block.addr()));
            }
            6 => {
                // A null, a block twice, and a foreign address among them: none of these counts.
                let mine: Vec<usize> = (0..random.below(60)).map_while(|_| self.pick(random)).collect();
                self.releases += mine.len() as u64;
                let bad = [0, 1].into_iter().chain(mine.first().copied());
                let all: Vec<*mut u8> = mine.iter().copied().chain(bad).map(at).collect();
                let failed = pool.release_batch(&all).expect_err("address 1 is foreign").failed;
                assert_eq!(failed, 1 + usize::from(!mine.is_empty()));
            }
            7 => {
                if let Some(block) = self.live.last() {
                    let _ = pool.resize_in_place(non_null(*block), size);
                }
            }
            _ => {
                if let Some(block) = self.pick(random) {
                    self.releases += 1;
                    pool.hl_release(at(block)).expect("it is live");
                    pool.hl_release(at(block)).expect_err("it is not live any more");
                }
            }
        }
    }
}

fn blocks(stats: &PoolStats, count: impl Fn(&OrderStats) -> usize) -> usize {
    stats.orders().map(|order| count(&order)).sum()
}

#[test]
fn allocations_less_releases_are_what_is_live() {
    let mut random = Random::from_environment();
    let pool = &pool_of(&[UNITS * UNIT, UNITS * UNIT / 3], MemoryPool::builder());
    thread::scope(|scope| {
        let actors = [(); 3].map(|()| Actor::new(scope));
        let mut books = Books::default();
        for round in 0..300 {
            let mut own = random.stream(round);
            // In turn, so that each releases what others allocated.
            books = actors[round as usize % actors.len()].run(move || {
                (0..40).for_each(|_| books.step(pool, &mut own));
                books
            });
            let stats = pool.stats();
            assert_eq!((stats.allocations(), stats.releases()), (books.allocations, books.releases), "{stats}");
            assert_eq!(blocks(&stats, |order| order.live), books.live.len(), "{stats}");
        }
        let stats = pool.stats();
        for (count, what) in [
            (stats.cache_allocations, "cache allocations"),
            (stats.cache_releases, "cache releases"),
            (stats.cache_sent, "sent"),
            (stats.cache_refilled, "refilled"),
            (stats.cache_flushed, "flushed"),
            (stats.heap_allocations, "heap allocations"),
            (stats.heap_releases, "heap releases"),
        ] {
            assert!(count > 0, "no {what}: {stats}");
        }
        assert!(stats.cache_sent <= stats.cache_releases);
        actors.into_iter().for_each(Actor::leave);
    });
    random.next();
}

#[test]
fn a_pool_without_caches_counts_blocks_only() {
    let mut random = Random::from_environment();
    let pool = pool_of(&[UNITS * UNIT], MemoryPool::builder().thread_cache(0));
    let mut books = Books::default();
    for _ in 0..1000 {
        books.step(&pool, &mut random);
    }
    let stats = pool.stats();
    assert_eq!((stats.caches, stats.cache_tables, stats.allocations(), stats.releases()), (0, 0, 0, 0));
    assert_eq!(blocks(&stats, |order| order.live), books.live.len());
}

#[test]
fn heaps_add_up_to_the_pool() {
    let mut random = Random::from_environment();
    let sizes = [UNITS * UNIT, 100 * UNIT, 5000 * UNIT + 17];
    let pool = pool_of(&sizes, MemoryPool::builder());
    let mut books = Books::default();
    for _ in 0..50 {
        (0..40).for_each(|_| books.step(&pool, &mut random));
        let (stats, heaps) = (pool.stats(), Vec::from_iter(pool.heap_stats()));
        assert_eq!(heaps.iter().map(|heap| heap.heap.get()).collect::<Vec<_>>(), [0, 1, 2]);
        for heap in &heaps {
            assert_eq!(pool.stats_of(heap.heap), Some(*heap));
            assert_eq!(heap.capacity, sizes[heap.heap.get() as usize] / UNIT * UNIT);
            assert_eq!(heap.live + heap.cached + heap.free, heap.capacity);
            assert!((0.0..1.0).contains(&heap.external_fragmentation()));
            let map = pool.heap_map().filter(|block| block.heap == heap.heap);
            let live: usize =
                map.filter(|block| block.state == mempool::BlockState::Live).map(|block| block.size).sum();
            assert_eq!(heap.live, live);
        }
        let sum = |figure: fn(&mempool::HeapStats) -> usize| heaps.iter().map(figure).sum::<usize>();
        assert_eq!(stats.heaps, heaps.len());
        assert_eq!(
            (stats.capacity, stats.live, stats.cached, stats.free),
            (sum(|of| of.capacity), sum(|of| of.live), sum(|of| of.cached), sum(|of| of.free))
        );
        assert_eq!(Some(stats.largest_free), heaps.iter().map(|heap| heap.largest_free).max());
    }
    let empty = MemoryPool::new();
    assert_eq!(empty.heap_stats().count(), 0);
    assert_eq!(empty.stats_of(pool.heap_stats().last().expect("it has three").heap), None);
}

#[test]
fn a_heap_whose_base_loses_half_says_so() {
    const SIZE: usize = 1 << 20;
    let most = |pool: &MemoryPool| pool.heap_stats().map(|heap| heap.largest_possible).max();
    // Where it begins, in units, and the largest block that it has.
    for (units, size, largest, aligned) in [
        (0, SIZE, SIZE, SIZE),
        (SIZE / UNIT / 2, SIZE, SIZE / 2, SIZE),
        (1, SIZE, SIZE / 2, SIZE),
        // A quarter behind a boundary half of it is the largest block at any base.
        (SIZE / UNIT / 4, SIZE / 4 * 3, SIZE / 2, SIZE / 2),
        (SIZE / UNIT / 4, SIZE / 2, SIZE / 4, SIZE / 2),
    ] {
        let pool = MemoryPool::new();
        let id = pool.add_heap(at(BASE + units * UNIT), size).expect("the heap is one");
        let heap = pool.stats_of(id).expect("it has the heap");
        assert_eq!((heap.largest_possible, heap.largest_if_aligned), (largest, aligned), "{heap}");
        assert_eq!(heap.is_misaligned(), largest < aligned);
        assert_eq!(heap.to_string().contains("at a base that is a multiple of"), heap.is_misaligned(), "{heap}");
        let stats = pool.stats();
        assert_eq!((stats.largest_possible, stats.misaligned_heaps), (largest, usize::from(largest < aligned)));
        assert_eq!(stats.to_string().contains("misaligned heaps"), largest < aligned, "{stats}");
        // It is what it says.
        assert!(!pool.hl_alloc(largest).is_null() && pool.hl_alloc(2 * largest).is_null());
        assert_eq!(most(&pool), Some(largest));
    }
    // Where blocks are limited, the base is good enough if it is good enough for those.
    let pool = pool_of(&[], MemoryPool::builder().max_block(SIZE / 4));
    pool.add_heap(at(BASE + SIZE / 2), SIZE).expect("the heap is one");
    assert_eq!((most(&pool), pool.stats().misaligned_heaps), (Some(SIZE / 4), 0));
}

/// What threads of one generation do at once, each from its own stream; returns what was allocated, released, and
/// failed.
fn generation(pool: &MemoryPool, random: &Random, number: u64) -> [u64; 3] {
    const BATCH: usize = 40;
    let work = |stream: u64| {
        let (mut own, mut books, mut failures) = (random.stream(stream), Books::default(), 0);
        for _ in 0..200 {
            match own.below(20) {
                0 => pool.flush_thread_cache(),
                // Asks the others to flush, and drains what ended ones left.
                1 => _ = pool.sweep(),
                2 => {
                    assert!(pool.hl_alloc(2 * UNITS * UNIT).is_null(), "no heap is as large");
                    failures += 1;
                }
                3 => {
                    let mut blocks = [ptr::null_mut(); BATCH];
                    let layout = Layout::from_size_align(UNIT, 1).expect("it is a layout");
                    let count = pool.alloc_batch(layout, &mut blocks).expect("there is room");
                    books.got(blocks[..count].iter().map(|block| block.addr()));
                }
                4..11 => books.got([pool.hl_alloc(UNIT << own.below(6)).addr()]),
                _ => {
                    if let Some(block) = books.pick(&mut own) {
                        pool.hl_release(at(block)).expect("it is live");
                        books.releases += 1;
                    }
                }
            }
        }
        let all: Vec<*mut u8> = books.live.iter().copied().map(at).collect();
        pool.release_batch(&all).expect("they are live");
        assert!(!books.live.contains(&0), "there is room");
        [books.allocations, books.releases + all.len() as u64, failures]
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|thread| scope.spawn(move || work(4 * number + thread))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"))
            .fold([0; 3], |sum, more| std::array::from_fn(|place| sum[place] + more[place]))
    })
}

/// Threads that come find their caches being drained by the ones that are there, and work without for that long.
#[test]
fn nothing_is_lost_where_others_drain() {
    let random = Random::from_environment();
    // The second one is too small for caches.
    for (units, generations) in [(UNITS, 100), (63, 0)] {
        let pool = &pool_of(&[units * UNIT], MemoryPool::builder());
        let done = AtomicBool::new(false);
        let sum = thread::scope(|scope| {
            // As a thread that sweeps all the time.
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    pool.sweep();
                }
            });
            let two = [0, 1].map(|half| {
                let random = &random;
                scope.spawn(move || {
                    (0..generations)
                        .map(|number| generation(pool, random, 2 * number + half))
                        .fold([0; 3], |sum, more| std::array::from_fn(|place| sum[place] + more[place]))
                })
            });
            let sums = two.map(|half| half.join().expect("no panic"));
            done.store(true, Ordering::Relaxed);
            std::array::from_fn::<u64, 3, _>(|place| sums[0][place] + sums[1][place])
        });
        let stats = pool.stats();
        assert_eq!([stats.allocations(), stats.releases(), stats.failures], sum, "{stats}");
        assert_eq!((stats.live, stats.allocations()), (0, stats.releases()), "{stats}");
        // One more by a thread that may have no cache.
        pool.hl_release(pool.hl_alloc(UNIT)).expect("it is live");
        let after = pool.stats();
        assert_eq!((after.allocations(), after.releases()), (sum[0] + 1, sum[1] + 1), "{after}");
        assert_eq!(after.caches == 0, units < 64, "{after}");
    }
}
